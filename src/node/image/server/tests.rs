//! The registry as its clients meet it: a plain HTTP push, our own puller, and `skopeo`.

use std::process::Command;

use reqwest::Response;
use serde_json::{Value, json};

use crate::node::image::Name;
use crate::node::image::registry::{Options, pull};
use crate::node::image::sample::{Sample, Served, digest, noise, tar_of};
use crate::node::image::store::Store;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn sample() -> Sample {
    Sample::of(&[
        tar_of(&[("etc/motd", b"hello")]),
        tar_of(&[("bin/tool", &noise(300_000))]),
    ])
}

#[track_caller]
fn header<'a>(answer: &'a Response, name: &str) -> &'a str {
    answer.headers().get(name).unwrap().to_str().unwrap()
}

/// Expects a refusal with this status and code.
async fn refused(answer: Response, status: u16, code: &str) {
    assert_eq!(answer.status(), status);
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["errors"][0]["code"], code, "{body}");
    assert!(
        body["errors"][0]["message"].as_str().unwrap().len() > 10,
        "{body}"
    );
}

fn files_below(folder: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.path() {
            path if path.is_dir() => files_below(&path),
            _ => 1,
        })
        .sum()
}

#[tokio::test]
async fn an_image_that_is_pushed_can_be_pulled() {
    let served = Served::begin(None).await;
    let sample = sample();
    served.push("shop/cart", "2", &sample).await;

    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let name = Name::parse(&format!("{}/shop/cart:2", served.address)).unwrap();
    let image = pull(&store, &name, &Options::default()).await.unwrap();
    assert_eq!(image.digest, digest(&sample.manifest));
    let motd = image.layers[0].join("etc/motd");
    assert_eq!(std::fs::read(motd).unwrap(), b"hello");

    let by_digest = format!("{}/shop/cart@{}", served.address, image.digest);
    let name = Name::parse(&by_digest).unwrap();
    pull(&store, &name, &Options::default()).await.unwrap();
    assert_eq!(store.find(&name).unwrap().digest, image.digest);
}

#[tokio::test]
async fn a_blob_comes_in_chunks_and_goes_on_after_a_broken_one() {
    let served = Served::begin(None).await;
    let blob = noise(100_000);
    let (first, second) = blob.split_at(40_000);
    let (client, url) = (&served.client, |path: &str| {
        format!("http://{}{path}", served.address)
    });

    let begun = client
        .post(served.url("shop/blobs/uploads/"))
        .send()
        .await
        .unwrap();
    assert_eq!(begun.status(), 202);
    let upload = url(header(&begun, "location"));
    let sent = client.patch(&upload).header("content-range", "0-39999");
    let sent = sent.body(first.to_vec()).send().await.unwrap();
    assert_eq!(sent.status(), 202);
    assert_eq!(header(&sent, "range"), "0-39999");

    // The same chunk again does not fit, and the answer says where to go on.
    let again = client.patch(&upload).header("content-range", "0-39999");
    let again = again.body(first.to_vec()).send().await.unwrap();
    assert_eq!(header(&again, "range"), "0-39999");
    refused(again, 416, "BLOB_UPLOAD_INVALID").await;
    let status = client.get(&upload).send().await.unwrap();
    assert_eq!(status.status(), 204);
    assert_eq!(header(&status, "range"), "0-39999");

    let put = client.put(format!("{upload}?digest={}", digest(&blob)));
    let put = put.body(second.to_vec()).send().await.unwrap();
    assert_eq!(put.status(), 201);
    assert_eq!(header(&put, "docker-content-digest"), digest(&blob));
    let got = client
        .get(url(header(&put, "location")))
        .send()
        .await
        .unwrap();
    assert_eq!(got.bytes().await.unwrap(), blob);
    refused(
        client.get(&upload).send().await.unwrap(),
        404,
        "BLOB_UPLOAD_UNKNOWN",
    )
    .await;
}

