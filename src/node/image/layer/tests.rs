//! Layers as they should be, and as an attacker would make them.

use std::fs;
use std::io::Cursor;

use tar::{Builder, EntryType, Header};

use super::{LayerError, Packing, unpack};

/// An archive entry that no well-meaning tool writes.
fn raw(builder: &mut Builder<Vec<u8>>, path: &str, kind: EntryType, link: &str, bytes: &[u8]) {
    let mut header = Header::new_gnu();
    let name = &mut header.as_old_mut().name;
    name[..path.len()].copy_from_slice(path.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(0o755);
    header.set_uid(u64::from(rustix::process::getuid().as_raw()));
    header.set_gid(u64::from(rustix::process::getgid().as_raw()));
    header.set_mtime(0);
    header.set_size(bytes.len() as u64);
    let target = &mut header.as_old_mut().linkname;
    target[..link.len()].copy_from_slice(link.as_bytes());
    header.set_cksum();
    builder.append(&header, bytes).unwrap();
}

fn unpacked(
    build: impl FnOnce(&mut Builder<Vec<u8>>),
) -> (tempfile::TempDir, Result<(), LayerError>) {
    let mut builder = Builder::new(Vec::new());
    build(&mut builder);
    let bytes = builder.into_inner().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("layer");
    fs::create_dir(&root).unwrap();
    let result = unpack(Cursor::new(bytes), Packing::Plain, &root);
    (folder, result)
}

#[test]
fn files_folders_and_links_arrive() {
    let (folder, result) = unpacked(|layer| {
        raw(layer, "bin/", EntryType::Directory, "", b"");
        raw(layer, "bin/busybox", EntryType::Regular, "", b"ELF");
        raw(layer, "bin/sh", EntryType::Symlink, "/bin/busybox", b"");
        raw(layer, "bin/ls", EntryType::Link, "bin/busybox", b"");
    });
    result.unwrap();
    let root = folder.path().join("layer");
    assert_eq!(fs::read(root.join("bin/ls")).unwrap(), b"ELF");
    assert_eq!(
        fs::read_link(root.join("bin/sh")).unwrap().to_str(),
        Some("/bin/busybox")
    );
}

#[test]
fn no_entry_leaves_the_folder() {
    let (folder, result) = unpacked(|layer| {
        raw(layer, "../escaped", EntryType::Regular, "", b"x");
    });
    assert!(matches!(result, Err(LayerError::Outside(_))), "{result:?}");
    assert!(!folder.path().join("escaped").exists());

    let outside = tempfile::tempdir().unwrap();
    let (_folder, result) = unpacked(|layer| {
        let target = outside.path().to_str().unwrap();
        raw(layer, "door", EntryType::Symlink, target, b"");
        raw(layer, "door/escaped", EntryType::Regular, "", b"x");
    });
    assert!(matches!(result, Err(LayerError::Outside(_))), "{result:?}");
    assert!(!outside.path().join("escaped").exists());

    let (_folder, result) = unpacked(|layer| {
        raw(layer, "shadow", EntryType::Link, "../../etc/shadow", b"");
    });
    assert!(
        matches!(result, Err(LayerError::Write { .. })),
        "{result:?}"
    );
}

#[test]
fn a_layer_may_be_packed_with_zstd() {
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};
    let mut layer = Builder::new(Vec::new());
    raw(&mut layer, "motd", EntryType::Regular, "", b"hello");
    let bytes = layer.into_inner().unwrap();
    let packed = compress_to_vec(bytes.as_slice(), CompressionLevel::Fastest);
    let packing = Packing::of(&packed);
    assert_eq!(packing, Packing::Zstd);
    let folder = tempfile::tempdir().unwrap();
    unpack(Cursor::new(packed), packing, folder.path()).unwrap();
    assert_eq!(fs::read(folder.path().join("motd")).unwrap(), b"hello");
}

#[test]
fn an_absolute_path_means_the_image() {
    let (folder, result) = unpacked(|layer| {
        raw(layer, "/etc/motd", EntryType::Regular, "", b"hello");
    });
    result.unwrap();
    assert!(folder.path().join("layer/etc/motd").exists());
}

#[test]
fn devices_are_left_to_the_runtime() {
    let (folder, result) = unpacked(|layer| {
        raw(layer, "dev/sda", EntryType::Block, "", b"");
    });
    result.unwrap();
    assert!(!folder.path().join("layer/dev/sda").exists());
}

#[test]
fn a_damaged_layer_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let result = unpack(
        Cursor::new(vec![7_u8; 2_000]),
        Packing::Plain,
        folder.path(),
    );
    assert!(matches!(result, Err(LayerError::Damaged(_))), "{result:?}");
}
