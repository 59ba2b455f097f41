//! The local endpoint: a socket file in the cluster's folder that only this account can use.
//!
//! Plain HTTP; who can open the socket is the administrator.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

use super::driver::Driver;
use super::http::Peer;
use super::identity;
use super::listener::{Turns, converse, usable};

const SOCKET: &str = "api.sock";
/// Longest path that fits into a socket address with its final zero, on every system we know.
const ADDRESS_MAX: usize = 100;

/// Takes the endpoint's place. Only the holder of the store's lock may do this, which is why a
/// file that is there must be a dead holder's.
pub fn bind(folder: &Path) -> io::Result<UnixListener> {
    let path = folder.join(SOCKET);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // The folder has mode 0700: nobody gets in between these two calls.
    let short = Address::of(folder)?;
    let listener = UnixListener::bind(&short.path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Connects to whoever hosts the cluster in this folder.
pub async fn connect(folder: &Path) -> io::Result<UnixStream> {
    let short = Address::of(folder)?;
    UnixStream::connect(&short.path).await
}

/// Takes the socket file away when the host ends.
pub fn remove(folder: &Path) {
    let _absent_is_fine = std::fs::remove_file(folder.join(SOCKET));
}

/// A path to the socket that is short enough for the kernel: a long one goes through an open
/// descriptor of its folder.
struct Address {
    path: PathBuf,
    _folder: Option<std::fs::File>,
}

impl Address {
    fn of(folder: &Path) -> io::Result<Self> {
        let path = folder.join(SOCKET);
        if path.as_os_str().len() <= ADDRESS_MAX {
            return Ok(Self {
                path,
                _folder: None,
            });
        }
        let opened = std::fs::File::open(folder)?;
        Ok(Self {
            path: PathBuf::from(format!("/proc/self/fd/{}", opened.as_raw_fd())).join(SOCKET),
            _folder: Some(opened),
        })
    }
}

/// Serves local connections until the driver stops.
pub async fn serve(listener: UnixListener, driver: Driver) {
    let turns = Turns::default();
    while let Some((accepted, permit)) = turns.next(&driver, listener.accept()).await {
        if let Some((stream, _)) = usable(accepted).await {
            let peer = Peer(Some(identity::administrator()));
            tokio::spawn(converse(stream, driver.clone(), peer, Some(permit)));
        }
    }
}
