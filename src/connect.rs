//! Sessions: embedded, joined, served, kubeconfig; and the read-only guard, where writes leave the process.
