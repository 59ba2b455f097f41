//! Content negotiation: plain objects, tables, or metadata alone.

use super::status::Status;

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Form {
    #[default]
    Object,
    Table,
    /// `PartialObjectMetadata`.
    Metadata,
}

/// The first offer that the server can make, in the client's order.
pub(super) fn form(accept: &str) -> Result<Form, Status> {
    if accept.trim().is_empty() {
        return Ok(Form::Object);
    }
    for offer in accept.split(',') {
        let mut parts = offer.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default();
        if !matches!(
            media_type,
            "application/json" | "*/*" | "application/*" | "text/plain"
        ) {
            continue;
        }
        let parameter = |name: &str| {
            offer
                .split(';')
                .filter_map(|part| part.trim().split_once('='))
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value)
        };
        match (parameter("as"), parameter("g"), parameter("v")) {
            (None, _, _) => return Ok(Form::Object),
            (Some("Table"), Some("meta.k8s.io"), Some("v1")) => return Ok(Form::Table),
            (
                Some("PartialObjectMetadata" | "PartialObjectMetadataList"),
                Some("meta.k8s.io"),
                Some("v1"),
            ) => return Ok(Form::Metadata),
            _ => {}
        }
    }
    Err(Status::new(
        406,
        "NotAcceptable",
        "only the following media types are accepted: application/json",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(accept: &str, expected: Option<Form>) {
        assert_eq!(form(accept).ok(), expected, "{accept}");
    }

    #[test]
    fn the_first_offer_that_can_be_made_is_taken() {
        check("", Some(Form::Object));
        check("*/*", Some(Form::Object));
        check(
            "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
            Some(Form::Table),
        );
        check(
            "application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
            Some(Form::Object),
        );
        check(
            "application/vnd.kubernetes.protobuf,application/json",
            Some(Form::Object),
        );
        check(
            "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
            Some(Form::Metadata),
        );
        check("application/vnd.kubernetes.protobuf", None);
    }
}
