//! The connection of a local node to the API server, which an outage cuts as it would a cable.

use std::io;
use std::time::Duration;

use bayplan::connect::{Dial, Link};
use bayplan::node::line::Line;
use bayplan::serve::Connector;
use tokio::io::{copy_bidirectional, duplex};

/// What may be on the way.
const BUFFER_BYTES: usize = 64 << 10;

/// How long nobody answers until a caller is told so.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub struct Tether {
    pub connector: Connector,
    pub line: Line,
}

impl Dial for Tether {
    async fn dial(&self) -> io::Result<Link> {
        let waited = tokio::time::timeout(PATIENCE, self.line.whole()).await;
        if waited.is_err() {
            return Err(io::ErrorKind::HostUnreachable.into());
        }
        let mut far = self.connector.dial().await?;
        let (near, mut middle) = duplex(BUFFER_BYTES);
        let line = self.line.clone();
        tokio::spawn(async move {
            // Either way both ends are closed: a kubelet that waits for an answer gives up.
            tokio::select! {
                biased;
                () = line.cut() => {}
                _ended = copy_bidirectional(&mut middle, &mut far) => {}
            }
        });
        Ok(Box::new(near))
    }
}
