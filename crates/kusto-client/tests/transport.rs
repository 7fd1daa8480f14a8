//! The HTTP settings that a caller makes: a proxy and its exceptions, certificates of
//! one's own, a client of one's own.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use kusto_client::*;
use std::process::{Command, Stdio};
use std::time::Duration;

fn quick() -> TransportBuilder {
    Transport::builder().retry(RetryPolicy { attempts: 1, ..RetryPolicy::default() })
}

#[tokio::test]
async fn requests_go_through_the_proxy_except_where_it_is_not_wanted() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = format!("http://{}", listener.local_addr().unwrap());
    // Answers with the target that it was asked for, as only a proxy is asked.
    let router =
        axum::Router::new().fallback(async |request: axum::extract::Request| request.uri().to_string());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let through = quick().proxy(&proxy, "direct.invalid").build().unwrap();
    let answer = through.send(|http| http.get("http://cluster.invalid/path")).await.unwrap();
    assert_eq!(answer.body, "http://cluster.invalid/path");
    let error = through.send(|http| http.get("http://direct.invalid/path")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    let without = quick().no_proxy().build().unwrap();
    assert!(without.send(|http| http.get("http://cluster.invalid/path")).await.is_err());
    assert_eq!(quick().proxy("::", "").build().unwrap_err().kind(), ErrorKind::Usage);
    let own = reqwest::Client::builder().proxy(reqwest::Proxy::all(&proxy).unwrap()).build().unwrap();
    let injected = quick().http_client(own).build().unwrap();
    let answer = injected.send(|http| http.get("http://cluster.invalid/own")).await.unwrap();
    assert_eq!(answer.body, "http://cluster.invalid/own");
}

#[tokio::test]
async fn a_certificate_authority_of_ones_own_is_trusted_when_it_is_given() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    // A certificate that is its own authority; one that may issue others is no server's.
    let settings = "[req]\ndistinguished_name=name\nx509_extensions=extensions\nprompt=no\n[name]\nCN=localhost\n\
        [extensions]\nsubjectAltName=IP:127.0.0.1\nbasicConstraints=critical,CA:FALSE\n";
    std::fs::write(file("settings"), settings).unwrap();
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-config"])
        .args([&file("settings"), std::path::Path::new("-keyout"), &file("key.pem")])
        .args([std::path::Path::new("-out"), &file("cert.pem")])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut server = Command::new("openssl")
        .args(["s_server", "-www", "-quiet", "-accept", &format!("127.0.0.1:{port}"), "-key"])
        .args([&file("key.pem"), std::path::Path::new("-cert"), &file("cert.pem")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(server.try_wait().unwrap().is_none(), "openssl s_server ended");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let url = format!("https://127.0.0.1:{port}/");
    let stranger = quick().no_proxy().build().unwrap().send(|http| http.get(&url)).await;
    let pem = std::fs::read(file("cert.pem")).unwrap();
    let trusting = quick().no_proxy().root_certificates(pem).build().unwrap();
    let known = trusting.send(|http| http.get(&url)).await;
    server.kill().unwrap();
    server.wait().unwrap();
    assert_eq!(stranger.unwrap_err().kind(), ErrorKind::Unreachable);
    assert_eq!(known.unwrap().status, 200);
}
