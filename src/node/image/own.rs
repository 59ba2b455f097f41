//! The image that is made of this program: what the sample application runs from on a machine that
//! has no registry.
//!
//! One layer with the running binary and the shared libraries that its loader finds, each at the
//! path where it is found. It is made when a pod first asks for it, and again when another binary
//! runs than the one it holds. Nothing is fetched.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Cursor, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use oci_spec::image::Arch;
use serde_json::{Value, json};
use tar::{Builder, EntryType, Header};

use super::store::{Store, digest_of};
use super::{Image, ImageError, Name};

/// Any tag of it stands for the binary that runs: there is no other to be had.
const REPOSITORY: &str = "bayplan.local/sample";
/// Where the binary is in its image.
const BINARY: &str = "usr/bin/bayplan";
/// The hidden command that runs in it.
pub const COMMAND: &str = "sample-app";
/// Names under which the binary is a small tool: what `kubectl exec` and `cp` need in a container.
pub const TOOLS: [&str; 6] = ["cat", "env", "ls", "sh", "tar", "wget"];
/// Which binary the image holds, as a label of its configuration.
const STAMP: &str = "dev.bayplan.binary";
const RUNNING: &str = "/proc/self/exe";
/// Program headers and the interpreter's name stand in the first page of what linkers write.
const ELF_HEAD: u64 = 64 << 10;
/// Older C libraries load these when a name is first looked up; newer ones contain them.
const RESOLVERS: [&str; 3] = ["libnss_dns.so.2", "libnss_files.so.2", "libresolv.so.2"];

/// The name of the image of this program.
pub fn name() -> String {
    format!("{REPOSITORY}:{}", env!("CARGO_PKG_VERSION"))
}

pub fn is_own(name: &Name) -> bool {
    name.repository() == REPOSITORY && name.digest().is_none()
}

/// The image under this name, made if it is not there or holds another binary. Blocking.
pub fn ensure(store: &Store, name: &Name) -> Result<Image, ImageError> {
    // Pods of several containers, and several clusters, ask at once.
    let lock = File::create(store.ingest("own.lock")).and_then(|lock| {
        lock.lock()?;
        Ok(lock)
    });
    let _held = lock.map_err(refused)?;
    let stamp = stamp().map_err(refused)?;
    if let Ok(image) = store.find(name)
        && label(&image) == Some(stamp.as_str())
    {
        return Ok(image);
    }
    make(store, name, &stamp)
}

fn label(image: &Image) -> Option<&str> {
    let labels = image.configuration.config().as_ref()?.labels().as_ref()?;
    labels.get(STAMP).map(String::as_str)
}

/// What another binary differs in.
fn stamp() -> io::Result<String> {
    let found = fs::metadata(RUNNING)?;
    Ok(format!(
        "{}-{}-{}-{}",
        found.len(),
        found.ino(),
        found.mtime(),
        found.mtime_nsec()
    ))
}

fn make(store: &Store, name: &Name, stamp: &str) -> Result<Image, ImageError> {
    let unfinished = store.ingest(&format!("own{}", std::process::id()));
    let written = write_layer(&unfinished).and_then(|()| digest_of(File::open(&unfinished)?));
    let layer = match written {
        Ok(digest) => digest,
        Err(error) => {
            let _best_effort = fs::remove_file(&unfinished);
            return Err(refused(error));
        }
    };
    let size = fs::metadata(&unfinished).map_err(refused)?.len();
    fs::rename(&unfinished, store.ingest(&layer)).map_err(refused)?;
    store.accept(&layer)?;
    let configuration = put(
        store,
        "application/vnd.oci.image.config.v1+json",
        &json!({
            "architecture": Arch::default(),
            "os": "linux",
            "config": {
                "Entrypoint": [format!("/{BINARY}"), COMMAND],
                "Env": ["PATH=/usr/bin:/bin"],
                "WorkingDir": "/",
                "Labels": {STAMP: stamp},
            },
            "rootfs": {"type": "layers", "diff_ids": [layer]},
        }),
    )?;
    let manifest_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = put(
        store,
        manifest_type,
        &json!({
            "schemaVersion": 2,
            "mediaType": manifest_type,
            "config": configuration,
            "layers": [{
                "mediaType": "application/vnd.oci.image.layer.v1.tar",
                "digest": layer,
                "size": size,
            }],
        }),
    )?;
    let digest = manifest.get("digest").and_then(Value::as_str);
    store.name(name, digest.unwrap_or_default())
}

