//! Images and databases as they are found, and as they should not be.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::severity::Severity;
use super::{Report, ScanError, kept, scan};
use crate::node::image::sample::{Sample, digest, tar_of};
use crate::node::image::store::Store;
use crate::node::image::{Image, Name};

const DEBIAN: &[u8] = b"ID=debian\nVERSION_ID=\"12\"\n";
const STATUS: &[u8] = b"Package: libssl3\nStatus: install ok installed\nSource: openssl\nVersion: 3.0.11-1~deb12u1\n\nPackage: openssl\nStatus: install ok installed\nVersion: 3.0.11-1~deb12u1\n\nPackage: zlib1g\nStatus: install ok installed\nSource: zlib (1:1.2.13.dfsg-1)\nVersion: 1:1.2.13.dfsg-1+b1\n";

/// An image of layers with these files, the lowest first.
fn image(folder: &Path, layers: &[&[(&str, &[u8])]]) -> Image {
    let store = Store::open(&folder.join("store")).unwrap();
    let layers: Vec<Vec<u8>> = layers.iter().map(|files| tar_of(files)).collect();
    let sample = Sample::of(&layers);
    for blob in sample.blobs().chain([&sample.manifest]) {
        store.put(&digest(blob), &mut blob.as_slice()).unwrap();
    }
    let name = Name::parse("localhost/scanned:1").unwrap();
    store.name(&name, &digest(&sample.manifest)).unwrap()
}

fn debian(folder: &Path) -> Image {
    let files = [("etc/os-release", DEBIAN), ("var/lib/dpkg/status", STATUS)];
    image(folder, &[&files])
}

fn advisory(id: &str, ecosystem: &str, package: &str, events: &Value) -> Value {
    json!({
        "schema_version": "1.6.0", "id": id, "modified": "2024-01-01T00:00:00Z",
        "aliases": ["CVE-2024-0001"], "summary": "a hole",
        "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N"}],
        "affected": [{
            "package": {"ecosystem": ecosystem, "name": package},
            "ranges": [{"type": "ECOSYSTEM", "events": events}],
        }],
    })
}

fn held(image: &Image, folder: &Path, database: &Value) -> Result<Report, ScanError> {
    let path = folder.join("db.json");
    fs::write(&path, database.to_string()).unwrap();
    scan(image, &path)
}

/// Versions of openssl 3.0.11-1~deb12u1 that these events say are affected.
#[track_caller]
fn check(events: &Value, expected: &[Option<&str>]) {
    let folder = tempfile::tempdir().unwrap();
    let found = held(
        &debian(folder.path()),
        folder.path(),
        &advisory("DSA-1", "Debian:12", "openssl", events),
    );
    let found = found.unwrap().findings;
    let got: Vec<Option<&str>> = found.iter().map(|it| it.fixed.as_deref()).collect();
    assert_eq!(got, expected, "{events}");
}

#[test]
fn the_last_scan_of_an_image_is_kept_while_the_image_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let image = debian(folder.path());
    let store = Store::open(&folder.path().join("store")).unwrap();
    let events = json!([{"introduced": "0"}, {"fixed": "99"}]);
    let report = |package: &str| {
        let database = advisory("DSA-1", "Debian:12", package, &events);
        held(&image, folder.path(), &database).unwrap()
    };
    let at = "2026-01-02T03:04:05Z".parse().unwrap();
    kept::keep(&store, &report("openssl"), at).unwrap();
    let found = [(
        image.digest.clone(),
        "1 high (Debian:12, 2026-01-02)".to_owned(),
    )];
    assert_eq!(kept::all(&store), found.into());
    kept::keep(&store, &report("other"), at).unwrap();
    let found = [(
        image.digest.clone(),
        "none known (Debian:12, 2026-01-02)".to_owned(),
    )];
    assert_eq!(kept::all(&store), found.into());
    // Of one that is gone, the next forgets it.
    let other = Report {
        digest: "sha256:other".to_owned(),
        ..report("other")
    };
    kept::keep(&store, &other, at).unwrap();
    assert_eq!(kept::all(&store).len(), 2);
    kept::keep(&store, &report("other"), at).unwrap();
    assert_eq!(
        kept::all(&store).into_keys().collect::<Vec<_>>(),
        [image.digest]
    );
}

