//! Fetching one blob into the store, from where an earlier try broke off.
//!
//! One task at a time fetches a blob, also among processes: a lock on its file sees to that, and
//! the others find it done. A break, a stall or a short body is tried again from where it stands;
//! a body that is longer than announced, or not what its digest says, is thrown away.

use std::fs::{File as StdFile, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::StreamExt;
use oci_client::client::BlobResponse;
use oci_client::manifest::OciDescriptor;
use oci_client::{Client, Reference};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

use super::ImageError;
use super::registry::{Limits, Progress, blocking, told};
use super::store::Store;

/// Tries in a row that bring nothing; a byte that comes begins the count anew.
const TRIES: u32 = 3;
/// Tries in all: a registry that sends a byte a time is left, too.
const TRIES_IN_ALL: u32 = 30;

/// How far the parts of an image are.
pub struct Tally<'a> {
    parts: Vec<Part>,
    total: u64,
    progress: &'a Progress<'a>,
}

struct Part {
    descriptor: OciDescriptor,
    size: u64,
    here: AtomicU64,
}

impl<'a> Tally<'a> {
    /// Refuses sizes that cannot be, or that the disk has no room for.
    pub fn of(
        store: &Store,
        descriptors: &[&OciDescriptor],
        progress: &'a Progress<'a>,
    ) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut missing = 0_u64;
        let mut total = 0_u64;
        for descriptor in descriptors {
            let size = u64::try_from(descriptor.size).map_err(|_negative| {
                format!(
                    "{} is announced with {} bytes",
                    descriptor.digest, descriptor.size
                )
            })?;
            total = total.saturating_add(size);
            if !store.has(&descriptor.digest) {
                missing = missing.saturating_add(size);
            }
            parts.push(Part {
                descriptor: (*descriptor).clone(),
                size,
                here: AtomicU64::new(0),
            });
        }
        if let Some(room) = store.room().filter(|room| *room < missing) {
            return Err(format!(
                "{missing} bytes are to be fetched, and the disk has room for {room}"
            ));
        }
        Ok(Self {
            parts,
            total,
            progress,
        })
    }

    fn set(&self, part: &Part, here: u64) {
        part.here.store(here, Ordering::Relaxed);
        let sum = self
            .parts
            .iter()
            .map(|part| part.here.load(Ordering::Relaxed))
            .sum();
        (self.progress)(sum, self.total);
    }
}

/// What fetching needs.
pub struct Fetch<'a> {
    pub store: &'a Store,
    pub client: &'a Client,
    pub reference: &'a Reference,
    pub limits: &'a Limits,
    pub tally: &'a Tally<'a>,
}

/// Why a try ended early.
enum Broken {
    /// Trying again may help.
    Off(String),
    /// Longer than announced: nothing of it can be trusted.
    TooLong,
    Disk(io::Error),
}

