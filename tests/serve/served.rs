//! A served cluster in its own process, and plain requests to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

/// Dropping it kills the process.
pub struct Served {
    child: Child,
    pub folder: PathBuf,
}

impl Served {
    /// Starts `bayplan serve` over `folder` without machines and waits until it is ready.
    pub fn start(folder: &Path, more: &[&str]) -> Self {
        Self::spawn(folder, &mut command(folder, more))
    }

    /// The same with a command that was changed further.
    pub fn spawn(folder: &Path, command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        if !line.starts_with("ready https://") {
            let output = child.wait_with_output().unwrap();
            panic!("{line:?} {}", String::from_utf8_lossy(&output.stderr));
        }
        // What nobody reads would hold the process up once the pipe is full.
        if let Some(mut stderr) = child.stderr.take() {
            std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
        }
        Self {
            folder: folder.to_owned(),
            child,
        }
    }

    /// SIGKILL, and the end of the process.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn pid(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.child)
    }

    /// SIGTERM; the exit code.
    pub fn terminate(mut self) -> Option<i32> {
        rustix::process::kill_process(self.pid(), rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap().code()
    }

    pub fn local(&self) -> Local {
        Local::connect(&self.folder)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _reaped = self.child.wait();
    }
}

pub fn command(folder: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bayplan"));
    command
        .args([
            "serve",
            "--fleet",
            "none",
            "--listen",
            "127.0.0.1:0",
            "--data",
        ])
        .arg(folder)
        .args(more)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// One plain HTTP connection over the local endpoint.
pub struct Local {
    stream: BufReader<UnixStream>,
}

impl Local {
    fn connect(folder: &Path) -> Self {
        let stream = UnixStream::connect(folder.join("api.sock")).unwrap();
        Self {
            stream: BufReader::new(stream),
        }
    }

    /// The body of an answer that the server ends when it has no more to say.
    pub fn stream(&mut self, path: &str) -> std::io::Result<String> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: local\r\nconnection: close\r\n\r\n");
        self.stream.get_mut().write_all(request.as_bytes())?;
        let mut answer = String::new();
        self.stream.read_to_string(&mut answer)?;
        let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        Ok(body.to_owned())
    }

    /// The status and the body; an error when the connection ends before the answer is whole.
    pub fn send(&mut self, method: &str, path: &str, body: &str) -> std::io::Result<(u16, Value)> {
        let kind = match method {
            "PATCH" => "application/strategic-merge-patch+json",
            _ => "application/json",
        };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: local\r\ncontent-type: {kind}\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.get_mut().write_all(request.as_bytes())?;
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let mut length = 0;
        loop {
            let mut header = String::new();
            if self.stream.read_line(&mut header)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            if header == "\r\n" {
                break;
            }
            if let Some(value) = header.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        let status = status.ok_or(std::io::ErrorKind::UnexpectedEof)?;
        Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
    }
}