#[tokio::test]
async fn a_wrong_digest_keeps_nothing() {
    let served = Served::begin(None).await;
    let client = &served.client;
    let path = format!("shop/blobs/uploads/?digest={}", digest(b"other"));
    let answer = client
        .post(served.url(&path))
        .body("this")
        .send()
        .await
        .unwrap();
    refused(answer, 400, "DIGEST_INVALID").await;

    let begun = client
        .post(served.url("shop/blobs/uploads/"))
        .send()
        .await
        .unwrap();
    let upload = format!("http://{}{}", served.address, header(&begun, "location"));
    let put = client.put(format!("{upload}?digest={}", digest(b"other")));
    refused(
        put.body("this").send().await.unwrap(),
        400,
        "DIGEST_INVALID",
    )
    .await;
    assert_eq!(files_below(served.store.root()), 0);
}

#[tokio::test]
async fn an_upload_can_be_given_up() {
    let served = Served::begin(None).await;
    let begun = served
        .client
        .post(served.url("shop/blobs/uploads/"))
        .send()
        .await
        .unwrap();
    let upload = format!("http://{}{}", served.address, header(&begun, "location"));
    let gone = served.client.delete(&upload).send().await.unwrap();
    assert_eq!(gone.status(), 204);
    assert_eq!(files_below(served.store.root()), 0);
}

#[tokio::test]
async fn a_blob_of_another_repository_is_mounted() {
    let served = Served::begin(None).await;
    let sample = sample();
    served.push("shop/cart", "2", &sample).await;
    let layer = digest(&sample.layers[1]);

    let blob = served.url(&format!("store/cart/blobs/{layer}"));
    let before = served.client.get(&blob).send().await.unwrap();
    refused(before, 404, "BLOB_UNKNOWN").await;
    let path = format!("store/cart/blobs/uploads/?mount={layer}&from=shop/cart");
    let mounted = served.client.post(served.url(&path)).send().await.unwrap();
    assert_eq!(mounted.status(), 201);
    assert_eq!(
        served.client.head(&blob).send().await.unwrap().status(),
        200
    );

    let path = format!(
        "store/cart/blobs/uploads/?mount={}&from=shop/cart",
        digest(b"unknown")
    );
    let unknown = served.client.post(served.url(&path)).send().await.unwrap();
    assert_eq!(unknown.status(), 202, "it is to be pushed then");
}

#[tokio::test]
async fn parts_of_a_blob_are_served() {
    let served = Served::begin(None).await;
    let sample = sample();
    served.push("shop/cart", "2", &sample).await;
    let layer = &sample.layers[1];
    let url = served.url(&format!("shop/cart/blobs/{}", digest(layer)));

    let head = served.client.head(&url).send().await.unwrap();
    assert_eq!(header(&head, "content-length"), layer.len().to_string());
    let part = served.client.get(&url).header("range", "bytes=100-");
    let part = part.send().await.unwrap();
    assert_eq!(part.status(), 206);
    let length = layer.len();
    let expected = format!("bytes 100-{}/{length}", length - 1);
    assert_eq!(header(&part, "content-range"), expected);
    assert_eq!(part.bytes().await.unwrap(), layer[100..]);
    let beyond = served
        .client
        .get(&url)
        .header("range", format!("bytes={length}-"));
    refused(beyond.send().await.unwrap(), 416, "SIZE_INVALID").await;
}

