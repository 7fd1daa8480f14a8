//! Tokens of an OpenID Connect issuer: a real one over HTTP, with keys that change.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use kusto_local::{AccessConfig, Issuer, Principal, RunningService, ServiceConfig};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData as _};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

/// A key with its id.
struct Key {
    id: String,
    pair: KeyPair,
}

impl Key {
    fn new(id: &str) -> Self {
        Self { id: id.to_owned(), pair: KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap() }
    }

    fn jwk(&self) -> Value {
        // An uncompressed point: 4, then both coordinates.
        let point = self.pair.der_bytes();
        json!({ "kty": "EC", "crv": "P-256", "kid": self.id, "use": "sig",
            "x": BASE64.encode(&point[1..33]), "y": BASE64.encode(&point[33..65]) })
    }

    fn sign(&self, claims: &Value) -> String {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(self.id.clone());
        encode(&header, claims, &EncodingKey::from_ec_der(self.pair.serialized_der())).unwrap()
    }
}

/// An issuer that answers with its configuration and the keys that it has at the moment.
struct Provider {
    url: String,
    keys: Arc<Mutex<Vec<Value>>>,
    asked: Arc<AtomicUsize>,
    server: tokio::task::JoinHandle<()>,
}

impl Provider {
    async fn start(keys: Vec<Value>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let keys = Arc::new(Mutex::new(keys));
        let asked = Arc::new(AtomicUsize::new(0));
        let (base, current, count) = (url.clone(), keys.clone(), asked.clone());
        let router = axum::Router::new()
            .route(
                "/t/.well-known/openid-configuration",
                axum::routing::get(move || {
                    let base = base.clone();
                    async move {
                        json!({ "issuer": format!("{base}/t"), "jwks_uri": format!("{base}/keys") })
                            .to_string()
                    }
                }),
            )
            .route(
                "/keys",
                axum::routing::get(move || {
                    count.fetch_add(1, Ordering::SeqCst);
                    let keys = current.lock().unwrap().clone();
                    async move { json!({ "keys": keys }).to_string() }
                }),
            );
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, keys, asked, server }
    }

    fn issuer(&self) -> String {
        format!("{}/t", self.url)
    }
}

struct Site {
    service: RunningService,
    http: reqwest::Client,
    _folder: tempfile::TempDir,
}

impl Site {
    async fn start(issuer: String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = ServiceConfig::new(folder.path());
        config.access = AccessConfig::open()
            .with_token("root", Principal::parse("aadapp=root;t").unwrap())
            .with_admin(Principal::parse("aadapp=root;t").unwrap())
            .with_issuer(Issuer {
                issuer,
                audiences: vec!["https://kin.example".to_owned(), "api://kin".to_owned()],
            });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let service = kusto_local::start(config, listener).await.unwrap();
        Self { service, http: reqwest::Client::builder().no_proxy().build().unwrap(), _folder: folder }
    }

    /// Status and message of a command by the bearer of a token.
    async fn send(&self, token: &str, text: &str) -> (u16, String) {
        let url = format!("{}/v1/rest/mgmt", self.service.url());
        let body = json!({ "db": "NetDefaultDB", "csl": text }).to_string();
        let answer = self.http.post(url).bearer_auth(token).body(body).send().await.unwrap();
        let status = answer.status().as_u16();
        if status == 401 {
            let challenge = answer.headers()["www-authenticate"].to_str().unwrap().to_owned();
            assert!(challenge.contains("/t\"") && challenge.contains("https://kin.example"), "{challenge}");
        }
        let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        (status, body["error"]["@message"].as_str().unwrap_or_default().to_owned())
    }

