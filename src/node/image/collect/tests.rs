//! What goes, what stays, and when.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::{Collector, Disk, Policy, layers_in};
use crate::node::image::sample::{Sample, digest, noise, tar_of};
use crate::node::image::store::Store;
use crate::node::image::{Image, Name};
use crate::stdx::clock;

const FULL: Disk = Disk {
    capacity: 1_000_000,
    available: 100_000,
};
const EMPTY: Disk = Disk {
    capacity: 1_000_000,
    available: 900_000,
};

/// An image in the store, with a layer that it shares and one of its own.
fn put(store: &Store, name: &str, own: usize) -> Image {
    let layers = [
        tar_of(&[("base", b"shared")]),
        tar_of(&[("own", &noise(own))]),
    ];
    let sample = Sample::of(&layers);
    for blob in sample.blobs().chain([&sample.manifest]) {
        store.put(&digest(blob), &mut blob.as_slice()).unwrap();
    }
    let name = Name::parse(name).unwrap();
    store.name(&name, &digest(&sample.manifest)).unwrap()
}

fn names(store: &Store) -> Vec<String> {
    let all = store.records().unwrap().into_keys();
    all.map(|name| name.replace("localhost/", "").replace(":latest", ""))
        .collect()
}

fn top(image: &Image) -> BTreeSet<String> {
    let name = image.layers.last().unwrap().file_name().unwrap();
    BTreeSet::from([name.to_str().unwrap().to_owned()])
}

fn hours_after(hours: i64) -> Timestamp {
    clock::now() + SignedDuration::from_hours(hours)
}

#[test]
fn thresholds_are_the_kubelets() {
    let wanted = |available| {
        let disk = Disk {
            capacity: 1_000,
            available,
        };
        disk.wanted(Policy::default())
    };
    assert_eq!(wanted(1_000), None);
    assert_eq!(
        wanted(151),
        Some(49),
        "100 - 15 is 85, the high threshold itself"
    );
    assert_eq!(wanted(160), None);
    assert_eq!(wanted(150), Some(50));
    assert_eq!(wanted(0), Some(200));
    let none = Disk {
        capacity: 0,
        available: 0,
    };
    assert_eq!(none.wanted(Policy::default()), None);
}

#[test]
fn the_image_unused_for_longest_goes_and_used_ones_never() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let (first, running) = (
        put(&store, "localhost/first", 30_000),
        put(&store, "localhost/running", 31_000),
    );
    put(&store, "localhost/second", 32_000);
    let mut collector = Collector::default();
    let mut round = |in_use: &BTreeSet<String>, disk, hours| {
        let given = (disk, Policy::default());
        collector
            .round(&store, in_use, given, hours_after(hours))
            .unwrap()
    };
    let both: BTreeSet<String> = top(&first).union(&top(&running)).cloned().collect();
    assert_eq!(round(&both, EMPTY, 1).images, Vec::<String>::new());
    // `second` was never used, `first` an hour ago, and 100,000 bytes are too many for both.
    let collected = round(&top(&running), FULL, 2);
    let gone: Vec<&str> = collected.images.iter().map(String::as_str).collect();
    assert_eq!(gone, ["localhost/second:latest", "localhost/first:latest"]);
    assert!(collected.freed >= 100_000, "{collected:?}");
    assert_eq!(names(&store), ["running"]);
    assert_eq!(collected.complaint(), None);
    store.find(&running.name).unwrap();
    assert!(
        running.layers.iter().all(|layer| layer.is_dir()),
        "the shared layer stays"
    );

    let collected = round(&top(&running), FULL, 3);
    assert_eq!(collected.images, Vec::<String>::new());
    let complaint = collected.complaint().unwrap();
    assert!(
        complaint.contains("Attempted to free 100000 bytes"),
        "{complaint}"
    );
    assert_eq!(names(&store), ["running"]);
}

#[test]
fn a_new_image_stays_however_full_the_disk_is() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    put(&store, "localhost/new", 1_000);
    let given = (FULL, Policy::default());
    let collected = Collector::default().round(&store, &BTreeSet::new(), given, clock::now());
    assert_eq!(collected.unwrap().images, Vec::<String>::new());
    assert_eq!(names(&store), ["new"]);
}

#[test]
fn layers_of_removed_images_go_unless_a_container_stands_on_them() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let image = put(&store, "localhost/cart", 50_000);
    store.remove(&image.name).unwrap();
    let own = image.layers[1].clone();
    let sweep = |in_use: &BTreeSet<String>, hours| {
        store
            .sweep(in_use, super::LAYER_AGE_MIN, hours_after(hours))
            .unwrap()
    };
    assert_eq!(
        sweep(&BTreeSet::new(), 0),
        0,
        "it may belong to a pull that goes on"
    );
    sweep(&top(&image), 1);
    assert!(own.is_dir());
    assert!(
        !image.layers[0].is_dir(),
        "only the top one was said to be in use"
    );
    assert!(sweep(&BTreeSet::new(), 1) >= 50_000);
    assert!(!own.exists());
    assert!(!store.has(&image.digest));
}

#[test]
fn what_repositories_have_stays() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let blob = digest(b"pushed");
    store.put(&blob, &mut b"pushed".as_slice()).unwrap();
    let repository = super::repository::Repository::new(&store, "shop/cart");
    repository.link_blob(&blob).unwrap();
    store
        .sweep(&BTreeSet::new(), super::LAYER_AGE_MIN, hours_after(1))
        .unwrap();
    assert!(store.has(&blob));
    repository.unlink_blob(&blob).unwrap();
    store
        .sweep(&BTreeSet::new(), super::LAYER_AGE_MIN, hours_after(1))
        .unwrap();
    assert!(!store.has(&blob));
}

#[test]
fn mounts_name_the_layers_in_use() {
    let (one, two) = ("a".repeat(64), "b".repeat(64));
    let mounts = format!(
        "36 35 0:50 / / rw - overlay overlay rw,lowerdir={one}:/store/layers/{two},upperdir=/x\n\
         37 35 8:1 /{one} / rw - ext4 /dev/sda1 rw\n"
    );
    let found: Vec<String> = layers_in(&mounts).collect();
    assert_eq!(found, [one, two]);
}