#[tokio::test]
async fn manifests_are_refused_that_name_what_is_not_there() {
    let served = Served::begin(None).await;
    let put = |body: Vec<u8>| {
        let put = served.client.put(served.url("shop/manifests/1"));
        put.header("content-type", MANIFEST).body(body).send()
    };
    let answer = put(sample().manifest).await.unwrap();
    refused(answer, 400, "MANIFEST_BLOB_UNKNOWN").await;
    let answer = put(b"{".to_vec()).await.unwrap();
    refused(answer, 400, "MANIFEST_INVALID").await;
    let odd = json!({"schemaVersion": 2, "mediaType": "application/other"});
    let answer = put(odd.to_string().into_bytes()).await.unwrap();
    refused(answer, 400, "MANIFEST_INVALID").await;
    let traversing = json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": {"digest": "sha256:../../../../etc/passwd"},
    });
    let answer = put(traversing.to_string().into_bytes()).await.unwrap();
    refused(answer, 400, "MANIFEST_INVALID").await;
    let answer = put(vec![b' '; 5 << 20]).await;
    // The connection may be closed before all of it was sent.
    if let Ok(answer) = answer {
        refused(answer, 413, "MANIFEST_INVALID").await;
    }
    assert_eq!(files_below(served.store.root()), 0);
}

#[tokio::test]
async fn lists_say_what_is_there() {
    let served = Served::begin(None).await;
    let sample = sample();
    for (name, tag) in [("shop/cart", "1"), ("shop/cart", "2"), ("tools", "1")] {
        served.push(name, tag, &sample).await;
    }
    let get = async |path: &str| served.client.get(served.url(path)).send().await.unwrap();
    let body: Value = get("_catalog").await.json().await.unwrap();
    assert_eq!(body, json!({"repositories": ["shop/cart", "tools"]}));
    let page = get("shop/cart/tags/list?n=1").await;
    let next = "</v2/shop/cart/tags/list?n=1&last=1>; rel=\"next\"";
    assert_eq!(header(&page, "link"), next);
    let body: Value = page.json().await.unwrap();
    assert_eq!(body, json!({"name": "shop/cart", "tags": ["1"]}));
    refused(get("nothing/tags/list").await, 404, "NAME_UNKNOWN").await;
    refused(get("shop/cart/manifests/3").await, 404, "MANIFEST_UNKNOWN").await;
    assert_eq!(get("").await.status(), 200);
}

#[tokio::test]
async fn what_is_deleted_is_gone() {
    let served = Served::begin(None).await;
    let sample = sample();
    served.push("shop", "1", &sample).await;
    served.push("shop", "2", &sample).await;
    let url = |reference: &str| served.url(&format!("shop/manifests/{reference}"));
    let of = digest(&sample.manifest);
    let delete = async |url: String| served.client.delete(url).send().await.unwrap();
    let get = async |url: String| served.client.get(url).send().await.unwrap();

    assert_eq!(delete(url("1")).await.status(), 202);
    refused(get(url("1")).await, 404, "MANIFEST_UNKNOWN").await;
    assert_eq!(get(url("2")).await.status(), 200);
    assert_eq!(delete(url(&of)).await.status(), 202);
    refused(get(url("2")).await, 404, "MANIFEST_UNKNOWN").await;
    refused(delete(url(&of)).await, 404, "MANIFEST_UNKNOWN").await;

    let blob = served.url(&format!("shop/blobs/{}", digest(&sample.layers[0])));
    assert_eq!(delete(blob.clone()).await.status(), 202);
    refused(get(blob.clone()).await, 404, "BLOB_UNKNOWN").await;
    let post = served.client.post(blob).send().await.unwrap();
    refused(post, 405, "UNSUPPORTED").await;
}

#[tokio::test]
async fn referrers_name_their_subject() {
    let served = Served::begin(None).await;
    let sample = sample();
    served.push("shop", "1", &sample).await;
    let subject = digest(&sample.manifest);
    let signature = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": "application/signature",
        "config": {"mediaType": "application/vnd.oci.empty.v1+json",
            "digest": digest(&sample.configuration), "size": sample.configuration.len()},
        "layers": [],
        "subject": {"mediaType": MANIFEST, "digest": subject, "size": sample.manifest.len()},
        "annotations": {"by": "release"},
    });
    let body = signature.to_string();
    let put = served
        .client
        .put(served.url(&format!("shop/manifests/{}", digest(body.as_bytes()))));
    let put = put.header("content-type", MANIFEST).body(body.clone());
    let put = put.send().await.unwrap();
    assert_eq!(put.status(), 201);
    assert_eq!(header(&put, "oci-subject"), subject);

    let get = async |path: String| served.client.get(served.url(&path)).send().await.unwrap();
    let path = format!("shop/referrers/{subject}");
    let found: Value = get(path.clone()).await.json().await.unwrap();
    assert_eq!(found["manifests"][0]["digest"], digest(body.as_bytes()));
    assert_eq!(
        found["manifests"][0]["artifactType"],
        "application/signature"
    );
    assert_eq!(found["manifests"][0]["annotations"]["by"], "release");
    let none = get(format!("{path}?artifactType=application/other")).await;
    assert_eq!(header(&none, "oci-filters-applied"), "artifactType");
    let none: Value = none.json().await.unwrap();
    assert_eq!(none["manifests"], json!([]));
}

