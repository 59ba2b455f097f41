//! Records into objects, on all processors: parsing is most of the time that opening takes.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use super::record::Record;
use crate::k8s::{ChangeKind, Object};

/// Bytes handed to a thread at a time.
const BATCH_BYTES: usize = 256 << 10;
/// More than these find nothing to do: the file is read by one thread.
const THREADS_MAX: usize = 4;
/// Batches that wait, so that reading does not run far ahead of parsing.
const WAITING_MAX: usize = 16;

/// What a record says, or what is wrong with it.
pub(super) type Decoded = Result<(ChangeKind, Arc<Object>), &'static str>;

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

/// Calls `read` with a sink and answers with what the records that were pushed say, in the order of
/// their places.
pub(super) fn decode<E>(read: impl FnOnce(&mut Sink) -> Result<(), E>) -> Result<Vec<Decoded>, E> {
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
        for thread in threads {
            match thread.join() {
                Ok(decoded) => placed.extend(decoded),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        outcome?;
        placed.sort_unstable_by_key(|(place, _)| *place);
        Ok(placed.into_iter().map(|(_, decoded)| decoded).collect())
    })
}

/// Parses batches until there are no more.
fn work(waiting: &Mutex<Receiver<Batch>>) -> Vec<(usize, Decoded)> {
    let mut decoded = Vec::new();
    loop {
        let next = waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .recv();
        let Ok(batch) = next else { break };
        parse(&batch, &mut decoded);
    }
    decoded
}

fn parse(batch: &Batch, decoded: &mut Vec<(usize, Decoded)>) {
    let mut begin = 0;
    for (place, end) in &batch.records {
        let bytes = batch.bytes.get(begin..*end).unwrap_or_default();
        begin = *end;
        let parts = Record::decode(bytes).and_then(Record::into_parts);
        decoded.push((*place, parts.map(|(kind, object)| (kind, Arc::new(object)))));
    }
}
