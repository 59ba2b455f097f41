//! Who asks a registry: user names and passwords from pull secrets and auth files.
//!
//! Both have the form of docker's `config.json`; an old one is the map of registries alone. A key
//! is a registry, maybe with a port, a path and globs; the longest path that matches is tried
//! first, and without any match nobody's name is given. Credential helpers (programs) are not run.
//!
//! Source: Kubernetes, "Pull an Image from a Private Registry" and `pkg/credentialprovider`
//! (how keys match); containers-auth.json(5).

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use oci_client::secrets::RegistryAuth;
use serde::Deserialize;

use super::Name;

/// What docker's own registry is called in auth files, beside its address.
const DOCKER_HUB: [&str; 3] = ["index.docker.io", "docker.io", "registry-1.docker.io"];

/// Who asks.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Credentials {
    #[default]
    Anonymous,
    Password {
        user: String,
        password: String,
    },
}

impl Credentials {
    pub(super) fn for_wire(&self) -> RegistryAuth {
        match self {
            Self::Anonymous => RegistryAuth::Anonymous,
            Self::Password { user, password } => {
                RegistryAuth::Basic(user.clone(), password.clone())
            }
        }
    }
}

/// A password is never printed.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Anonymous => write!(to, "Anonymous"),
            Self::Password { user, .. } => write!(to, "Password of {user}"),
        }
    }
}

/// Why credentials cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    #[error("it is no docker configuration: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the entry for `{0}` has neither a user name and password nor a readable `auth`")]
    Entry(String),
}

/// Credentials by registry.
#[derive(Clone, Debug, Default)]
pub struct Keyring {
    keys: Vec<(Pattern, Credentials)>,
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Entry {
    username: String,
    password: String,
    auth: String,
}

impl Keyring {
    /// Takes in a `config.json`: a secret's `.dockerconfigjson`, or a user's auth file.
    pub fn add(&mut self, json: &[u8]) -> Result<(), CredentialsError> {
        let file: File = serde_json::from_slice(json)?;
        self.extend(file.auths)
    }

    /// Takes in the old form, a secret's `.dockercfg`.
    pub fn add_old(&mut self, json: &[u8]) -> Result<(), CredentialsError> {
        self.extend(serde_json::from_slice(json)?)
    }

    fn extend(&mut self, entries: BTreeMap<String, Entry>) -> Result<(), CredentialsError> {
        for (key, entry) in entries.into_iter().filter(|(_, entry)| !entry.is_empty()) {
            let credentials = entry.credentials();
            let credentials = credentials.ok_or_else(|| CredentialsError::Entry(key.clone()))?;
            self.keys.push((Pattern::of(&key), credentials));
        }
        Ok(())
    }

    /// Who may ask for this image, the most particular first; the last one is always nobody.
    pub fn for_image(&self, name: &Name) -> Vec<Credentials> {
        let mut found: Vec<&(Pattern, Credentials)> = self
            .keys
            .iter()
            .filter(|(pattern, _)| pattern.matches(name))
            .collect();
        found.sort_by_key(|(pattern, _)| std::cmp::Reverse(pattern.path.len()));
        let named = found
            .into_iter()
            .map(|(_, credentials)| credentials.clone());
        let mut all: Vec<Credentials> = named.collect();
        all.push(Credentials::Anonymous);
        all.dedup();
        all
    }
}

impl Entry {
    /// An entry of a registry that one logged out of.
    fn is_empty(&self) -> bool {
        self.username.is_empty() && self.auth.is_empty()
    }

    fn credentials(self) -> Option<Credentials> {
        let (user, password) = if self.username.is_empty() {
            let decoded = STANDARD.decode(self.auth.trim()).ok()?;
            let decoded = String::from_utf8(decoded).ok()?;
            let (user, password) = decoded.split_once(':')?;
            (user.to_owned(), password.trim_end_matches('\0').to_owned())
        } else {
            (self.username, self.password)
        };
        Some(Credentials::Password { user, password })
    }
}

/// Which images a key is for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    /// Parts between dots, each maybe with globs.
    host: Vec<String>,
    port: Option<String>,
    path: String,
}

impl Pattern {
    fn of(key: &str) -> Self {
        let bare = key.split_once("://").map_or(key, |(_, rest)| rest);
        let (host, path) = bare.split_once('/').unwrap_or((bare, ""));
        // `https://index.docker.io/v1/` is a whole registry's address.
        let path = path.trim_end_matches('/');
        let path = if matches!(path, "v1" | "v2") {
            ""
        } else {
            path
        };
        let (host, port) = match host.split_once(':') {
            Some((host, port)) => (host, Some(port.to_owned())),
            None => (host, None),
        };
        Self {
            host: parts(host),
            port,
            path: path.to_owned(),
        }
    }