impl Fetch<'_> {
    /// Fetches one part of the image, if it is not here.
    pub async fn blob(&self, n: usize) -> Result<(), ImageError> {
        let Some(part) = self.tally.parts.get(n) else {
            return Ok(());
        };
        let digest = part.descriptor.digest.clone();
        let Some(mut file) = self.open(&digest).await? else {
            self.tally.set(part, part.size);
            return Ok(());
        };
        let failed = |reason: &str| ImageError::Pull {
            name: self.reference.whole(),
            reason: format!("{digest}: {reason}"),
        };
        let disk = |source| self.store.failed(source);
        let mut have = length(&file).await.map_err(disk)?;
        if have > part.size {
            file.set_len(0).await.map_err(disk)?;
            have = 0;
        }
        let (mut in_row, mut in_all) = (0, 0);
        while have < part.size {
            let came = self.go_on(part, have, &mut file).await;
            let now = length(&file).await.map_err(disk)?;
            let reason = match came {
                Err(Broken::Disk(source)) => {
                    self.throw_away(&digest).await;
                    return Err(self.store.failed(source));
                }
                Err(Broken::TooLong) => {
                    self.throw_away(&digest).await;
                    return Err(failed(&format!(
                        "it is longer than the {} bytes announced; nothing of it was kept",
                        part.size
                    )));
                }
                Err(Broken::Off(reason)) => reason,
                Ok(()) => format!("it ended after {now} of {} bytes", part.size),
            };
            in_row = if now > have { 0 } else { in_row + 1 };
            in_all += 1;
            have = now;
            if have < part.size {
                if in_row >= TRIES || in_all >= TRIES_IN_ALL {
                    return Err(failed(&reason));
                }
                tokio::time::sleep(self.limits.pause).await;
            }
        }
        let store = self.store.clone();
        blocking(move || store.accept(&digest)).await
    }

    /// The file that the blob is fetched to, for this task alone; `None` once the blob is here.
    async fn open(&self, digest: &str) -> Result<Option<File>, ImageError> {
        let (store, digest) = (self.store.clone(), digest.to_owned());
        let file = blocking(move || {
            loop {
                if store.keep(&digest) {
                    return Ok(None);
                }
                if let Some(file) = lock(&store, &digest).map_err(|source| store.failed(source))? {
                    return Ok(Some(file));
                }
            }
        });
        Ok(file.await?.map(File::from_std))
    }

    /// One request for what is missing.
    async fn go_on(&self, part: &Part, have: u64, file: &mut File) -> Result<(), Broken> {
        let (client, reference) = (self.client, self.reference);
        let off = |error: &dyn std::error::Error| Broken::Off(told(error));
        let mut here = have;
        let mut body = if have > 0 {
            let asked = client.pull_blob_stream_partial(reference, &part.descriptor, have, None);
            match self.in_time(asked).await?.map_err(|error| off(&error))? {
                BlobResponse::Partial(body) => body,
                BlobResponse::Full(body) => {
                    file.set_len(0).await.map_err(Broken::Disk)?;
                    here = 0;
                    body
                }
            }
        } else {
            let asked = client.pull_blob_stream(reference, &part.descriptor);
            self.in_time(asked).await?.map_err(|error| off(&error))?
        };
        self.tally.set(part, here);
        loop {
            let chunk = match self.in_time(body.stream.next()).await {
                Ok(None) => break,
                Ok(Some(chunk)) => chunk.map_err(|error| off(&error)),
                Err(stalled) => Err(stalled),
            };
            let chunk = match chunk {
                Ok(chunk) => chunk,
                Err(broken) => {
                    file.flush().await.map_err(Broken::Disk)?;
                    return Err(broken);
                }
            };
            here += chunk.len() as u64;
            if here > part.size {
                return Err(Broken::TooLong);
            }
            file.write_all(&chunk).await.map_err(Broken::Disk)?;
            self.tally.set(part, here);
        }
        file.flush().await.map_err(Broken::Disk)
    }

    async fn in_time<T>(&self, asked: impl Future<Output = T>) -> Result<T, Broken> {
        let silence = self.limits.silence;
        tokio::time::timeout(silence, asked)
            .await
            .map_err(|_elapsed| {
                let seconds = silence.as_secs_f32();
                Broken::Off(format!("the registry sent nothing for {seconds} s"))
            })
    }

    async fn throw_away(&self, digest: &str) {
        let _best_effort = tokio::fs::remove_file(self.store.ingest(digest)).await;
    }
}

async fn length(file: &File) -> io::Result<u64> {
    Ok(file.metadata().await?.len())
}

/// Waits until nobody else fetches this blob; `None` if what was waited for is not the file any
/// more: its blob is here then, or it was thrown away.
fn lock(store: &Store, digest: &str) -> io::Result<Option<StdFile>> {
    let path = store.ingest(digest);
    let file = OpenOptions::new().append(true).create(true).open(&path)?;
    file.lock()?;
    let ours = file.metadata()?.ino();
    match std::fs::metadata(&path) {
        Ok(there) if there.ino() == ours => Ok(Some(file)),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
