//! Parses arguments, composes the parts and runs.

fn main() {}
