//! Pulls from registries as they should be, as networks make them, and as an attacker would.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{Request, StatusCode, header};
use tempfile::TempDir;
use tokio::net::TcpListener;

use super::{Limits, Options, pull};
use crate::node::image::credentials::Keyring;
use crate::node::image::sample::{Sample, Served, digest, gzip, noise, tar_of};
use crate::node::image::store::Store;
use crate::node::image::{Image, ImageError, Name};

const SIZE: usize = 200_000;

fn sample() -> Sample {
    Sample::of(&[tar_of(&[("bin/tool", &noise(SIZE))])])
}

/// Where an image is pulled to.
struct Here {
    folder: TempDir,
    store: Store,
}

impl Here {
    fn new() -> Self {
        let _installed_before = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        Self { folder, store }
    }

    async fn pull(&self, from: SocketAddr, keyring: Keyring) -> Result<Image, ImageError> {
        let name = Name::parse(&format!("{from}/shop/cart:1")).unwrap();
        let limits = Limits {
            silence: Duration::from_millis(300),
            manifest: Duration::from_secs(2),
            pause: Duration::from_millis(10),
            ..Limits::default()
        };
        let options = Options {
            keyring,
            limits,
            progress: &|_, _| {},
        };
        pull(&self.store, &name, &options).await
    }

    /// Expects a refusal with these words, and that nothing is left but what is listed.
    #[track_caller]
    fn refused(&self, result: Result<Image, ImageError>, words: &[&str], left: &[String]) {
        let said = result.map(|image| image.digest).unwrap_err().to_string();
        for word in words {
            assert!(said.contains(word), "`{word}` is missing: {said}");
        }
        assert!(self.store.records().unwrap().is_empty());
        assert_eq!(left_in(self.folder.path()), left, "{said}");
    }
}

/// Blobs, layers and unfinished files of a store.
fn left_in(root: &Path) -> Vec<String> {
    let mut left = Vec::new();
    for part in ["blobs/sha256", "ingest", "layers"] {
        for entry in std::fs::read_dir(root.join(part)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            left.push(format!("{part}/{name}"));
        }
    }
    left.sort();
    left
}

fn place(part: &str, bytes: &[u8]) -> String {
    format!("{part}/{}", digest(bytes).trim_start_matches("sha256:"))
}

/// The beginning of a blob that is asked for.
fn asked_from(request: &Request<Body>) -> usize {
    let range = request.headers().get(header::RANGE);
    let range = range.and_then(|range| range.to_str().ok()?.strip_prefix("bytes="));
    range.map_or(0, |range| range.trim_end_matches('-').parse().unwrap())
}

