//! The console in a pseudo-terminal, and what it costs, for the benches of the console.

use std::io::{Read, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use bayplan::stdx::clock;
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

/// Longer than anything may take.
pub const PATIENCE: Duration = Duration::from_mins(3);
/// A key that brings nothing within this time has no effect.
const KEY_PATIENCE: Duration = Duration::from_secs(5);

/// The console in a pseudo-terminal, with what it has written.
pub struct Screen {
    pub parser: vt100::Parser,
    output: Receiver<Vec<u8>>,
    input: Box<dyn Write + Send>,
    process: u32,
    child: Box<dyn Child + Send + Sync>,
    _master: Box<dyn MasterPty + Send>,
}

/// Columns and lines.
pub type Size = (u16, u16);

impl Screen {
    /// Starts the program with its XDG directories below `root`.
    pub fn open(root: &Path, arguments: &[&str], (columns, lines): Size) -> Self {
        let size = PtySize {
            rows: lines,
            cols: columns,
            pixel_width: 0,
            pixel_height: 0,
        };
        let pair = native_pty_system().openpty(size).unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_bayplan"));
        command.args(arguments);
        for (name, folder) in [
            ("XDG_DATA_HOME", "data"),
            ("XDG_CONFIG_HOME", "config"),
            ("XDG_STATE_HOME", "state"),
            ("XDG_CACHE_HOME", "cache"),
        ] {
            command.env(name, root.join("xdg").join(folder));
        }
        command.env("TERM", "xterm-256color");
        command.env("COLORTERM", "truecolor");
        command.env("LANG", "C.UTF-8");
        let child = pair.slave.spawn_command(command).unwrap();
        let mut reader = pair.master.try_clone_reader().unwrap();
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let mut block = vec![0; 65_536];
            while let Ok(length) = reader.read(&mut block) {
                let Some(bytes) = block.get(..length).filter(|bytes| !bytes.is_empty()) else {
                    break;
                };
                if sender.send(bytes.to_vec()).is_err() {
                    break;
                }
            }
        });
        Self {
            parser: vt100::Parser::new(lines.try_into().unwrap(), columns.try_into().unwrap(), 0),
            output,
            input: pair.master.take_writer().unwrap(),
            process: child.process_id().unwrap(),
            child,
            _master: pair.master,
        }
    }

    pub fn contents(&self) -> String {
        self.parser.screen().contents()
    }

    /// Reads until the screen shows `text`.
    pub fn wait_for(&mut self, text: &str) {
        self.wait_until(text, |shown| shown.contains(text));
    }

    /// Reads until what the screen shows is as `wanted`; `what` tells what that is.
    pub fn wait_until(&mut self, what: &str, wanted: impl Fn(&str) -> bool) {
        let found = self.await_within(PATIENCE, wanted);
        assert!(found, "`{what}` does not appear in:\n{}", self.contents());
    }

    /// The same, for at most so long; whether it came.
    pub fn await_within(&mut self, patience: Duration, wanted: impl Fn(&str) -> bool) -> bool {
        let deadline = clock::instant() + patience;
        while !wanted(&self.contents()) {
            let left = deadline.saturating_duration_since(clock::instant());
            let Ok(bytes) = self.output.recv_timeout(left) else {
                return false;
            };
            self.parser.process(&bytes);
        }
        true
    }

    /// Reads what comes within the time, and counts it.
    pub fn listen(&mut self, time: Duration) -> usize {
        let begin = clock::instant();
        let mut count = 0;
        while let Some(left) = time.checked_sub(begin.elapsed()) {
            match self.output.recv_timeout(left) {
                Ok(bytes) => {
                    count += bytes.len();
                    self.parser.process(&bytes);
                }
                Err(_) => break,
            }
        }
        count
    }

    /// Reads until nothing comes for a while, and counts it.
    pub fn settle(&mut self, quiet: Duration) -> usize {
        let mut count = 0;
        while let Ok(bytes) = self.output.recv_timeout(quiet) {
            count += bytes.len();
            self.parser.process(&bytes);
        }
        count
    }

    pub fn press(&mut self, keys: &[u8]) {
        self.input.write_all(keys).unwrap();
        self.input.flush().unwrap();
    }

    /// Presses a key; how long the first bytes of the answer take, and how many there are.
    pub fn answer(&mut self, key: &[u8]) -> (Duration, usize) {
        let pressed = clock::instant();
        self.press(key);
        let first = self.output.recv_timeout(KEY_PATIENCE).unwrap();
        let took = pressed.elapsed();
        self.parser.process(&first);
        (took, first.len())
    }

    /// Presses a key that moves the terminal's marked row; how long until it is elsewhere, whatever
    /// else is drawn meanwhile.
    pub fn moves(&mut self, key: &[u8]) -> Duration {
        let before = self.marked_row();
        let pressed = clock::instant();
        self.press(key);
        while self.marked_row() == before {
            let bytes = self.output.recv_timeout(KEY_PATIENCE).unwrap();
            self.parser.process(&bytes);
        }
        pressed.elapsed()
    }

    /// The line of the table's cursor.
    fn marked_row(&self) -> Option<usize> {
        self.contents().lines().position(|line| line.contains('▸'))
    }

    /// User and system time so far, in clock ticks of 10 ms.
    pub fn ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process)).unwrap();
        let fields: Vec<&str> = stat
            .rsplit_once(") ")
            .unwrap()
            .1
            .split_whitespace()
            .collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }

    pub fn resident_mib(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The most it ever was.
    pub fn peak_mib(&self) -> u64 {
        self.memory("VmHWM:")
    }

    fn memory(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process)).unwrap();
        let line = status.lines().find(|line| line.starts_with(field)).unwrap();
        let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kib / 1024
    }

    /// Quits; whether it ended well.
    pub fn quit(mut self) -> bool {
        self.press(&[3]);
        self.child.wait().unwrap().success()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A measurement that failed leaves nothing running.
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            let _unless_gone = self.child.kill();
        }
    }
}

/// Milliseconds with two decimals.
pub fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 100_000.0).round() / 100.0
}

/// The value below which so many in a hundred are.
pub fn percentile<T: Copy + Ord>(values: &mut [T], percent: usize) -> T {
    values.sort_unstable();
    values[(values.len() * percent / 100).min(values.len() - 1)]
}

/// Since when, in milliseconds.
pub fn since(begin: Instant) -> f64 {
    ms(begin.elapsed())
}
