//! What is asked of the API server, as a value, and how an HTTP request line becomes one.

use bytes::Bytes;

use super::status::Status;
use crate::k8s::{Name, Resource};

/// One request. Nothing of HTTP is left in it but the media types.
#[derive(Clone, Debug)]
pub struct Request {
    pub verb: Verb,
    pub target: Target,
    pub options: Options,
    /// The body's media type, without parameters.
    pub content_type: String,
    /// The `Accept` header as it came.
    pub accept: String,
    pub body: Bytes,
    pub user: User,
    /// The `User-Agent` header as it came.
    pub agent: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verb {
    Get,
    List,
    Watch,
    Create,
    Update,
    Patch,
    Delete,
    DeleteCollection,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    Resource(ResourceTarget),
    /// Discovery, health, version, OpenAPI: `/apis`, `/readyz`, …
    Path(String),
}

/// `/apis/apps/v1/namespaces/shop/deployments/cart/scale`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ResourceTarget {
    pub group: Name,
    pub version: Name,
    pub plural: Name,
    /// Empty: cluster-scoped, or all namespaces.
    pub namespace: Name,
    /// Empty: the collection.
    pub name: Name,
    pub subresource: Name,
}

/// Who asks.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct User {
    pub name: Name,
    pub uid: Name,
    pub groups: Vec<Name>,
    /// What else is known of the identity: which token, which pod.
    pub extra: Vec<(Name, Vec<Name>)>,
}

/// The query parameters of all verbs together.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a query parameter of its own"
)]
pub struct Options {
    pub label_selector: String,
    pub field_selector: String,
    pub limit: usize,
    pub continue_token: String,
    pub resource_version: String,
    pub resource_version_match: String,
    pub allow_watch_bookmarks: bool,
    pub send_initial_events: Option<bool>,
    pub timeout_seconds: Option<u64>,
    pub dry_run: bool,
    /// `Strict`, `Warn`, `Ignore`; empty means `Warn`.
    pub field_validation: String,
    pub field_manager: String,
    pub force: bool,
    pub propagation_policy: String,
    pub grace_period_seconds: Option<i64>,
    pub pretty: bool,
    /// `includeObject` of Table requests: `None`, `Metadata` (default), `Object`.
    pub include_object: String,
    /// Parameters that only one subresource knows (`container`, `tailLines`, …).
    pub other: Vec<(String, String)>,
}

impl Target {
    pub fn resource(group: &str, version: &str, plural: &str) -> ResourceTarget {
        ResourceTarget {
            group: group.into(),
            version: version.into(),
            plural: plural.into(),
            ..ResourceTarget::default()
        }
    }
}

impl ResourceTarget {
    pub fn resource_type(&self) -> Resource {
        Resource {
            group: self.group.clone(),
            plural: self.plural.clone(),
        }
    }
}

impl User {
    pub fn system(name: &str) -> Self {
        Self {
            name: name.into(),
            uid: Name::default(),
            groups: vec![
                Name::new_static("system:masters"),
                Name::new_static("system:authenticated"),
            ],
            ..Self::default()
        }
    }

    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|own| own == group)
    }
}

impl Options {
    /// A parameter that only one subresource knows.
    pub fn other(&self, key: &str) -> Option<&str> {
        self.other
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value.as_str())
    }
}

impl Request {
    /// The request of an HTTP message. `path` is the path alone, `query` what follows `?`.
    pub fn parse(method: &str, path: &str, query: &str) -> Result<Self, Status> {
        let options = options(query)?;
        let watch = parameter(query, "watch").is_some_and(|value| is_true(&value));
        let target = target(path);
        let (target, legacy_watch) = match target {
            Target::Resource(target) => strip_watch(target, path),
            path @ Target::Path(_) => (path, false),
        };
        let verb = verb(method, &target, watch || legacy_watch)?;
        Ok(Self {
            verb,
            target,
            options,
            content_type: String::new(),
            accept: String::new(),
            body: Bytes::new(),
            user: User::default(),
            agent: String::new(),
        })
    }

    /// A read or write inside the process, on behalf of `user`.
    pub fn internal(verb: Verb, target: ResourceTarget, user: User) -> Self {
        Self {
            verb,
            target: Target::Resource(target),
            options: Options::default(),
            content_type: "application/json".into(),
            accept: String::new(),
            body: Bytes::new(),
            user,
            agent: String::new(),
        }
    }

