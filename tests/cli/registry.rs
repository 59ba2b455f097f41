//! `bayplan registry`: it says where it serves, and what it does not do.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use super::{bayplan, refused};

#[test]
fn plain_http_stays_on_this_machine() {
    let folder = tempfile::tempdir().unwrap();
    let words = ["loopback", "--tls-cert", "0.0.0.0:5000"];
    refused(
        folder.path(),
        &["registry", "--listen", "0.0.0.0:5000"],
        &words,
    );
    let arguments = ["registry", "--listen", "127.0.0.1:0", "--users", "none.txt"];
    refused(folder.path(), &arguments, &["none.txt", "cannot be read"]);
}

#[test]
fn it_is_ready_and_the_store_is_shared_with_image_pull() {
    let folder = tempfile::tempdir().unwrap();
    let mut registry = bayplan(folder.path(), &["registry", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let stdout = registry.stdout.take().unwrap();
    BufReader::new(stdout).read_line(&mut line).unwrap();
    let address = line
        .trim()
        .strip_prefix("ready http://")
        .unwrap()
        .to_owned();

    let name = format!("{address}/shop/cart:2");
    let words = ["failed to pull", name.as_str()];
    refused(folder.path(), &["image", "pull", &name], &words);
    registry.kill().unwrap();
    registry.wait().unwrap();
}
