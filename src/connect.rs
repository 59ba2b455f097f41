//! Sessions: embedded, joined, served, kubeconfig; and the read-only guard, where writes leave the process.

pub mod guard;
pub mod link;
pub mod notice;

pub use guard::Access;
pub use notice::Notice;