    async fn root(&self, text: &str) {
        assert_eq!(self.send("root", text).await.0, 200, "{text}");
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn claims(issuer: &str, more: &Value) -> Value {
    let mut claims = json!({ "iss": issuer, "aud": "https://kin.example", "exp": now() + 600, "nbf": now() - 10,
        "tid": "t1", "oid": "o-1", "sub": "s-1", "upn": "jane@contoso.com" });
    for (name, value) in more.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

#[tokio::test]
async fn tokens_of_an_issuer_are_checked() {
    let (key, other) = (Key::new("k1"), Key::new("k1"));
    let provider = Provider::start(vec![key.jwk()]).await;
    let issuer = provider.issuer();
    let site = Site::start(issuer.clone()).await;
    site.root(".add database NetDefaultDB viewers ('aaduser=jane@contoso.com;t1')").await;
    let show = ".show tables";
    let good = claims(&issuer, &json!({}));
    assert_eq!(site.send(&key.sign(&good), show).await, (200, String::new()));
    for (change, says) in [
        (json!({ "exp": now() - 1000 }), "has expired"),
        (json!({ "exp": null }), "lacks its expiry"),
        (json!({ "nbf": now() + 1000 }), "not valid yet"),
        (json!({ "aud": "https://other.example" }), "another audience"),
        (json!({ "aud": null }), "lacks its expiry, audience"),
        (json!({ "iss": "https://login.example/t" }), "issuer that is not known"),
        (json!({ "upn": null, "oid": null, "sub": null }), "who its bearer is"),
    ] {
        let (status, message) = site.send(&key.sign(&claims(&issuer, &change)), show).await;
        assert!(status == 401 && message.contains(says), "{change}: {status} {message}");
    }
    // The leeway between clocks, and an audience of several.
    for change in [json!({ "exp": now() - 100 }), json!({ "aud": ["x", "api://kin"] })] {
        assert_eq!(site.send(&key.sign(&claims(&issuer, &change)), show).await.0, 200, "{change}");
    }
    let says = async |token: &str| {
        let (status, message) = site.send(token, show).await;
        assert_eq!(status, 401, "{message}");
        message
    };
    assert!(says(&other.sign(&good)).await.contains("signature is wrong"));
    let mut parts: Vec<String> = key.sign(&good).split('.').map(str::to_owned).collect();
    parts[1] = BASE64.encode(claims(&issuer, &json!({ "upn": "root@contoso.com" })).to_string());
    assert!(says(&parts.join(".")).await.contains("signature is wrong"));
    // Signed with the public key as if it were a secret, and not signed at all.
    let mut header = Header::new(Algorithm::HS256);
    header.kid = Some("k1".to_owned());
    let forged = encode(&header, &good, &EncodingKey::from_secret(key.pair.der_bytes())).unwrap();
    assert!(says(&forged).await.contains("not taken"));
    let none =
        format!("{}.{}.", BASE64.encode(r#"{"alg":"none","kid":"k1"}"#), BASE64.encode(good.to_string()));
    says(&none).await;
    for nonsense in ["a.b.c", "..", "a.b", "x"] {
        says(nonsense).await;
    }
    // A static token goes on being one.
    site.root(show).await;
}

#[tokio::test]
async fn bearers_are_who_their_tokens_say() {
    let key = Key::new("k1");
    let provider = Provider::start(vec![key.jwk()]).await;
    let issuer = provider.issuer();
    let site = Site::start(issuer.clone()).await;
    for grant in ["'aadapp=app-1;t1'", "'aadgroup=g-1;t1'", "'aaduser=o-7;t1'"] {
        site.root(&format!(".add database NetDefaultDB viewers ({grant})")).await;
    }
    for (who, status) in [
        (json!({ "idtyp": "app", "appid": "app-1", "upn": null }), 200),
        (json!({ "azp": "app-1", "oid": "same", "sub": "same", "upn": null }), 200),
        // A user of the application is not the application.
        (json!({ "azp": "app-1" }), 403),
        (json!({ "idtyp": "user", "appid": "app-1" }), 403),
        (json!({ "idtyp": "app", "appid": "app-1", "tid": "t2", "upn": null }), 403),
        (json!({ "groups": ["g-0", "g-1"] }), 200),
        (json!({ "groups": ["g-2"] }), 403),
        (json!({ "oid": "o-7", "upn": null }), 200),
        (json!({ "preferred_username": "o-7", "email": "o-7" }), 403),
    ] {
        let token = key.sign(&claims(&issuer, &who));
        assert_eq!(site.send(&token, ".show tables").await.0, status, "{who}");
    }
}

#[tokio::test]
async fn keys_are_fetched_again_when_they_change_and_not_without_end() {
    let (first, second) = (Key::new("k1"), Key::new("k2"));
    let provider = Provider::start(vec![first.jwk()]).await;
    let issuer = provider.issuer();
    let site = Site::start(issuer.clone()).await;
    site.root(".add database NetDefaultDB viewers ('aaduser=jane@contoso.com;t1')").await;
    let good = claims(&issuer, &json!({}));
    let show = ".show tables";
    for _ in 0..5 {
        assert_eq!(site.send(&first.sign(&good), show).await.0, 200);
    }
    assert_eq!(provider.asked.load(Ordering::SeqCst), 1, "the keys are kept");
    // The issuer has a new key, and takes the old one back.
    *provider.keys.lock().unwrap() = vec![second.jwk()];
    assert_eq!(site.send(&second.sign(&good), show).await.0, 200);
    assert_eq!(site.send(&first.sign(&good), show).await.0, 401);
    let asked = provider.asked.load(Ordering::SeqCst);
    assert_eq!(asked, 3);
    // Keys that nobody has: the issuer was asked in vain just now, and is left alone.
    for _ in 0..20 {
        assert_eq!(site.send(&Key::new("none").sign(&good), show).await.0, 401);
    }
    assert_eq!(provider.asked.load(Ordering::SeqCst), asked);
    // The issuer goes; what was fetched stays good.
    provider.server.abort();
    assert_eq!(site.send(&second.sign(&good), show).await.0, 200);
    // A service that starts now cannot tell good from bad: that is no fault of the token.
    let later = Site::start(issuer.clone()).await;
    let (status, message) = later.send(&first.sign(&good), show).await;
    assert!(status == 503 && message.contains("try again"), "{status} {message}");
}
