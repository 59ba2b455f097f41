//! What a path of the registry's API means.
//!
//! Repository names have slashes: a path is read from its end. A name that the specification does
//! not allow is refused here, so that no request can name a file outside of the store.
//!
//! Source: OCI distribution specification 1.1, "Pulling manifests" (names, tags) and "Endpoints".

use super::answer::Refusal;
use http::StatusCode;

const NAME_BYTES_MAX: usize = 255;
const TAG_BYTES_MAX: usize = 128;
const HEX_DIGITS: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    Base,
    Catalog,
    Tags(String),
    Manifest(String, Reference),
    Blob(String, String),
    Uploads(String),
    Upload(String, String),
    Referrers(String, String),
}

/// What names a manifest in its repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    Tag(String),
    Digest(String),
}

pub fn parse(path: &str) -> Result<Route, Refusal> {
    let path = decode(path);
    let rest = path.strip_prefix("/v2").ok_or_else(no_such_path)?;
    let rest = rest.trim_start_matches('/');
    let parts: Vec<&str> = rest.split('/').collect();
    match parts.as_slice() {
        [""] => Ok(Route::Base),
        ["_catalog"] => Ok(Route::Catalog),
        [names @ .., "tags", "list"] => Ok(Route::Tags(name(names)?)),
        [names @ .., "manifests", last] => Ok(Route::Manifest(name(names)?, reference(last)?)),
        [names @ .., "blobs", "uploads", ""] | [names @ .., "blobs", "uploads"] => {
            Ok(Route::Uploads(name(names)?))
        }
        [names @ .., "blobs", "uploads", id] => {
            let is_plain = id.bytes().all(|byte| byte.is_ascii_alphanumeric());
            if !is_plain {
                return Err(Refusal::unknown_upload(id));
            }
            Ok(Route::Upload(name(names)?, (*id).to_owned()))
        }
        [names @ .., "blobs", last] => Ok(Route::Blob(name(names)?, digest(last)?)),
        [names @ .., "referrers", last] => Ok(Route::Referrers(name(names)?, digest(last)?)),
        _ => Err(no_such_path()),
    }
}

/// The value of one query parameter.
pub fn query(query: Option<&str>, wanted: &str) -> Option<String> {
    let pairs = query?.split('&');
    pairs
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == wanted)
        .map(|(_, value)| decode(&value.replace('+', " ")))
}

/// `sha256:` and 64 hex digits.
pub fn digest(text: &str) -> Result<String, Refusal> {
    let hex = text.strip_prefix("sha256:").unwrap_or_default();
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if hex.len() == HEX_DIGITS && hex.bytes().all(is_hex) {
        return Ok(text.to_owned());
    }
    Err(Refusal::bad_digest(text))
}

pub fn is_name(text: &str) -> bool {
    text.len() <= NAME_BYTES_MAX && text.split('/').all(is_name_part)
}

fn name(parts: &[&str]) -> Result<String, Refusal> {
    let name = parts.join("/");
    if is_name(&name) {
        return Ok(name);
    }
    Err(Refusal::bad_name(&name))
}

/// Letters and digits, joined by `.`, `_`, `__` or any number of `-`.
fn is_name_part(part: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_digit() || byte.is_ascii_lowercase();
    let mut joint = String::new();
    let mut is_first = true;
    for byte in part.bytes() {
        if is_plain(byte) {
            let is_joint = matches!(joint.as_str(), "." | "_" | "__")
                || (!joint.is_empty() && joint.bytes().all(|byte| byte == b'-'));
            if !joint.is_empty() && (is_first || !is_joint) {
                return false;
            }
            joint.clear();
            is_first = false;
        } else if matches!(byte, b'.' | b'_' | b'-') {
            joint.push(char::from(byte));
        } else {
            return false;
        }
    }
    !is_first && joint.is_empty()
}

fn reference(text: &str) -> Result<Reference, Refusal> {
    if text.contains(':') {
        return digest(text).map(Reference::Digest);
    }
    let mut bytes = text.bytes();
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let is_tag = text.len() <= TAG_BYTES_MAX
        && bytes.next().is_some_and(is_word)
        && bytes.all(|byte| is_word(byte) || byte == b'.' || byte == b'-');
    if is_tag {
        return Ok(Reference::Tag(text.to_owned()));
    }
    let message = format!("`{text}` is no tag");
    Err(Refusal::new(
        StatusCode::BAD_REQUEST,
        "TAG_INVALID",
        message,
    ))
}

