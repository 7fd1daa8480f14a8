//! How tokens are asked for, sent and replaced, against a sign-in service and a cluster
//! that record what they are asked. Entra itself cannot run here.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kusto_client::*;
use std::collections::HashMap;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[derive(Debug, Clone)]
struct Asked {
    path: String,
    form: HashMap<String, String>,
    authorization: Option<String>,
}

#[derive(Clone, Default)]
struct Site {
    asked: Arc<Mutex<Vec<Asked>>>,
    /// Tokens that the cluster refuses.
    refused: Arc<Mutex<Vec<String>>>,
    base: Arc<Mutex<String>>,
}

async fn answer(State(site): State<Site>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    let mut form: HashMap<String, String> = url::form_urlencoded::parse(&body).into_owned().collect();
    form.extend(url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).into_owned());
    let authorization = parts.headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
    let path = parts.uri.path().to_owned();
    let earlier = {
        let mut asked = site.asked.lock().unwrap();
        let earlier = asked.iter().filter(|asked| asked.path == path).count();
        asked.push(Asked { path: path.clone(), form: form.clone(), authorization: authorization.clone() });
        earlier
    };
    let json = |status: u16, text: &str| {
        let status = http::StatusCode::from_u16(status).unwrap();
        (status, [("content-type", "application/json")], text.to_owned()).into_response()
    };
    match path.as_str() {
        "/v1/rest/auth/metadata" => {
            let login = site.base.lock().unwrap().clone();
            let azure = serde_json::json!({ "AzureAD": { "LoginEndpoint": login, "KustoServiceResourceId": "https://kusto.example" } });
            json(200, &azure.to_string())
        }
        "/t/oauth2/v2.0/devicecode" => json(
            200,
            r#"{"device_code":"DEVICE","user_code":"ABC","verification_uri":"https://x/d","interval":0,"expires_in":60}"#,
        ),
        "/t/oauth2/v2.0/token" if form["grant_type"].ends_with("device_code") && earlier == 0 => {
            json(400, r#"{"error":"authorization_pending","error_description":"wait"}"#)
        }
        "/t/oauth2/v2.0/token" if form.get("client_secret").is_some_and(|secret| secret == "wrong") => json(
            401,
            r#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret.\r\nTrace ID: x"}"#,
        ),
        "/t/oauth2/v2.0/token" => json(
            200,
            &format!(r#"{{"access_token":"token{earlier}","expires_in":"3600","refresh_token":"REFRESH"}}"#),
        ),
        "/v1/rest/mgmt" => {
            let token = authorization.unwrap_or_default().replace("Bearer ", "");
            if site.refused.lock().unwrap().contains(&token) {
                return json(401, "");
            }
            json(200, r#"{"Tables":[{"TableName":"T","Columns":[],"Rows":[]}]}"#)
        }
        _ => json(404, ""),
    }
}

async fn site() -> (Site, String) {
    let site = Site::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    url.clone_into(&mut site.base.lock().unwrap());
    let router = Router::new().fallback(answer).with_state(site.clone());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (site, url)
}

impl Site {
    fn asked(&self, path: &str) -> Vec<Asked> {
        self.asked.lock().unwrap().iter().filter(|asked| asked.path == path).cloned().collect()
    }
}

fn client(url: &str, credential: Credential) -> KustoClient {
    KustoClient::new(Endpoint::parse(url).unwrap(), credential).unwrap()
}

#[tokio::test]
async fn an_application_signs_in_once_and_a_refused_token_is_replaced_once() {
    let (site, url) = site().await;
    let client = client(&url, Credential::client_secret("t", "app", "s=e;c&r"));
    client.management("db", ".show version").await.unwrap();
    client.management("db", ".show version").await.unwrap();
    let asked = site.asked("/t/oauth2/v2.0/token");
    assert_eq!(asked.len(), 1);
    let form = &asked[0].form;
    assert_eq!((form["client_id"].as_str(), form["client_secret"].as_str()), ("app", "s=e;c&r"));
    assert_eq!(form["scope"], "https://kusto.example/.default");
    assert_eq!(site.asked("/v1/rest/auth/metadata").len(), 1);
    // The token ends before its time.
    site.refused.lock().unwrap().push("token0".to_owned());
    client.management("db", ".show version").await.unwrap();
    let sent: Vec<String> =
        site.asked("/v1/rest/mgmt").iter().map(|asked| asked.authorization.clone().unwrap()).collect();
    assert_eq!(sent, ["Bearer token0", "Bearer token0", "Bearer token0", "Bearer token1"]);
    // A service that refuses every token is not asked for ever.
    site.refused.lock().unwrap().extend((1..9).map(|n| format!("token{n}")));
    let error = client.management("db", ".show version").await.unwrap_err();
    assert_eq!((error.kind(), error.status()), (ErrorKind::Unauthorized, Some(401)));
    assert_eq!(site.asked("/v1/rest/mgmt").len(), 6);
}

#[tokio::test]
async fn a_wrong_secret_says_so_without_showing_it() {
    let (_site, url) = site().await;
    let client = client(&url, Credential::client_secret("t", "app", "wrong"));
    let error = client.management("db", ".show version").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    assert!(error.to_string().contains("AADSTS7000215: Invalid client secret."), "{error}");
    assert!(!format!("{error:?}").contains("wrong"));
}

#[tokio::test]
async fn a_certificate_signs_an_assertion_that_its_public_key_verifies() {
    let (site, url) = site().await;
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let (key, certificate) = (file("key.pem"), file("cert.pem"));
    // openssl is the second opinion on the signature, and it makes RSA keys.
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=app", "-keyout"])
        .args([&key, std::path::Path::new("-out"), &certificate])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let public = Command::new("openssl")
        .args(["x509", "-pubkey", "-noout", "-in"])
        .arg(&certificate)
        .output()
        .unwrap();
    std::fs::write(file("public.pem"), public.stdout).unwrap();
    let pem = std::fs::read_to_string(&key).unwrap() + &std::fs::read_to_string(&certificate).unwrap();
    for (chain, sent) in [(ChainSending::Omitted, false), (ChainSending::Sent, true)] {
        let credential = Credential::client_certificate("t", "app", &pem.clone().into(), chain).unwrap();
        client(&url, credential).management("db", ".show version").await.unwrap();
        let form = site.asked("/t/oauth2/v2.0/token").last().unwrap().form.clone();
        let parts: Vec<&str> = form["client_assertion"].split('.').collect();
        let header: serde_json::Value =
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[0]).unwrap()).unwrap();
        assert_eq!((header["alg"].as_str(), header.get("x5c").is_some()), (Some("PS256"), sent));
        std::fs::write(file("signed"), format!("{}.{}", parts[0], parts[1])).unwrap();
        std::fs::write(file("signature"), URL_SAFE_NO_PAD.decode(parts[2]).unwrap()).unwrap();
        let verified = Command::new("openssl")
            .args(["dgst", "-sha256", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32"])
            .args([
                "-verify".into(),
                file("public.pem"),
                "-signature".into(),
                file("signature"),
                file("signed"),
            ])
            .output()
            .unwrap();
        assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    }
    let error =
        Credential::client_certificate("t", "app", &"no pem".to_owned().into(), ChainSending::Omitted);
    assert!(error.unwrap_err().to_string().contains("no certificate"));
}

#[tokio::test]
async fn a_device_code_is_shown_and_waited_for_and_a_refresh_follows() {
    let (site, url) = site().await;
    let shown = Arc::new(Mutex::new(Vec::new()));
    let seen = shown.clone();
    let credential =
        Credential::device_code("t", move |prompt| seen.lock().unwrap().push(prompt.user_code.clone()));
    let client = client(&url, credential);
    client.management("db", ".show version").await.unwrap();
    site.refused.lock().unwrap().push("token1".to_owned());
    client.management("db", ".show version").await.unwrap();
    assert_eq!(*shown.lock().unwrap(), ["ABC"], "the refresh token spares the second sign-in");
    let grants: Vec<String> =
        site.asked("/t/oauth2/v2.0/token").iter().map(|asked| asked.form["grant_type"].clone()).collect();
    assert_eq!(grants.len(), 3);
    assert_eq!(grants[2], "refresh_token");
}

#[tokio::test]
async fn an_interactive_sign_in_comes_back_to_this_machine() {
    let (site, url) = site().await;
    let credential = Credential::interactive("t", Some("me@x".to_owned()), |page| {
        let page = url::Url::parse(page).unwrap();
        let query: HashMap<String, String> = page.query_pairs().into_owned().collect();
        assert_eq!(query["login_hint"], "me@x");
        // What the browser does after the user has signed in; a stranger comes first.
        tokio::spawn(async move {
            let back = query["redirect_uri"].replace("localhost", "127.0.0.1");
            let stranger = reqwest::get(format!("{back}/?code=EVIL&state=guess")).await.unwrap();
            assert_eq!(stranger.status(), 404);
            reqwest::get(format!("{back}/?code=CODE&state={}", query["state"])).await.unwrap();
        });
    });
    client(&url, credential).management("db", ".show version").await.unwrap();
    let form = &site.asked("/t/oauth2/v2.0/token")[0].form;
    assert_eq!(form["code"], "CODE");
    assert_eq!(form["code_verifier"].len(), 64);
}

#[tokio::test]
async fn a_workload_identity_reads_its_file_for_each_token() {
    let (site, url) = site().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "FEDERATED\n").unwrap();
    let client = client(&url, Credential::workload_identity_of("t", "app", file.path()));
    client.management("db", ".show version").await.unwrap();
    assert_eq!(site.asked("/t/oauth2/v2.0/token")[0].form["client_assertion"], "FEDERATED");
    std::fs::remove_file(file.path()).unwrap();
    site.refused.lock().unwrap().push("token0".to_owned());
    let error = client.management("db", ".show version").await.unwrap_err();
    assert!(error.to_string().contains("federated token file"), "{error}");
}

#[tokio::test]
async fn no_token_goes_to_strangers_or_over_plain_http() {
    for (url, says) in [
        ("https://example.com", "no well-known Kusto host"),
        ("http://c.kusto.windows.net", "plain http"),
        ("http://10.0.0.1:8080", "plain http"),
    ] {
        let error =
            client(url, Credential::token("SECRET")).management("db", ".show version").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{url}");
        assert!(error.to_string().contains(says), "{url}: {error}");
    }
}

#[tokio::test]
async fn a_call_has_one_deadline_and_one_budget_of_retries() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let count = Arc::new(Mutex::new(0));
    let counted = count.clone();
    let router = Router::new().fallback(move || {
        *counted.lock().unwrap() += 1;
        async { http::StatusCode::SERVICE_UNAVAILABLE }
    });
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let retry = RetryPolicy {
        attempts: 4,
        first_pause: Duration::from_millis(1),
        longest_pause: Duration::from_millis(1),
        call_retries: 5,
    };
    let transport = Transport::new(retry).unwrap().for_call(None);
    for requests in [4, 3, 1] {
        *count.lock().unwrap() = 0;
        let error = transport.send(|http| http.get(&url)).await.unwrap_err();
        assert_eq!((*count.lock().unwrap(), error.attempts()), (requests, requests));
    }
    // A server that takes the connection and says nothing.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let deadline = tokio::time::Instant::now() + Duration::from_millis(100);
    let error = transport.for_call(Some(deadline)).send(|http| http.get(&url)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Deadline);
    assert!(!error.is_permanent());
}
