//! Terminals of containers: the runtime makes them inside and hands their controlling side over a
//! socket.
//!
//! Source: the `--console-socket` of runc and youki (`SCM_RIGHTS`).

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

/// A socket in this folder that the runtime can be told of. For processes of one thread: the
/// kernel takes short paths only, so that the working folder is changed for a moment.
pub fn listen(folder: &Path) -> io::Result<(PathBuf, UnixListener)> {
    let name = format!("terminal-{}.sock", std::process::id());
    std::env::set_current_dir(folder)?;
    let _left_by_another_of_this_id = std::fs::remove_file(&name);
    let listener = UnixListener::bind(&name);
    std::env::set_current_dir("/")?;
    Ok((folder.join(name), listener?))
}

/// The controlling side of the terminal that was made.
pub fn receive(listener: &UnixListener) -> io::Result<OwnedFd> {
    let (socket, _) = listener.accept()?;
    let mut name = [0; 64];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut with_it = RecvAncillaryBuffer::new(&mut space);
    recvmsg(
        &socket,
        &mut [IoSliceMut::new(&mut name)],
        &mut with_it,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    let found = with_it.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut files) => files.next(),
        _ => None,
    });
    found.ok_or_else(|| io::Error::other("the runtime gave no terminal"))
}
