//! The small tools that an image of this program has: what `kubectl exec` and `kubectl cp` expect to
//! find in a container. Under other names than these the binary is itself.

use std::fs::{self, File};
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use bayplan::node::image::own::TOOLS;

use super::fetch;

const HELP: &str =
    "cat FILE… · cd FOLDER · echo TEXT · env · ls [FOLDER] · pwd · tar · wget URL · exit";

/// Runs a tool if the program was called by its name.
pub fn run_as_named() -> Option<ExitCode> {
    let mut all = std::env::args();
    let called = PathBuf::from(all.next()?);
    let name = called.file_name()?.to_str()?.to_owned();
    if !TOOLS.contains(&name.as_str()) {
        return None;
    }
    let arguments: Vec<String> = all.collect();
    let done = if name == "sh" {
        shell(&arguments)
    } else {
        tool(&name, &arguments).map(|()| ExitCode::SUCCESS)
    };
    Some(done.unwrap_or_else(|error| {
        complain(&format!("{name}: {error:#}"));
        ExitCode::FAILURE
    }))
}

fn complain(text: &str) {
    let _nobody_reads = writeln!(io::stderr().lock(), "{text}");
}

fn tool(name: &str, arguments: &[String]) -> Result<()> {
    match name {
        "cat" => cat(arguments),
        "echo" => super::say(&arguments.join(" ")),
        "env" => env(),
        "ls" => list(arguments.iter().find(|it| !it.starts_with('-'))),
        "pwd" => super::say(&std::env::current_dir()?.display().to_string()),
        "tar" => tar(arguments),
        "wget" => wget(arguments),
        _ => bail!("not found; there are {HELP}"),
    }
}

/// `sh`, `sh -c LINE`: words apart by blanks or in quotes, one command a line or between `;`.
fn shell(arguments: &[String]) -> Result<ExitCode> {
    if let Some(at) = arguments.iter().position(|it| it == "-c") {
        let line = arguments.get(at + 1).context("-c needs a command")?;
        return Ok(commands(line, ExitCode::SUCCESS).0);
    }
    let asks = io::stdin().is_terminal();
    if asks {
        super::say(&format!("the sample's own shell: {HELP}"))?;
    }
    let mut last = ExitCode::SUCCESS;
    let mut lines = io::stdin().lock().lines();
    loop {
        if asks {
            crate::cli::print(format!("{} $ ", super::host_name()).as_bytes())?;
        }
        let Some(line) = lines.next() else {
            return Ok(last);
        };
        let (code, is_over) = commands(&line?, last);
        if is_over {
            return Ok(code);
        }
        last = code;
    }
}

/// Runs the commands of a line; says how the last one ended, and whether the shell is to end.
fn commands(line: &str, before: ExitCode) -> (ExitCode, bool) {
    let mut last = before;
    for command in line.split(';') {
        let words = words(command);
        let Some((name, arguments)) = words.split_first() else {
            continue;
        };
        let done = match name.as_str() {
            "exit" => {
                let asked = arguments.first().and_then(|code| code.parse::<u8>().ok());
                return (asked.map_or(last, ExitCode::from), true);
            }
            "cd" => {
                let folder = arguments.first().map_or("/", String::as_str);
                std::env::set_current_dir(folder).with_context(|| folder.to_owned())
            }
            "help" => super::say(HELP),
            name => tool(name, arguments),
        };
        last = match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                complain(&format!("{name}: {error:#}"));
                ExitCode::FAILURE
            }
        };
    }
    (last, false)
}

fn words(line: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut word = String::new();
    let (mut quote, mut is_begun) = (None, false);
    for letter in line.chars() {
        match (letter, quote) {
            ('"' | '\'', None) => (quote, is_begun) = (Some(letter), true),
            (letter, Some(end)) if letter == end => quote = None,
            (letter, None) if letter.is_whitespace() => {
                if is_begun {
                    all.push(std::mem::take(&mut word));
                }
                is_begun = false;
            }
            (letter, _) => {
                word.push(letter);
                is_begun = true;
            }
        }
    }
    if is_begun {
        all.push(word);
    }
    all
}

