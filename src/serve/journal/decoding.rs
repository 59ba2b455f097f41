//! Records into objects, on all processors: parsing is most of the time that opening takes.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use super::record::Record;
use crate::k8s::Object;

/// Bytes handed to a thread at a time.
const BATCH_BYTES: usize = 256 << 10;
/// More than these find nothing to do: the file is read by one thread.
const THREADS_MAX: usize = 4;
/// Batches that wait, so that reading does not run far ahead of parsing.
const WAITING_MAX: usize = 16;

/// An object and its place among all.
type Placed = (usize, Arc<Object>);

/// The record that is no object.
pub(super) struct Broken {
    pub place: usize,
    pub detail: &'static str,
}

/// Takes records in while others are being parsed.
pub(super) struct Sink {
    batches: SyncSender<Batch>,
    open: Batch,
}

#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    /// The place of each record, and where it ends in `bytes`.
    records: Vec<(usize, usize)>,
}

impl Sink {
    pub(super) fn push(&mut self, place: usize, record: &[u8]) {
        self.open.bytes.extend_from_slice(record);
        self.open.records.push((place, self.open.bytes.len()));
        if self.open.bytes.len() >= BATCH_BYTES {
            self.flush();
        }
    }

    fn flush(&mut self) {
        // The threads only go away with this sink.
        let _sent = self.batches.send(std::mem::take(&mut self.open));
    }
}

/// Calls `read` with a sink and answers with the objects of all records that were pushed, in the
/// order of their places, or with what is wrong with one of them.
pub(super) fn decode<E>(
    read: impl FnOnce(&mut Sink) -> Result<(), E>,
) -> Result<Result<Vec<Arc<Object>>, Broken>, E> {
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    let (batches, waiting) = sync_channel(WAITING_MAX);
    // A receiver has one owner; the lock is held while one thread takes the next batch.
    let waiting = Mutex::new(waiting);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..count.min(THREADS_MAX))
            .map(|_| scope.spawn(|| work(&waiting)))
            .collect();
        let mut sink = Sink {
            batches,
            open: Batch::default(),
        };
        let outcome = read(&mut sink);
        sink.flush();
        drop(sink);
        let mut placed = Vec::new();
        let mut problem = None;
        for thread in threads {
            match thread.join() {
                Ok(Ok(objects)) => placed.extend(objects),
                Ok(Err(broken)) => problem = Some(broken),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        outcome?;
        placed.sort_unstable_by_key(|(place, _)| *place);
        Ok(match problem {
            Some(broken) => Err(broken),
            None => Ok(placed.into_iter().map(|(_, object)| object).collect()),
        })
    })
}

/// Parses batches until there are no more; after a broken record it only takes them away.
fn work(waiting: &Mutex<Receiver<Batch>>) -> Result<Vec<Placed>, Broken> {
    let mut objects = Vec::new();
    let mut problem = None;
    loop {
        let next = waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .recv();
        let Ok(batch) = next else { break };
        if problem.is_none() {
            problem = parse(&batch, &mut objects).err();
        }
    }
    problem.map_or(Ok(objects), Err)
}

fn parse(batch: &Batch, objects: &mut Vec<Placed>) -> Result<(), Broken> {
    let mut begin = 0;
    for (place, end) in &batch.records {
        let bytes = batch.bytes.get(begin..*end).unwrap_or_default();
        begin = *end;
        let object = Record::decode(bytes)
            .and_then(Record::into_object)
            .map_err(|detail| Broken {
                place: *place,
                detail,
            })?;
        objects.push((*place, Arc::new(object)));
    }
    Ok(())
}