/// Takes in a document; returns its descriptor.
fn put(store: &Store, media_type: &str, document: &Value) -> Result<Value, ImageError> {
    let text = document.to_string();
    let digest = digest_of(text.as_bytes()).map_err(refused)?;
    store.put(&digest, &mut Cursor::new(text.as_bytes()))?;
    Ok(json!({"mediaType": media_type, "digest": digest, "size": text.len()}))
}

fn write_layer(path: &Path) -> io::Result<()> {
    let mut layer = Builder::new(BufWriter::new(File::create(path)?));
    let text = |text: &'static str| (text.len() as u64, text.as_bytes());
    for (path, content) in [
        ("etc/passwd", text("root:x:0:0:root:/:/bin/sh\n")),
        ("etc/group", text("root:x:0:\n")),
        ("etc/nsswitch.conf", text("hosts: files dns\n")),
    ] {
        let (size, bytes) = content;
        layer.append_data(&mut header(EntryType::Regular, 0o644, size), path, bytes)?;
    }
    let mut temporary = header(EntryType::Directory, 0o1777, 0);
    layer.append_data(&mut temporary, "tmp/", io::empty())?;
    append(&mut layer, Path::new(RUNNING), Path::new(BINARY))?;
    for tool in TOOLS {
        let mut link = header(EntryType::Symlink, 0o777, 0);
        layer.append_link(&mut link, format!("bin/{tool}"), format!("/{BINARY}"))?;
    }
    for library in libraries(Path::new(RUNNING))? {
        let inside = library.strip_prefix("/").unwrap_or(&library);
        append(&mut layer, &library, inside)?;
    }
    layer.into_inner()?.flush()
}

fn append(layer: &mut Builder<impl Write>, from: &Path, to: &Path) -> io::Result<()> {
    let file = File::open(from)?;
    let mut header = header(EntryType::Regular, 0o755, file.metadata()?.len());
    layer.append_data(&mut header, to, BufReader::new(file))
}

/// The same at every time, so that the same binary makes the same layer.
fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

/// The loader of a program and the shared libraries that it finds, by their paths; none where the
/// program is linked statically.
fn libraries(program: &Path) -> io::Result<Vec<PathBuf>> {
    let mut head = Vec::new();
    File::open(program)?.take(ELF_HEAD).read_to_end(&mut head)?;
    let Some(loader) = interpreter(&head) else {
        return Ok(Vec::new());
    };
    // Below `self` the loader would find itself.
    let real = format!("/proc/{}/exe", std::process::id());
    let asked = if program == Path::new(RUNNING) {
        Path::new(&real)
    } else {
        program
    };
    let output = Command::new(&loader).arg("--list").arg(asked).output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(io::Error::other(format!("{}: {said}", loader.display())));
    }
    let mut all = vec![loader];
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        if let Some(path) = listed(line)? {
            all.push(path);
        }
    }
    let folder = all
        .iter()
        .find(|path| path.ends_with("libc.so.6"))
        .and_then(|path| path.parent())
        .map(Path::to_path_buf);
    let resolvers = folder.into_iter().flat_map(|folder| {
        RESOLVERS
            .map(|name| folder.join(name))
            .into_iter()
            .filter(|path| path.exists())
    });
    all.extend(resolvers);
    all.sort_unstable();
    all.dedup();
    Ok(all)
}

/// The path in a line of the loader's list: `libc.so.6 => /lib/libc.so.6 (0x…)`. The loader itself
/// and what the kernel provides have none that is not known already.
fn listed(line: &str) -> io::Result<Option<PathBuf>> {
    let Some((library, found)) = line.split_once("=>") else {
        return Ok(None);
    };
    let path = found.split(" (").next().unwrap_or_default().trim();
    if path.starts_with('/') {
        return Ok(Some(PathBuf::from(path)));
    }
    let what = format!("its library {} is {path}", library.trim());
    Err(io::Error::new(io::ErrorKind::NotFound, what))
}