    fn matches(&self, name: &Name) -> bool {
        let reference = name.reference();
        let (host, port) = match reference.registry().split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (reference.registry(), None),
        };
        let hosts = parts(host);
        let is_host = self.host.len() == hosts.len()
            && self
                .host
                .iter()
                .zip(&hosts)
                .all(|(glob, part)| fits(glob.as_bytes(), part.as_bytes()));
        let is_hub =
            DOCKER_HUB.contains(&host) && DOCKER_HUB.contains(&self.host.join(".").as_str());
        let rest = reference.repository().strip_prefix(self.path.as_str());
        let is_path = rest
            .is_some_and(|rest| self.path.is_empty() || rest.is_empty() || rest.starts_with('/'));
        (is_host || is_hub) && self.port.as_deref() == port && is_path
    }
}

fn parts(host: &str) -> Vec<String> {
    host.split('.').map(str::to_owned).collect()
}

/// Whether a text is what a pattern of letters, `?` and `*` allows.
fn fits(glob: &[u8], text: &[u8]) -> bool {
    match (glob.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) if fits(rest, text) => true,
        (Some((b'*', _)), Some((_, after))) => fits(glob, after),
        (Some((b'?', rest)), Some((_, after))) => fits(rest, after),
        (Some((letter, rest)), Some((other, after))) => letter == other && fits(rest, after),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyring(keys: &[&str]) -> Keyring {
        let auths: serde_json::Map<String, serde_json::Value> = keys
            .iter()
            .map(|key| {
                (
                    (*key).to_owned(),
                    serde_json::json!({"username": key, "password": "p"}),
                )
            })
            .collect();
        let mut keyring = Keyring::default();
        let json = serde_json::json!({"auths": auths}).to_string();
        keyring.add(json.as_bytes()).unwrap();
        keyring
    }

    /// The keys that are tried for an image, in order.
    #[track_caller]
    fn check(keys: &[&str], image: &str, expected: &[&str]) {
        let tried = keyring(keys).for_image(&Name::parse(image).unwrap());
        let (last, named) = tried.split_last().unwrap();
        assert_eq!(*last, Credentials::Anonymous);
        let named: Vec<&str> = named
            .iter()
            .map(|credentials| match credentials {
                Credentials::Password { user, .. } => user.as_str(),
                Credentials::Anonymous => "nobody",
            })
            .collect();
        assert_eq!(named, expected, "{image} with {keys:?}");
    }

    #[test]
    fn keys_match_as_the_kubelet_says() {
        check(&["r.io"], "r.io/a:1", &["r.io"]);
        check(&["https://r.io/v1/"], "r.io/a:1", &["https://r.io/v1/"]);
        check(&["r.io"], "other.io/a:1", &[]);
        check(&["r.io"], "r.io:5000/a:1", &[]);
        check(&["r.io:5000"], "r.io:5000/a:1", &["r.io:5000"]);
        check(&["*.r.io"], "eu.r.io/a:1", &["*.r.io"]);
        check(&["*.r.io"], "r.io/a:1", &[]);
        check(&["*.io"], "a.b.io/a:1", &[]);
        check(&["eu*.r.io"], "eu1.r.io/a:1", &["eu*.r.io"]);
        check(
            &["r.io", "r.io/shop"],
            "r.io/shop/cart:1",
            &["r.io/shop", "r.io"],
        );
        check(&["r.io/shop"], "r.io/shopping/cart:1", &[]);
        let hub = "https://index.docker.io/v1/";
        check(&[hub], "busybox", &[hub]);
    }

    #[test]
    fn both_forms_of_files_are_read() {
        let auth = STANDARD.encode("ci:pass:word");
        let json = format!(r#"{{"r.io": {{"auth": "{auth}"}}, "out.io": {{}}}}"#);
        let mut keyring = Keyring::default();
        keyring.add_old(json.as_bytes()).unwrap();
        let expected = Credentials::Password {
            user: "ci".to_owned(),
            password: "pass:word".to_owned(),
        };
        let tried = keyring.for_image(&Name::parse("r.io/a").unwrap());
        assert_eq!(tried, [expected, Credentials::Anonymous]);
        assert!(!format!("{tried:?}").contains("pass:word"));
        keyring
            .add(br#"{"auths": {"r.io": {"auth": "%"}}}"#)
            .unwrap_err();
        keyring.add(b"auths").unwrap_err();
        keyring.add(br#"{"credsStore": "desktop"}"#).unwrap();
    }
}