fn cat(files: &[String]) -> Result<()> {
    let mut out = io::stdout().lock();
    if files.is_empty() {
        io::copy(&mut io::stdin().lock(), &mut out)?;
    }
    for file in files {
        let mut open = File::open(file).with_context(|| file.clone())?;
        io::copy(&mut open, &mut out)?;
    }
    Ok(out.flush()?)
}

fn env() -> Result<()> {
    for (name, value) in std::env::vars_os() {
        super::say(&format!("{}={}", name.display(), value.display()))?;
    }
    Ok(())
}

fn list(folder: Option<&String>) -> Result<()> {
    let folder = folder.map_or(".", String::as_str);
    if !fs::metadata(folder)
        .with_context(|| folder.to_owned())?
        .is_dir()
    {
        return super::say(folder);
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort_unstable();
    for name in names {
        super::say(&name)?;
    }
    Ok(())
}

fn wget(arguments: &[String]) -> Result<()> {
    // `-O -` and `-q` are what scripts write; the answer goes to the standard output anyway.
    let url = arguments.iter().rfind(|it| !it.starts_with('-'));
    let url = url.context("no URL is given")?;
    let url = if url.contains("://") {
        url.clone()
    } else {
        format!("http://{url}")
    };
    let url: http::Uri = url.parse().with_context(|| url.clone())?;
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let answer = runtime
        .block_on(fetch::get(&url, path))
        .map_err(anyhow::Error::msg)?;
    crate::cli::print(&answer.body)?;
    if !answer.status.is_success() {
        bail!("server returned {}", answer.status);
    }
    Ok(())
}

/// As `kubectl cp` calls it: `tar cf - PATH…`, `tar xf - -C FOLDER` (with `m`, `p`, `v` besides).
fn tar(arguments: &[String]) -> Result<()> {
    let (mut action, mut folder, mut paths) = (None, None, Vec::new());
    let mut file = None;
    let mut rest = arguments.iter().enumerate();
    while let Some((at, argument)) = rest.next() {
        let is_flags = at == 0 || (argument.starts_with('-') && argument != "-");
        if !is_flags || argument == "--" {
            paths.extend((argument != "--").then_some(argument));
            continue;
        }
        for flag in argument.trim_start_matches('-').chars() {
            match flag {
                'c' | 'x' | 't' => action = Some(flag),
                'f' => file = rest.next(),
                'C' => folder = rest.next(),
                'm' | 'p' | 'v' | 'o' => {}
                _ => bail!("`-{flag}` is not understood"),
            }
        }
    }
    if file.is_none_or(|(_, file)| file != "-") {
        bail!("only the standard input and output are read and written: `-f -`");
    }
    if let Some((_, folder)) = folder {
        std::env::set_current_dir(folder).with_context(|| folder.clone())?;
    }
    match action {
        Some('c') => pack(&paths),
        Some('x') => {
            let mut archive = tar::Archive::new(io::stdin().lock());
            archive.set_preserve_permissions(true);
            Ok(archive.unpack(".")?)
        }
        Some('t') => {
            for entry in tar::Archive::new(io::stdin().lock()).entries()? {
                super::say(&entry?.path()?.display().to_string())?;
            }
            Ok(())
        }
        _ => bail!("one of `c`, `x`, `t` is needed"),
    }
}

fn pack(paths: &[&String]) -> Result<()> {
    let mut archive = tar::Builder::new(io::stdout().lock());
    archive.follow_symlinks(false);
    for path in paths {
        let from = Path::new(path);
        let inside = from.strip_prefix("/").unwrap_or(from);
        let found = fs::symlink_metadata(from).with_context(|| (*path).clone())?;
        if found.is_dir() {
            archive.append_dir_all(inside, from)?;
        } else {
            archive.append_path_with_name(from, inside)?;
        }
    }
    archive.into_inner()?.flush()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_apart_by_blanks_unless_quoted() {
        assert_eq!(
            words("  cat 'a b'  c\"d e\" ''"),
            ["cat", "a b", "cd e", ""]
        );
        assert!(words(" \t").is_empty());
    }
}