/// The loader that a 64-bit ELF file asks for (`PT_INTERP`).
///
/// Source: the ELF-64 object file format, version 1.5, program headers.
fn interpreter(elf: &[u8]) -> Option<PathBuf> {
    const INTERPRETER: u64 = 3;
    let number = |at: usize, bytes: usize| {
        let field = elf.get(at..at.checked_add(bytes)?)?;
        Some(
            field
                .iter()
                .rev()
                .fold(0, |all, byte| all << 8 | u64::from(*byte)),
        )
    };
    let place = |at: usize, bytes: usize| usize::try_from(number(at, bytes)?).ok();
    // Little-endian, 64 bits.
    if !elf.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let (first, each, count) = (place(32, 8)?, place(54, 2)?, place(56, 2)?);
    let entry = (0..count)
        .map_while(|n| first.checked_add(n * each))
        .find(|at| number(*at, 4) == Some(INTERPRETER))?;
    let (from, length) = (place(entry + 8, 8)?, place(entry + 32, 8)?);
    let name = elf.get(from..from.checked_add(length)?)?;
    let name = name.strip_suffix(b"\0").unwrap_or(name);
    Some(PathBuf::from(std::str::from_utf8(name).ok()?))
}

fn refused(error: impl std::fmt::Display) -> ImageError {
    ImageError::Malformed {
        what: "this program as an image".to_owned(),
        reason: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_programs_own_repository_is_its_own() {
        let is_own = |text: &str| is_own(&Name::parse(text).unwrap());
        assert!(is_own(&name()));
        assert!(is_own("bayplan.local/sample:0.0.1"));
        assert!(!is_own("bayplan.local/other:1"));
        assert!(!is_own("docker.io/bayplan.local/sample:1"));
    }

    #[test]
    fn the_loaders_list_is_understood() {
        let path = |line: &str| listed(line).unwrap();
        assert_eq!(
            path("\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)"),
            Some(PathBuf::from("/lib/x86_64-linux-gnu/libc.so.6"))
        );
        assert_eq!(path("\tlinux-vdso.so.1 (0x00007ffd)"), None);
        assert_eq!(path("\t/lib64/ld-linux-x86-64.so.2 (0x00007f)"), None);
        let error = listed("\tlibgone.so.1 => not found").unwrap_err();
        assert_eq!(error.to_string(), "its library libgone.so.1 is not found");
    }

    #[test]
    fn what_is_no_program_asks_for_no_loader() {
        for bytes in [
            &b""[..],
            b"#!/bin/sh\n",
            b"\x7fELF\x02\x01\x01",
            &[0xff; 80],
        ] {
            assert_eq!(interpreter(bytes), None);
        }
        let mut lying = vec![0xff; 128];
        lying[..6].copy_from_slice(b"\x7fELF\x02\x01");
        assert_eq!(interpreter(&lying), None);
    }

    /// This test's own binary stands for any program of this machine.
    #[test]
    fn the_libraries_of_a_running_program_are_found() {
        let all = libraries(Path::new(RUNNING)).unwrap();
        assert!(all.iter().all(|path| path.is_absolute() && path.exists()));
        let mut head = Vec::new();
        let program = File::open(RUNNING).unwrap();
        program.take(ELF_HEAD).read_to_end(&mut head).unwrap();
        assert_eq!(interpreter(&head).is_some(), !all.is_empty());
    }

    #[test]
    fn the_image_is_made_once_for_one_binary() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let name = Name::parse(&name()).unwrap();
        let first = ensure(&store, &name).unwrap();
        let [layer] = first.layers.as_slice() else {
            panic!("{:?}", first.layers);
        };
        let inside = fs::metadata(layer.join(BINARY)).unwrap();
        assert_eq!(inside.len(), fs::metadata(RUNNING).unwrap().len());
        let shell = fs::read_link(layer.join("bin/sh")).unwrap();
        assert_eq!(shell, Path::new("/usr/bin/bayplan"));
        let made = fs::metadata(layer.join("etc/passwd")).unwrap().ino();
        assert_eq!(ensure(&store, &name).unwrap().digest, first.digest);
        assert_eq!(fs::metadata(layer.join("etc/passwd")).unwrap().ino(), made);
        let left: Vec<_> = fs::read_dir(folder.path().join("ingest"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(left, ["ownlock"]);
    }
}