#[test]
fn events_say_which_versions_are_affected() {
    let fixed = |at: &str| json!([{"introduced": "0"}, {"fixed": at}]);
    check(&fixed("3.0.11-1~deb12u2"), &[Some("3.0.11-1~deb12u2")]);
    check(&fixed("3.0.11-1~deb12u1"), &[]);
    check(&fixed("3.0.9"), &[]);
    check(&json!([{"introduced": "0"}]), &[None]);
    check(&json!([{"introduced": "3.1"}]), &[]);
    check(
        &json!([{"introduced": "0"}, {"last_affected": "3.0.11-1~deb12u1"}]),
        &[None],
    );
    check(
        &json!([{"introduced": "0"}, {"last_affected": "3.0.10"}]),
        &[],
    );
    let twice = json!([
        {"introduced": "0"}, {"fixed": "1.1"}, {"introduced": "3.0"}, {"fixed": "3.0.12"}
    ]);
    check(&twice, &[Some("3.0.12")]);
}

#[test]
fn packages_of_one_source_are_one_finding() {
    let folder = tempfile::tempdir().unwrap();
    let image = debian(folder.path());
    let events = json!([{"introduced": "0"}, {"fixed": "3.0.13"}]);
    let mut withdrawn = advisory("DSA-2", "Debian:12", "openssl", &events);
    withdrawn["withdrawn"] = json!("2024-02-01T00:00:00Z");
    let database = json!([
        advisory("DSA-1", "Debian:12", "openssl", &events),
        withdrawn,
        advisory("DSA-3", "Debian:11", "openssl", &events),
        advisory("DSA-4", "Alpine:v3.18", "openssl", &events),
        advisory("DSA-5", "Debian:12", "libssl3", &events),
    ]);
    let report = held(&image, folder.path(), &database).unwrap();
    assert_eq!((report.packages, report.advisories), (3, 2));
    assert_eq!(report.ecosystem, "Debian:12");
    assert_eq!(report.findings.len(), 1, "{:?}", report.findings);
    let finding = &report.findings[0];
    assert_eq!(finding.installed, ["libssl3", "openssl"]);
    assert_eq!(
        (finding.severity, finding.score),
        (Severity::High, Some(7.5))
    );
    assert_eq!(finding.aliases, ["CVE-2024-0001"]);
}

#[test]
fn alpine_images_are_judged_by_their_origins_and_their_own_order() {
    let folder = tempfile::tempdir().unwrap();
    let files: [(&str, &[u8]); 2] = [
        ("etc/os-release", b"ID=alpine\nVERSION_ID=3.18.4\n"),
        (
            "lib/apk/db/installed",
            b"P:ssl_client\nV:1.36.1-r9\no:busybox\n\nP:musl\nV:1.2.4-r2\n\n",
        ),
    ];
    let image = image(folder.path(), &[&files]);
    let mut listed = advisory("ALPINE-2", "Alpine:v3.18", "musl", &json!([]));
    listed["affected"][0]["versions"] = json!(["1.2.4-r1", "1.2.4-r2"]);
    let database = json!({"vulns": [
        advisory("ALPINE-1", "Alpine:v3.18", "busybox", &json!([{"introduced": "0"}, {"fixed": "1.36.1-r10"}])),
        listed,
    ]});
    let report = held(&image, folder.path(), &database).unwrap();
    let ids: Vec<&str> = report.findings.iter().map(|it| it.id.as_str()).collect();
    assert_eq!(ids, ["ALPINE-1", "ALPINE-2"]);
    assert_eq!(report.findings[0].installed, ["ssl_client"]);
    assert_eq!(report.findings[1].fixed, None);
}

#[test]
fn upper_layers_hide_what_is_below_them() {
    let folder = tempfile::tempdir().unwrap();
    let above: &[u8] = b"Package: openssl\nStatus: install ok installed\nVersion: 3.0.13\n";
    let image = image(
        folder.path(),
        &[
            &[("etc/os-release", DEBIAN), ("var/lib/dpkg/status", STATUS)],
            &[("var/lib/dpkg/status", above)],
        ],
    );
    let events = json!([{"introduced": "0"}, {"fixed": "3.0.13"}]);
    let database = advisory("DSA-1", "Debian:12", "openssl", &events);
    let report = held(&image, folder.path(), &database).unwrap();
    assert_eq!((report.packages, report.findings.len()), (1, 0));
}