    /// Whether [`mod@super::read`] answers it; everything else is for [`mod@super::write`].
    ///
    /// Reviews (`SelfSubjectAccessReview`, …) are POSTs that change nothing.
    pub fn is_read(&self) -> bool {
        match &self.target {
            Target::Path(_) => true,
            Target::Resource(target) => {
                matches!(self.verb, Verb::Get | Verb::List | Verb::Watch)
                    || (self.verb == Verb::Create && super::review::is_review(target))
            }
        }
    }

    #[must_use]
    pub fn with_body(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.content_type = content_type.into();
        self.body = body.into();
        self
    }
}

/// `/api/v1/watch/pods`, deprecated upstream but still served.
fn strip_watch(target: ResourceTarget, path: &str) -> (Target, bool) {
    if target.plural == "watch" {
        let rest = path.replacen("/watch", "", 1);
        return (self::target(&rest), true);
    }
    (Target::Resource(target), false)
}

fn verb(method: &str, target: &Target, watch: bool) -> Result<Verb, Status> {
    let collection = match target {
        Target::Resource(target) => target.name.is_empty(),
        Target::Path(_) => false,
    };
    Ok(match (method, collection) {
        ("GET" | "HEAD", _) if watch => Verb::Watch,
        ("GET" | "HEAD", true) => Verb::List,
        ("GET" | "HEAD", false) => Verb::Get,
        ("POST", _) => Verb::Create,
        ("PUT", false) => Verb::Update,
        ("PATCH", false) => Verb::Patch,
        ("DELETE", false) => Verb::Delete,
        ("DELETE", true) => Verb::DeleteCollection,
        _ => return Err(Status::method_not_allowed()),
    })
}

fn target(path: &str) -> Target {
    let segments: Vec<String> = path
        .split('/')
        .filter(|segment| !segment.is_empty())
        .map(decode)
        .collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let (group, version, rest) = match segments.as_slice() {
        ["api", version, rest @ ..] if !rest.is_empty() => ("", *version, rest),
        ["apis", group, version, rest @ ..] if !rest.is_empty() => (*group, *version, rest),
        _ => return Target::Path(path.to_owned()),
    };
    let mut target = Target::resource(group, version, "");
    let rest = match rest {
        ["namespaces", namespace, plural, tail @ ..]
            if !is_namespace_subresource(group, plural) =>
        {
            target.namespace = Name::new(namespace);
            target.plural = Name::new(plural);
            tail
        }
        [plural, tail @ ..] => {
            target.plural = Name::new(plural);
            tail
        }
        [] => return Target::Path(path.to_owned()),
    };
    match rest {
        [] => {}
        [name] => target.name = Name::new(name),
        [name, subresource @ ..] => {
            target.name = Name::new(name);
            target.subresource = Name::new(subresource.join("/"));
        }
    }
    Target::Resource(target)
}

fn is_namespace_subresource(group: &str, segment: &str) -> bool {
    group.is_empty() && matches!(segment, "status" | "finalize")
}

fn options(query: &str) -> Result<Options, Status> {
    let mut options = Options::default();
    for (key, value) in pairs(query) {
        match key.as_str() {
            "labelSelector" => options.label_selector = value,
            "fieldSelector" => options.field_selector = value,
            "limit" => options.limit = number::<usize>(&key, &value)?.unwrap_or_default(),
            "continue" => options.continue_token = value,
            "resourceVersion" => options.resource_version = value,
            "resourceVersionMatch" => options.resource_version_match = value,
            "allowWatchBookmarks" => options.allow_watch_bookmarks = is_true(&value),
            "sendInitialEvents" => options.send_initial_events = Some(is_true(&value)),
            "timeoutSeconds" => options.timeout_seconds = number(&key, &value)?,
            "dryRun" => options.dry_run = dry_run(&value)?,
            "fieldValidation" => options.field_validation = value,
            "fieldManager" => options.field_manager = value,
            "force" => options.force = is_true(&value),
            "propagationPolicy" => options.propagation_policy = value,
            "orphanDependents" if is_true(&value) => {
                "Orphan".clone_into(&mut options.propagation_policy);
            }
            "gracePeriodSeconds" => options.grace_period_seconds = number(&key, &value)?,
            "pretty" => options.pretty = is_true(&value),
            "includeObject" => options.include_object = value,
            "watch" | "timeout" => {}
            _ => options.other.push((key, value)),
        }
    }
    Ok(options)
}

