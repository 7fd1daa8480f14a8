//! Each cloud from the first question to the answer: a site that speaks TLS under the
//! names of the cluster and of its cloud's sign-in, over HTTP/2 as Kusto does.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use axum::Router;
use axum::extract::{Request, State};
use hyper_util::rt::{TokioExecutor, TokioIo};
use kusto_client::*;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

#[derive(Debug, Clone, PartialEq)]
struct Asked {
    version: http::Version,
    host: String,
    path: String,
    authorization: String,
}

#[derive(Clone)]
struct Site {
    asked: Arc<Mutex<Vec<Asked>>>,
    login: &'static str,
    resource: &'static str,
}

async fn answer(State(site): State<Site>, request: Request) -> String {
    let (parts, body) = request.into_parts();
    let header = |name: &str| {
        parts.headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
    };
    let host = parts.uri.host().map_or_else(|| header("host"), str::to_owned);
    let path = parts.uri.path().to_owned();
    let asked = Asked { version: parts.version, host, path, authorization: header("authorization") };
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    site.asked.lock().unwrap().push(asked.clone());
    match asked.path.as_str() {
        "/v1/rest/auth/metadata" => serde_json::json!({ "AzureAD": {
            "LoginEndpoint": site.login, "KustoServiceResourceId": site.resource,
        }})
        .to_string(),
        // The scope that was asked for becomes the token.
        "/tenant/oauth2/v2.0/token" => {
            let scope = url::form_urlencoded::parse(&body).find(|(name, _)| name == "scope").unwrap().1;
            format!(r#"{{"access_token":"for {scope}","expires_in":3600}}"#)
        }
        _ => r#"{"Tables":[{"TableName":"T","Columns":[],"Rows":[]}]}"#.to_owned(),
    }
}

/// A site with a certificate for these names: its address and the certificate.
async fn serve(site: Site, names: Vec<String>, protocols: &[&[u8]]) -> (SocketAddr, String) {
    let _first = install_crypto_provider();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().fallback(answer).with_state(site);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (acceptor, router) = (acceptor.clone(), router.clone());
            tokio::spawn(async move {
                // A client that does not trust the certificate goes away here.
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let service = hyper_util::service::TowerToHyperService::new(router);
                let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                let _gone = server.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    (address, made.cert.pem())
}

/// A transport for which these names are at one address.
fn transport(address: SocketAddr, names: &[String], pem: &str) -> Transport {
    let mut http = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .add_root_certificate(reqwest::Certificate::from_pem(pem.as_bytes()).unwrap());
    for name in names {
        http = http.resolve(name, address);
    }
    let retry = RetryPolicy { attempts: 1, ..RetryPolicy::default() };
    Transport::builder().retry(retry).http_client(http.build().unwrap()).build().unwrap()
}

#[tokio::test]
async fn a_sovereign_cloud_signs_in_at_its_own_and_asks_for_its_own_resource() {
    for (cluster, login, resource) in [
        (
            "c.kusto.chinacloudapi.cn",
            "https://login.partner.microsoftonline.cn",
            "https://kusto.kusto.chinacloudapi.cn",
        ),
        (
            "c.kusto.usgovcloudapi.net",
            "https://login.microsoftonline.us",
            "https://kusto.kusto.usgovcloudapi.net",
        ),
        ("c.kusto.windows.net", "https://login.microsoftonline.com", "https://kusto.kusto.windows.net"),
    ] {
        let site = Site { asked: Arc::default(), login, resource };
        let login_host = login.trim_start_matches("https://").to_owned();
        let names = vec![cluster.to_owned(), format!("ingest-{cluster}"), login_host.clone()];
        let (address, pem) = serve(site.clone(), names.clone(), &[b"h2"]).await;
        let endpoint = Endpoint::parse(&format!("https://{cluster}:{}", address.port())).unwrap();
        let credential = Credential::client_secret("tenant", "app", "secret");
        let client = KustoClient::with_transport(endpoint, credential, transport(address, &names, &pem));
        client.ingestion().management("db", ".get ingestion resources").await.unwrap();
        client.management("db", ".show version").await.unwrap();
        let asked = site.asked.lock().unwrap().clone();
        let told: Vec<(&str, &str)> =
            asked.iter().map(|asked| (asked.host.as_str(), asked.path.as_str())).collect();
        let ingest = format!("ingest-{cluster}");
        assert_eq!(
            told,
            [
                (ingest.as_str(), "/v1/rest/auth/metadata"),
                (login_host.as_str(), "/tenant/oauth2/v2.0/token"),
                (ingest.as_str(), "/v1/rest/mgmt"),
                (cluster, "/v1/rest/auth/metadata"),
                (cluster, "/v1/rest/mgmt"),
            ]
        );
        for asked in asked.iter().filter(|asked| asked.path == "/v1/rest/mgmt") {
            assert_eq!(asked.authorization, format!("Bearer for {resource}/.default"));
        }
        assert!(asked.iter().all(|asked| asked.version == http::Version::HTTP_2), "{asked:?}");
    }
}

#[tokio::test]
async fn a_cluster_that_names_another_clouds_sign_in_gets_no_token() {
    let (cluster, login) = ("c.kusto.chinacloudapi.cn", "https://login.microsoftonline.com");
    let site = Site { asked: Arc::default(), login, resource: "https://kusto.kusto.windows.net" };
    let names = vec![cluster.to_owned(), "login.microsoftonline.com".to_owned()];
    let (address, pem) = serve(site.clone(), names.clone(), &[b"h2", b"http/1.1"]).await;
    let endpoint = Endpoint::parse(&format!("https://{cluster}:{}", address.port())).unwrap();
    let credential = Credential::client_secret("tenant", "app", "secret");
    let client = KustoClient::with_transport(endpoint, credential, transport(address, &names, &pem));
    let error = client.management("db", ".show version").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
    let asked = site.asked.lock().unwrap().clone();
    assert!(asked.iter().all(|asked| asked.path == "/v1/rest/auth/metadata"), "{asked:?}");
}

#[tokio::test]
async fn http_1_is_spoken_where_http_2_is_not() {
    let site = Site { asked: Arc::default(), login: "", resource: "" };
    let names = vec!["c.kusto.windows.net".to_owned()];
    let (address, pem) = serve(site.clone(), names.clone(), &[b"http/1.1"]).await;
    let endpoint = Endpoint::parse(&format!("https://c.kusto.windows.net:{}", address.port())).unwrap();
    let client = KustoClient::with_transport(endpoint, Credential::none(), transport(address, &names, &pem));
    client.management("db", ".show version").await.unwrap();
    let asked = site.asked.lock().unwrap().clone();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].version, http::Version::HTTP_11);
}