#[test]
fn distroless_images_have_a_file_for_each_package() {
    let folder = tempfile::tempdir().unwrap();
    let image = image(
        folder.path(),
        &[
            &[
                ("etc/os-release", DEBIAN),
                (
                    "var/lib/dpkg/status.d/base",
                    b"Package: base-files\nVersion: 12.4\n",
                ),
                (
                    "var/lib/dpkg/status.d/base.md5sums",
                    b"Package: no\nVersion: 1\n",
                ),
            ],
            &[(
                "var/lib/dpkg/status.d/libssl3",
                b"Package: libssl3\nSource: openssl\nVersion: 3.0.1\n",
            )],
        ],
    );
    let events = json!([{"introduced": "0"}]);
    let database = advisory("DSA-1", "Debian:12", "openssl", &events);
    let report = held(&image, folder.path(), &database).unwrap();
    assert_eq!((report.packages, report.findings.len()), (2, 1));
}

#[test]
fn nothing_is_called_clean_that_was_not_judged() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let events = json!([{"introduced": "0"}]);
    let database = advisory("DSA-1", "Debian:11", "openssl", &events);
    let said = held(&debian(at), at, &database).unwrap_err().to_string();
    assert!(
        said.contains("no advisory for Debian:12; it has Debian:11"),
        "{said}"
    );
    let said = held(&debian(at), at, &json!([])).unwrap_err().to_string();
    assert!(said.contains("none at all"), "{said}");
    let said = held(&debian(at), at, &json!({"name": "x"}))
        .unwrap_err()
        .to_string();
    assert!(said.contains("db.json") && said.contains("OSV"), "{said}");
    fs::write(at.join("cut.json"), b"{\"id\": \"x\"").unwrap();
    let cut = scan(&debian(at), &at.join("cut.json"));
    assert!(matches!(cut, Err(ScanError::Database { .. })));
    let missing = scan(&debian(at), &at.join("none"));
    assert!(matches!(missing, Err(ScanError::Read { .. })));

    let files: [(&str, &[u8]); 2] = [
        ("etc/os-release", b"ID=fedora"),
        ("var/lib/rpm/rpmdb.sqlite", b"x"),
    ];
    let rpm = held(&image(at, &[&files]), at, &database);
    assert!(matches!(rpm, Err(ScanError::Rpm)));
    let bare = held(&image(at, &[&[("bin/app", b"x")]]), at, &database);
    assert!(matches!(bare, Err(ScanError::NoPackages)));
}

#[test]
fn databases_are_folders_of_files_and_lines_too() {
    let folder = tempfile::tempdir().unwrap();
    let events = json!([{"introduced": "0"}]);
    let of = |id: &str, package: &str| advisory(id, "Debian:12", package, &events).to_string();
    let database = folder.path().join("db");
    fs::create_dir_all(database.join("below")).unwrap();
    fs::write(database.join("below/one.json"), of("DSA-1", "openssl")).unwrap();
    let lines = format!("{}\n{}\n", of("DSA-2", "openssl"), of("DSA-3", "zlib"));
    fs::write(database.join("more.jsonl"), lines).unwrap();
    fs::write(database.join("README"), "no advisory").unwrap();
    let report = scan(&debian(folder.path()), &database).unwrap();
    assert_eq!((report.advisories, report.findings.len()), (3, 3));
}

#[cfg(unix)]
#[test]
fn links_of_an_image_are_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let image = debian(folder.path());
    let status = image.layers[0].join("var/lib/dpkg/status");
    fs::remove_file(&status).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", &status).unwrap();
    let database = advisory(
        "DSA-1",
        "Debian:12",
        "openssl",
        &json!([{"introduced": "0"}]),
    );
    let result = held(&image, folder.path(), &database);
    assert!(matches!(result, Err(ScanError::NoPackages)));
}
