//! Versioned objects: commit, snapshot, watch log. One totally ordered revision counter, optimistic concurrency.
//!
//! Synchronous and in memory; durability is the journal port behind the plane.
