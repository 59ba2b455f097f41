//! Tokens of accounts in a served cluster: whose they are, until when, and for whom.

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::super::contract::Server;
use super::super::request::User;
use super::*;

const ACCOUNTS: &str = "POST /api/v1/namespaces/default/serviceaccounts";

/// A key of the tests' own: seed and public key of RFC 8032, section 7.1, test 1, in PKCS #8.
fn key() -> TokenKey {
    let mut der = vec![
        0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04,
        0x20,
    ];
    der.extend([
        0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c,
        0xc4, 0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae,
        0x7f, 0x60,
    ]);
    TokenKey::parse(&der).unwrap()
}

struct Bench {
    server: Server,
    key: std::sync::Arc<TokenKey>,
}

impl Bench {
    fn new() -> Self {
        let mut server = Server::new();
        let key = std::sync::Arc::new(key());
        server.registry.set_token_key(std::sync::Arc::clone(&key));
        server.send(
            ACCOUNTS,
            "application/json",
            json!({"metadata": {"name": "web"}}).to_string(),
        );
        Self { server, key }
    }

    fn request(&mut self, spec: &Value) -> (u16, Value) {
        let response = self.server.send(
            &format!("{ACCOUNTS}/web/token"),
            "application/json",
            json!({ "spec": spec }).to_string(),
        );
        (
            response.status,
            serde_json::from_slice(&response.body).unwrap(),
        )
    }

    fn token(&mut self, spec: &Value) -> String {
        let (code, body) = self.request(spec);
        assert_eq!(code, 201, "{body}");
        body["status"]["token"].as_str().unwrap().to_owned()
    }

    fn user(&self, token: &str, after_s: i64) -> Result<User, Refused> {
        let now = self.server.now + SignedDuration::from_secs(after_s);
        let cluster = self.server.store.cluster();
        let found = self.key.authenticate(token, &[], cluster, now)?;
        Ok(found.0)
    }
}

#[test]
fn a_token_is_its_accounts_until_it_expires() {
    let mut bench = Bench::new();
    let token = bench.token(&json!({}));
    let user = bench.user(&token, 0).unwrap();
    assert_eq!(user.name, "system:serviceaccount:default:web");
    assert!(user.is_in("system:serviceaccounts:default") && user.is_in(AUTHENTICATED));
    assert!(bench.user(&token, 3600).is_ok());
    assert_eq!(bench.user(&token, 3661), Err(Refused::Expired));
}

#[test]
fn a_token_that_was_tampered_with_is_nobodys() {
    let mut bench = Bench::new();
    let token = bench.token(&json!({}));
    let (head, signature) = token.rsplit_once('.').unwrap();
    let (header, claims) = head.split_once('.').unwrap();
    let claims = URL_SAFE_NO_PAD.decode(claims).unwrap();
    let forged = String::from_utf8(claims).unwrap().replace("web", "ops");
    let forged = URL_SAFE_NO_PAD.encode(forged);
    let refused = bench.user(&format!("{header}.{forged}.{signature}"), 0);
    assert_eq!(refused, Err(Refused::Malformed));
    assert_eq!(bench.user("invented", 0), Err(Refused::Malformed));
}

#[test]
fn a_token_for_others_does_not_open_this_server() {
    let mut bench = Bench::new();
    let token = bench.token(&json!({"audiences": ["vault"]}));
    assert!(matches!(
        bench.user(&token, 0),
        Err(Refused::Audience { .. })
    ));
    let cluster = bench.server.store.cluster();
    let now = bench.server.now;
    let (_, audiences) = bench
        .key
        .authenticate(&token, &["vault".to_owned()], cluster, now)
        .unwrap();
    assert_eq!(audiences, ["vault"]);
}

#[test]
fn a_token_ends_with_its_account() {
    let mut bench = Bench::new();
    let token = bench.token(&json!({}));
    bench.server.send(
        "DELETE /api/v1/namespaces/default/serviceaccounts/web",
        "application/json",
        String::new(),
    );
    assert_eq!(bench.user(&token, 0), Err(Refused::Invalidated));
}

#[test]
fn a_short_life_is_refused_in_upstreams_words() {
    let mut bench = Bench::new();
    let (code, body) = bench.request(&json!({"expirationSeconds": 10}));
    assert_eq!(code, 422);
    assert_eq!(
        body["message"],
        "TokenRequest.authentication.k8s.io \"\" is invalid: spec.expirationSeconds: Invalid value: \
         10: may not specify a duration less than 10 minutes"
    );
}
