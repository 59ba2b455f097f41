//! Small images for tests, and a registry that serves them.

use std::io::Write;
use std::net::SocketAddr;

use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpListener;

use super::server::{self, Context, Users};
use super::store::{Store, digest_of};

/// An image with its layers packed.
pub struct Sample {
    pub manifest: Vec<u8>,
    pub configuration: Vec<u8>,
    pub layers: Vec<Vec<u8>>,
}

/// A layer's archive of files with these contents.
pub fn tar_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut layer = tar::Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_uid(u64::from(rustix::process::getuid().as_raw()));
        header.set_gid(u64::from(rustix::process::getgid().as_raw()));
        layer.append_data(&mut header, path, *bytes).unwrap();
    }
    layer.into_inner().unwrap()
}

/// Bytes that do not pack.
pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let step = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    (0..length).map(step).collect()
}

pub fn digest(bytes: &[u8]) -> String {
    digest_of(bytes).unwrap()
}

impl Sample {
    /// An image of these layers' archives.
    pub fn of(layers: &[Vec<u8>]) -> Self {
        let packed: Vec<Vec<u8>> = layers.iter().map(|layer| gzip(layer)).collect();
        let ids: Vec<String> = layers.iter().map(|layer| digest(layer)).collect();
        Self::with(&ids, packed)
    }

    /// An image whose configuration says that its layers unpack to these digests.
    pub fn with(ids: &[String], layers: Vec<Vec<u8>>) -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        let configuration = json!({
            "architecture": architecture, "os": "linux", "config": {},
            "rootfs": {"type": "layers", "diff_ids": ids},
        });
        let configuration = configuration.to_string().into_bytes();
        let mut sample = Self {
            manifest: Vec::new(),
            configuration,
            layers,
        };
        let sizes: Vec<u64> = sample.layers.iter().map(|it| it.len() as u64).collect();
        sample.announce(&sizes);
        sample
    }

    /// Writes the manifest, with these sizes of the layers.
    pub fn announce(&mut self, sizes: &[u64]) {
        let layers = self.layers.iter().zip(sizes).map(|(layer, size)| {
            json!({
                "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
                "digest": digest(layer),
                "size": size,
            })
        });
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": digest(&self.configuration),
                "size": self.configuration.len(),
            },
            "layers": layers.collect::<Vec<_>>(),
        });
        self.manifest = manifest.to_string().into_bytes();
    }

    /// Every blob but the manifest.
    pub fn blobs(&self) -> impl Iterator<Item = &Vec<u8>> {
        std::iter::once(&self.configuration).chain(&self.layers)
    }
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

/// A registry on loopback; it ends with the test's runtime.
pub struct Served {
    pub address: SocketAddr,
    pub store: Store,
    pub folder: TempDir,
    pub client: reqwest::Client,
}

impl Served {
    pub async fn begin(users: Option<&str>) -> Self {
        let _installed_before = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let users = users.map(|text| Users::parse(text).unwrap());
        let context = Context::new(store.clone(), users);
        tokio::spawn(server::serve(
            listener,
            None,
            context,
            std::future::pending(),
        ));
        Self {
            address,
            store,
            folder,
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}/v2/{path}", self.address)
    }

    /// Pushes an image as a plain client does.
    pub async fn push(&self, name: &str, tag: &str, sample: &Sample) {
        self.push_as(None, name, tag, sample).await;
    }

    pub async fn push_as(
        &self,
        user: Option<(&str, &str)>,
        name: &str,
        tag: &str,
        sample: &Sample,
    ) {
        let signed = |request: reqwest::RequestBuilder| match user {
            Some((user, password)) => request.basic_auth(user, Some(password)),
            None => request,
        };
        for blob in sample.blobs() {
            let path = format!("{name}/blobs/uploads/?digest={}", digest(blob));
            let request = signed(self.client.post(self.url(&path)).body(blob.clone()));
            assert_eq!(request.send().await.unwrap().status(), 201, "{path}");
        }
        let put = self
            .client
            .put(self.url(&format!("{name}/manifests/{tag}")));
        let put = put.header("content-type", "application/vnd.oci.image.manifest.v1+json");
        let answer = signed(put.body(sample.manifest.clone()))
            .send()
            .await
            .unwrap();
        let status = answer.status();
        assert_eq!(status, 201, "{}", answer.text().await.unwrap());
    }
}