#[tokio::test]
async fn users_who_are_named_must_say_who_they_are() {
    let served = Served::begin(Some("# builders\nci:s3cret\n")).await;
    let get = |password: Option<&'static str>| {
        let request = served.client.get(served.url(""));
        match password {
            Some(password) => request.basic_auth("ci", Some(password)).send(),
            None => request.send(),
        }
    };
    let answer = get(None).await.unwrap();
    assert!(header(&answer, "www-authenticate").starts_with("Basic "));
    refused(answer, 401, "UNAUTHORIZED").await;
    refused(get(Some("wrong")).await.unwrap(), 401, "UNAUTHORIZED").await;
    assert_eq!(get(Some("s3cret")).await.unwrap().status(), 200);
    let nobody = Served::begin(Some("")).await;
    let answer = nobody.client.get(nobody.url("")).send().await.unwrap();
    refused(answer, 401, "UNAUTHORIZED").await;
}

/// Runs `skopeo`; false where it is not installed.
async fn skopeo(arguments: Vec<String>) -> bool {
    let ran = tokio::task::spawn_blocking(move || {
        Command::new("skopeo")
            .arg("--insecure-policy")
            .args(arguments)
            .output()
    });
    match ran.await.unwrap() {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{said}");
            true
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            println!("skipped: skopeo is not installed");
            false
        }
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn skopeo_pushes_copies_and_deletes() {
    let served = Served::begin(None).await;
    served.push("shop/cart", "2", &sample()).await;
    let at = |name: &str| format!("docker://{}/{name}", served.address);
    let folder = served.folder.path().join("layout");
    let layout = format!("oci:{}:cart", folder.display());
    let words = |words: &[&str]| {
        words
            .iter()
            .map(|&word| word.to_owned())
            .collect::<Vec<_>>()
    };

    let pulled = words(&[
        "copy",
        "--src-tls-verify=false",
        &at("shop/cart:2"),
        &layout,
    ]);
    if !skopeo(pulled).await {
        return;
    }
    let pushed = words(&[
        "copy",
        "--dest-tls-verify=false",
        &layout,
        &at("other/cart:3"),
    ]);
    assert!(skopeo(pushed).await);
    let both = ["--src-tls-verify=false", "--dest-tls-verify=false"];
    let copied = words(&[
        "copy",
        both[0],
        both[1],
        &at("other/cart:3"),
        &at("third:4"),
    ]);
    assert!(skopeo(copied).await);
    assert!(skopeo(words(&["inspect", "--tls-verify=false", &at("third:4")])).await);

    let store = Store::open(&served.folder.path().join("pulled")).unwrap();
    let name = Name::parse(&format!("{}/third:4", served.address)).unwrap();
    let image = pull(&store, &name, &Options::default()).await.unwrap();
    assert_eq!(
        std::fs::read(image.layers[0].join("etc/motd")).unwrap(),
        b"hello"
    );

    assert!(skopeo(words(&["delete", "--tls-verify=false", &at("third:4")])).await);
    let gone = served
        .client
        .get(served.url("third/manifests/4"))
        .send()
        .await
        .unwrap();
    refused(gone, 404, "MANIFEST_UNKNOWN").await;
}