fn no_such_path() -> Refusal {
    let message = "this registry serves the paths below /v2/ of the OCI distribution specification";
    Refusal::new(StatusCode::NOT_FOUND, "UNSUPPORTED", message)
}

/// Percent-decoding. What is not UTF-8 then is no name of anything here.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = (*first == b'%')
            .then(|| after.get(..2))
            .flatten()
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(escaped.unwrap_or(*first));
        rest = match escaped {
            Some(_) => after.get(2..).unwrap_or_default(),
            None => after,
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[track_caller]
    fn check(path: &str, expected: &Route) {
        assert_eq!(parse(path).as_ref().ok(), Some(expected), "{path}");
    }

    #[track_caller]
    fn refused(path: &str, code: &str) {
        assert_eq!(
            parse(path).map_err(|refusal| refusal.code),
            Err(code),
            "{path}"
        );
    }

    #[test]
    fn paths_are_read_from_their_end() {
        let name = || "shop/cart".to_owned();
        let digest = || DIGEST.to_owned();
        check("/v2", &Route::Base);
        check("/v2/", &Route::Base);
        check("/v2/_catalog", &Route::Catalog);
        check("/v2/shop/cart/tags/list", &Route::Tags(name()));
        let tag = Reference::Tag("1.0".to_owned());
        check("/v2/shop/cart/manifests/1.0", &Route::Manifest(name(), tag));
        let by_digest = Route::Manifest(name(), Reference::Digest(digest()));
        check(&format!("/v2/shop/cart/manifests/{DIGEST}"), &by_digest);
        let blob = Route::Blob(name(), digest());
        check(&format!("/v2/shop/cart/blobs/{DIGEST}"), &blob);
        let escaped = DIGEST.replace(':', "%3A");
        check(&format!("/v2/shop/cart/blobs/{escaped}"), &blob);
        check("/v2/shop/cart/blobs/uploads/", &Route::Uploads(name()));
        let upload = Route::Upload(name(), "00ff".to_owned());
        check("/v2/shop/cart/blobs/uploads/00ff", &upload);
        let referrers = Route::Referrers(name(), digest());
        check(&format!("/v2/shop/cart/referrers/{DIGEST}"), &referrers);
        // Words of the API may be names too.
        check(
            "/v2/blobs/tags/tags/list",
            &Route::Tags("blobs/tags".to_owned()),
        );
    }

    #[test]
    fn what_is_no_name_is_refused() {
        refused("/v2/Shop/tags/list", "NAME_INVALID");
        refused("/v2/../../etc/tags/list", "NAME_INVALID");
        refused("/v2/%2e%2e/tags/list", "NAME_INVALID");
        refused("/v2//tags/list", "NAME_INVALID");
        refused("/v2/a..b/tags/list", "NAME_INVALID");
        refused("/v2/_manifests/tags/list", "NAME_INVALID");
        refused("/v2/a-/tags/list", "NAME_INVALID");
        refused(
            &format!("/v2/{}/tags/list", "a".repeat(300)),
            "NAME_INVALID",
        );
        refused("/v2/shop/manifests/.hidden", "TAG_INVALID");
        refused("/v2/shop/manifests/sha256:12", "DIGEST_INVALID");
        refused("/v2/shop/blobs/sha512:12", "DIGEST_INVALID");
        refused("/v2/shop/blobs/uploads/..", "BLOB_UPLOAD_UNKNOWN");
        refused("/v1/search", "UNSUPPORTED");
        refused("/v2/shop", "UNSUPPORTED");
    }

    #[test]
    fn names_may_be_joined_as_the_specification_says() {
        for name in ["a", "a.b", "a_b", "a__b", "a---b", "0/1", "library/busybox"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "a___b", "a._b", "a/", "a b", "ä"] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn queries_are_decoded() {
        let given = Some("digest=sha256%3Aff&from=a/b");
        assert_eq!(query(given, "digest").as_deref(), Some("sha256:ff"));
        assert_eq!(query(given, "from").as_deref(), Some("a/b"));
        assert_eq!(query(given, "mount"), None);
        assert_eq!(query(None, "mount"), None);
    }
}
