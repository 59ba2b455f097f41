//! How the program is linked. It generates nothing and must not: what is built is what is read.

#![expect(clippy::disallowed_methods, reason = "how a build script is asked")]

use std::env;

/// The program runs once more for each container, to keep it. Linked to stand anywhere, its tables
/// of addresses (1.6 MB) are written anew in each of these processes and shared by none; linked to
/// one place, they are pages of the file, which all share, and a process starts without that work.
/// Libraries, heap and stacks stand at random places as before.
fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|it| it == value);
    let features = env::var("CARGO_CFG_TARGET_FEATURE").unwrap_or_default();
    let is_static = features.split(',').any(|feature| feature == "crt-static");
    let is_linux = is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu");
    if is_linux && !is_static {
        println!("cargo::rustc-link-arg-bins=-no-pie");
    }
}