/// A registry that has one image, and answers for its last layer as it is told.
async fn registry(
    sample: Sample,
    answer: impl Fn(&Request<Body>, &[u8]) -> Response + Clone + Send + Sync + 'static,
) -> SocketAddr {
    let sample = Arc::new(sample);
    let app = Router::new().fallback(move |request: Request<Body>| {
        let (sample, answer) = (Arc::clone(&sample), answer.clone());
        async move {
            let path = request.uri().path().to_owned();
            let last = sample.layers.last().unwrap();
            if path.contains("/manifests/") {
                let kind = "application/vnd.oci.image.manifest.v1+json";
                let response = Response::builder().header(header::CONTENT_TYPE, kind);
                return response.body(Body::from(sample.manifest.clone())).unwrap();
            }
            if path.ends_with(&digest(last)) {
                // The configuration is here first, so that tests know what is left.
                tokio::time::sleep(Duration::from_millis(100)).await;
                return answer(&request, last);
            }
            match sample.blobs().find(|blob| path.ends_with(&digest(blob))) {
                Some(blob) => Response::new(Body::from(blob.clone())),
                None => status(StatusCode::NOT_FOUND),
            }
        }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = std::future::pending();
    tokio::spawn(crate::node::image::server::serve_app(
        listener, None, app, stop,
    ));
    address
}

fn status(status: StatusCode) -> Response {
    Response::builder()
        .status(status)
        .body(Body::empty())
        .unwrap()
}

async fn cut() -> std::io::Result<Bytes> {
    // What was written before is on its way by then.
    tokio::time::sleep(Duration::from_millis(50)).await;
    Err(std::io::Error::other("the cable was cut"))
}

/// These bytes, and then what the stream of bytes does.
fn begun(
    bytes: &[u8],
    then: impl futures::Stream<Item = std::io::Result<Bytes>> + Send + 'static,
) -> Body {
    let bytes = Bytes::copy_from_slice(bytes);
    Body::from_stream(stream::iter([Ok(bytes)]).chain(then))
}

fn partial(whole: &[u8], from: usize, body: Body) -> Response {
    let last = whole.len() - 1;
    Response::builder()
        .status(StatusCode::PARTIAL_CONTENT)
        .header(
            header::CONTENT_RANGE,
            format!("bytes {from}-{last}/{}", whole.len()),
        )
        .body(body)
        .unwrap()
}

#[tokio::test]
async fn a_broken_download_goes_on_where_it_broke() {
    let (here, sent) = (Here::new(), Arc::new(AtomicU64::new(0)));
    let counted = Arc::clone(&sent);
    let from = registry(sample(), move |request, layer| {
        let begin = asked_from(request);
        let end = layer.len().min(begin + 70_000);
        counted.fetch_add((end - begin) as u64, Ordering::Relaxed);
        let part = &layer[begin..end];
        let body = if end < layer.len() {
            begun(part, stream::once(cut()))
        } else {
            Body::from(part.to_vec())
        };
        if begin == 0 {
            Response::new(body)
        } else {
            partial(layer, begin, body)
        }
    });
    let from = from.await;
    let image = here.pull(from, Keyring::default()).await.unwrap();
    let tool = std::fs::read(image.layers[0].join("bin/tool")).unwrap();
    assert_eq!(tool, noise(SIZE));
    // How much of a chunk arrives before the break is the system's affair: nothing is sent twice
    // that was written.
    let sent = sent.load(Ordering::Relaxed);
    assert!(sent < 2 * SIZE as u64, "{sent}");
}

#[tokio::test]
async fn a_stalled_registry_is_left_and_what_came_is_kept_for_the_next_pull() {
    let here = Here::new();
    let image = sample();
    let kept = place("ingest", &image.layers[0]);
    let configuration = place("blobs/sha256", &image.configuration);
    let from = registry(image, |request, layer| {
        let begin = asked_from(request);
        let part = if begin == 0 { &layer[..1_000] } else { &[][..] };
        let body = begun(part, stream::pending());
        if begin == 0 {
            Response::new(body)
        } else {
            partial(layer, begin, body)
        }
    });
    let result = here.pull(from.await, Keyring::default()).await;
    let words = ["failed to pull", "sent nothing for 0.3 s"];
    here.refused(result, &words, &[configuration, kept.clone()]);
    let length = std::fs::metadata(here.folder.path().join(kept))
        .unwrap()
        .len();
    assert_eq!(length, 1_000);
}

#[tokio::test]
async fn what_is_not_its_digest_is_thrown_away() {
    let here = Here::new();
    let image = sample();
    let configuration = place("blobs/sha256", &image.configuration);
    let from = registry(image, |_, layer| {
        Response::new(Body::from(vec![7; layer.len()]))
    });
    let result = here.pull(from.await, Keyring::default()).await;
    let words = ["digest of what was fetched", "nothing of it was kept"];
    here.refused(result, &words, &[configuration]);
}

#[tokio::test]
async fn a_short_body_is_named() {
    let here = Here::new();
    let image = sample();
    let kept = [
        place("blobs/sha256", &image.configuration),
        place("ingest", &image.layers[0]),
    ];
    let expected = format!("it ended after 500 of {} bytes", image.layers[0].len());
    let from = registry(image, |request, layer| match asked_from(request) {
        0 => Response::new(Body::from(layer[..500].to_vec())),
        from => partial(layer, from, Body::empty()),
    });
    let result = here.pull(from.await, Keyring::default()).await;
    here.refused(result, &[&expected], &kept);
}

#[tokio::test]
async fn a_body_longer_than_announced_is_cut_off() {
    let here = Here::new();
    let mut image = sample();
    image.announce(&[1_000]);
    let configuration = place("blobs/sha256", &image.configuration);
    let from = registry(image, |_, layer| Response::new(Body::from(layer.to_vec())));
    let result = here.pull(from.await, Keyring::default()).await;
    here.refused(
        result,
        &["longer than the 1000 bytes announced"],
        &[configuration],
    );
}

#[tokio::test]
async fn an_image_larger_than_the_disk_is_not_begun() {
    let here = Here::new();
    let mut image = sample();
    image.announce(&[1 << 60]);
    let from = registry(image, |_, _| status(StatusCode::NOT_FOUND)).await;
    let result = here.pull(from, Keyring::default()).await;
    here.refused(
        result,
        &["bytes are to be fetched, and the disk has room for"],
        &[],
    );
}

#[tokio::test]
async fn layers_that_are_wrong_inside_leave_nothing() {
    let good = tar_of(&[("etc/motd", b"hello")]);
    let mut cut = gzip(&tar_of(&[("bin/tool", &noise(SIZE))]));
    cut.truncate(SIZE / 2);
    let mut header = tar::Header::new_gnu();
    header.as_old_mut().name[..10].copy_from_slice(b"../escaped");
    header.set_size(0);
    header.set_cksum();
    let mut escaping = tar::Builder::new(Vec::new());
    escaping.append(&header, std::io::empty()).unwrap();
    let escaping = escaping.into_inner().unwrap();
    let other = digest(b"something else");
    let cases = [
        (Sample::with(&[digest(&good)], vec![cut]), "it is damaged"),
        (
            Sample::with(&[other], vec![gzip(&good)]),
            "the unpacked digest of layer",
        ),
        (
            Sample::with(&[digest(&escaping)], vec![gzip(&escaping)]),
            "would be written outside",
        ),
        (
            Sample::with(&[], vec![gzip(&good)]),
            "it names 0 layers, its manifest 1",
        ),
    ];
    for (image, word) in cases {
        let here = Here::new();
        let from = registry(image, |_, layer| Response::new(Body::from(layer.to_vec()))).await;
        let result = here.pull(from, Keyring::default()).await;
        here.refused(result, &[word], &[]);
    }
}

#[tokio::test]
async fn pull_secrets_open_private_registries() {
    let served = Served::begin(Some("ci:s3cret")).await;
    let image = sample();
    served
        .push_as(Some(("ci", "s3cret")), "shop/cart", "1", &image)
        .await;
    let keys = |entries: &[(&str, &str)]| {
        let mut keyring = Keyring::default();
        for (key, password) in entries {
            let json = format!(
                r#"{{"auths": {{"{key}": {{"username": "ci", "password": "{password}"}}}}}}"#
            );
            keyring.add(json.as_bytes()).unwrap();
        }
        keyring
    };
    let here = Here::new();
    let registry = served.address.to_string();
    let result = here.pull(served.address, Keyring::default()).await;
    here.refused(result, &["failed to pull", "shop/cart"], &[]);
    let result = here
        .pull(served.address, keys(&[(&registry, "wrong")]))
        .await;
    here.refused(result, &["failed to pull"], &[]);
    let path = format!("{registry}/shop");
    let both = keys(&[(&registry, "s3cret"), (&path, "wrong")]);
    let found = here.pull(served.address, both).await.unwrap();
    assert_eq!(found.digest, digest(&image.manifest));
}

#[tokio::test]
async fn pulls_at_once_fetch_a_layer_once() {
    let (here, asked) = (Here::new(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&asked);
    let from = registry(sample(), move |_, layer| {
        counted.fetch_add(1, Ordering::Relaxed);
        let (first, rest) = layer.split_at(1_000);
        let rest = Bytes::copy_from_slice(rest);
        let late = async move {
            tokio::time::sleep(Duration::from_millis(100)).await;
            Ok(rest)
        };
        Response::new(begun(first, stream::once(late)))
    });
    let from = from.await;
    let pull = || here.pull(from, Keyring::default());
    let (one, two, three) = tokio::join!(pull(), pull(), pull());
    assert_eq!(one.unwrap().digest, two.unwrap().digest);
    three.unwrap();
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn what_a_registry_lacks_is_said() {
    let served = Served::begin(None).await;
    let here = Here::new();
    let result = here.pull(served.address, Keyring::default()).await;
    here.refused(result, &["failed to pull", "shop/cart"], &[]);
}
