//! `kin serve`.

use crate::arguments::Serve;
use crate::failure::Failure;
use crate::printer;
use kusto_local::{AccessConfig, ServiceConfig, SourceHosts};

pub(crate) async fn run(arguments: Serve) -> Result<(), Failure> {
    let listener = tokio::net::TcpListener::bind(&arguments.listen)
        .await
        .map_err(|error| Failure::usage(format!("{} cannot be listened on: {error}", arguments.listen)))?;
    let mut config = ServiceConfig::new(&arguments.data_dir);
    let reachable = listener.local_addr().is_ok_and(|address| !address.ip().is_loopback());
    match &arguments.access {
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .map_err(|error| Failure::usage(format!("{} cannot be read: {error}", path.display())))?;
            config.access = AccessConfig::parse(&text)
                .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
        }
        None if reachable && !arguments.allow_anonymous => {
            return Err(Failure::usage(format!(
                "{} can be reached from other machines, and everyone would be the administrator; \
                 say who is let in with --access FILE, or that this is wanted with --allow-anonymous",
                arguments.listen
            )));
        }
        None => {}
    }
    if arguments.exact {
        config = config.with_exact_batching();
    }
    if let Some(text) = &arguments.storage {
        config.storage = Some(
            kusto_local::StorageAccount::parse(text).map_err(|error| Failure::usage(error.to_string()))?,
        );
    }
    config.source_hosts = match (arguments.source_hosts.as_slice(), reachable) {
        ([], false) => SourceHosts::Any,
        ([], true) => SourceHosts::well_known(),
        (hosts, _) => hosts.iter().fold(SourceHosts::Only(Vec::new()), |known, host| known.with(host)),
    };
    config.host_names = arguments.host_names;
    config.min_free = kusto_types::ByteSize(arguments.min_free.saturating_mul(1024 * 1024));
    config.crash_at = arguments.crash_at;
    let service = kusto_local::start(config, listener).await?;
    printer::line(&format!("cluster    {}", service.url()));
    printer::line(&format!("https      {}", service.https_url()));
    printer::line(&format!("readiness  {}/readyz", service.url()));
    printer::line(&format!("data       {}", arguments.data_dir.display()));
    let who = match (&arguments.access, reachable) {
        (Some(path), _) => format!("bearers of the tokens in {}", path.display()),
        (None, true) => "everyone who reaches it, as the administrator".to_owned(),
        (None, false) => "everyone on this machine, as the administrator".to_owned(),
    };
    printer::line(&format!("access     {who}"));
    printer::line(&format!("query      kin query --cluster {} 'print 1'", service.url()));
    let authority = service.certificate_authority().display();
    printer::line(&format!("authority  {authority}, to be trusted by who uses https:"));
    for (client, how) in [
        ("Python", format!("REQUESTS_CA_BUNDLE={authority} SSL_CERT_FILE={authority}")),
        ("Node", format!("NODE_EXTRA_CA_CERTS={authority}")),
        ("Go, kin", format!("SSL_CERT_FILE={authority}")),
        (
            "Java",
            format!(
                "keytool -importcert -noprompt -alias kin -file {authority} -keystore kin.p12 -storepass changeit"
            ),
        ),
        (
            "",
            "then -Djavax.net.ssl.trustStore=kin.p12 -Djavax.net.ssl.trustStorePassword=changeit".to_owned(),
        ),
    ] {
        printer::line(&format!("           {client:<8} {how}"));
    }
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .map_err(|error| Failure::new(1, format!("signals cannot be received: {error}")))?;
    tokio::select! {
        // Both arms only wait.
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
    service.stop().await;
    Ok(())
}