fn dry_run(value: &str) -> Result<bool, Status> {
    match value {
        "" => Ok(false),
        "All" => Ok(true),
        other => Err(Status::bad_request(format!(
            "Invalid value: \"{other}\": supported values: \"All\""
        ))),
    }
}

fn number<T: std::str::FromStr>(key: &str, value: &str) -> Result<Option<T>, Status> {
    if value.is_empty() {
        return Ok(None);
    }
    value.parse().map(Some).map_err(|_malformed| {
        Status::bad_request(format!(
            "strconv.ParseInt: parsing \"{value}\": invalid syntax (parameter {key})"
        ))
    })
}

/// As upstream converts query parameters: everything but these means true.
fn is_true(value: &str) -> bool {
    !matches!(value, "0" | "false" | "False" | "FALSE" | "f" | "F")
}

fn parameter(query: &str, key: &str) -> Option<String> {
    pairs(query)
        .find(|(name, _)| name == key)
        .map(|(_, value)| value)
}

fn pairs(query: &str) -> impl Iterator<Item = (String, String)> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (
                decode(&key.replace('+', " ")),
                decode(&value.replace('+', " ")),
            )
        })
}

/// Percent-decoding; what is not valid stays as it is.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        if first == b'%'
            && let Some((code, after)) = tail.split_first_chunk::<2>()
            && let Ok(code) = std::str::from_utf8(code)
            && let Ok(byte) = u8::from_str_radix(code, 16)
        {
            bytes.push(byte);
            rest = after;
        } else {
            bytes.push(first);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, verb: Verb, target: (&str, &str, &str, &str, &str, &str)) {
        let (method, url) = line.split_once(' ').unwrap();
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let request = Request::parse(method, path, query).unwrap();
        assert_eq!(request.verb, verb);
        let (group, version, namespace, plural, name, subresource) = target;
        let Target::Resource(found) = request.target else {
            panic!("not a resource: {line}");
        };
        assert_eq!(
            (
                found.group.as_str(),
                found.version.as_str(),
                found.namespace.as_str(),
                found.plural.as_str(),
                found.name.as_str(),
                found.subresource.as_str()
            ),
            (group, version, namespace, plural, name, subresource)
        );
    }

    #[test]
    fn request_lines() {
        check(
            "GET /api/v1/pods",
            Verb::List,
            ("", "v1", "", "pods", "", ""),
        );
        check(
            "GET /api/v1/pods?watch=1",
            Verb::Watch,
            ("", "v1", "", "pods", "", ""),
        );
        check(
            "GET /api/v1/watch/pods",
            Verb::Watch,
            ("", "v1", "", "pods", "", ""),
        );
        check(
            "GET /api/v1/namespaces",
            Verb::List,
            ("", "v1", "", "namespaces", "", ""),
        );
        check(
            "DELETE /api/v1/namespaces/a",
            Verb::Delete,
            ("", "v1", "", "namespaces", "a", ""),
        );
        check(
            "PUT /api/v1/namespaces/a/status",
            Verb::Update,
            ("", "v1", "", "namespaces", "a", "status"),
        );
        check(
            "GET /api/v1/namespaces/a/pods/b/log?tailLines=3",
            Verb::Get,
            ("", "v1", "a", "pods", "b", "log"),
        );
        check(
            "PATCH /apis/apps/v1/namespaces/a/deployments/b/scale",
            Verb::Patch,
            ("apps", "v1", "a", "deployments", "b", "scale"),
        );
        check(
            "DELETE /apis/apps/v1/namespaces/a/deployments",
            Verb::DeleteCollection,
            ("apps", "v1", "a", "deployments", "", ""),
        );
        check(
            "GET /apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Anode",
            Verb::Get,
            (
                "rbac.authorization.k8s.io",
                "v1",
                "",
                "clusterroles",
                "system:node",
                "",
            ),
        );
    }

    #[test]
    fn queries_are_decoded() {
        let request = Request::parse(
            "GET",
            "/api/v1/pods",
            "labelSelector=app%3Dweb%2Ctier+in+%28a%29&limit=500",
        )
        .unwrap();
        assert_eq!(request.options.label_selector, "app=web,tier in (a)");
        assert_eq!(request.options.limit, 500);
        assert!(Request::parse("GET", "/api/v1/pods", "limit=x").is_err());
    }
}
