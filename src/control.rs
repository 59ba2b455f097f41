//! Controllers, one file each: `reconcile(view, key, now) -> Outcome`, level-triggered.
