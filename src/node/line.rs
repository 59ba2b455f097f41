//! What connects a local node to everything else, and may be cut.
//!
//! A node of this machine is cut off while an Outage of the lab's API concerns it: nothing of the
//! program that runs for the node reaches the API server or the machine's network any more. The
//! pods' own packets are stopped by their link ([`super::network::Seat::connect`]).

use std::sync::Arc;

use tokio::sync::watch;

/// Clones are ends of the same line.
#[derive(Clone, Debug)]
pub struct Line(Arc<watch::Sender<bool>>);

impl Default for Line {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }
}

impl Line {
    pub fn is_cut(&self) -> bool {
        *self.0.borrow()
    }

    /// Says whether that was new.
    pub(super) fn set(&self, is_cut: bool) -> bool {
        self.0
            .send_if_modified(|old| std::mem::replace(old, is_cut) != is_cut)
    }

    /// Waits until the line is cut; at once where it is.
    pub async fn cut(&self) {
        self.becomes(true).await;
    }

    pub async fn whole(&self) {
        self.becomes(false).await;
    }

    /// What is done over the line: it stands still while the line is cut, as what is sent into a
    /// dead network does.
    pub async fn carry<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            self.whole().await;
            tokio::select! {
                biased;
                () = self.cut() => {}
                done = &mut work => return done,
            }
        }
    }

    /// Waits until the line is cut, or whole.
    pub async fn becomes(&self, wanted: bool) {
        let mut ends = self.0.subscribe();
        // The sender lives as long as this line does.
        let _never_closed = ends.wait_for(|is_cut| *is_cut == wanted).await;
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn work_stands_still_while_the_line_is_cut() {
        let line = Line::default();
        assert!(line.set(true) && !line.set(true));
        let (tell, told) = tokio::sync::oneshot::channel();
        let mut carried = std::pin::pin!(line.carry(told));
        assert!(carried.as_mut().now_or_never().is_none());
        tell.send(7).unwrap();
        assert!(carried.as_mut().now_or_never().is_none(), "it is cut");
        line.set(false);
        assert_eq!(carried.await, Ok(7));
    }
}
