//! Container images of this machine: a content-addressed store, and the ways into it.
//!
//! An image is named by a reference (`docker.io/library/busybox:1.36`), immutable by the digest of
//! its manifest, and made of layers that are unpacked once and shared by every container that
//! stands on them. Nothing here runs anything.
//!
//! Start with [`store::Store`]; [`registry`] and [`archive`] fill it, [`layer`] unpacks,
//! [`server`] gives to others what is in it.
//!
//! Source: the OCI image specification 1.1 and its layout; Docker's `docker save` archives.

pub mod archive;
pub mod collect;
pub mod credentials;
mod fetch;
pub mod layer;
pub mod own;
pub mod registry;
#[cfg(test)]
pub mod sample;
pub mod scan;
pub mod server;
pub mod store;

use std::path::PathBuf;

use oci_client::Reference;
use oci_spec::image::ImageConfiguration;

/// An image that can be run from.
#[derive(Clone, Debug)]
pub struct Image {
    pub name: Name,
    /// `sha256:…` of its manifest.
    pub digest: String,
    pub configuration: ImageConfiguration,
    /// Unpacked layers, the lowest first.
    pub layers: Vec<PathBuf>,
    /// Compressed size of all that was fetched, in bytes.
    pub bytes: u64,
}

/// An image's full name, as registries complete it: registry, repository, tag or digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(Reference);

impl Name {
    /// Completes a name as container runtimes do: `busybox` is `docker.io/library/busybox:latest`.
    pub fn parse(text: &str) -> Result<Self, ImageError> {
        let parsed = text.parse::<Reference>();
        parsed.map(Self).map_err(|error| ImageError::Name {
            name: text.to_owned(),
            reason: error.to_string(),
        })
    }

    /// For the registry's client.
    pub fn reference(&self) -> &Reference {
        &self.0
    }

    /// `docker.io/library/busybox`.
    pub fn repository(&self) -> String {
        format!("{}/{}", self.0.registry(), self.0.repository())
    }

    /// Whether it can only ever mean one image.
    pub fn digest(&self) -> Option<&str> {
        self.0.digest()
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(to, "{}", self.0.whole())
    }
}

/// Why an image cannot be had. The words end up in a pod's status.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    #[error("couldn't parse image name \"{name}\": {reason}")]
    Name { name: String, reason: String },
    #[error("image \"{0}\" is not on this machine")]
    Absent(String),
    #[error("failed to pull \"{name}\": {reason}")]
    Pull { name: String, reason: String },
    #[error("{what} is {got}, expected {expected}; nothing of it was kept")]
    Digest {
        what: String,
        expected: String,
        got: String,
    },
    #[error("a layer of it cannot be unpacked: {0}")]
    Layer(#[from] layer::LayerError),
    #[error("{what} is not understood: {reason}")]
    Malformed { what: String, reason: String },
    #[error("the image store `{}` cannot be used: {source}", path.display())]
    Store {
        path: PathBuf,
        source: std::io::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_completed_as_runtimes_do() {
        let full = |text: &str| Name::parse(text).map(|name| name.to_string()).ok();
        assert_eq!(
            full("busybox").as_deref(),
            Some("docker.io/library/busybox:latest")
        );
        assert_eq!(
            full("localhost:5000/shop/cart:2").as_deref(),
            Some("localhost:5000/shop/cart:2")
        );
        assert!(Name::parse("Not A Name").is_err());
    }
}
