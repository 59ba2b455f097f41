//! What the user chose, read at the start: settings and keys.
//!
//! Nothing that is wrong in a file keeps the console from opening: the default takes its place, and
//! what is wrong is said on the screen.

use std::io::ErrorKind;
use std::path::Path;

use crate::config::keymap;
use crate::config::paths::Paths;
use crate::config::settings::Settings;
use crate::tui::keymap::Keymap;

#[derive(Clone, Debug)]
pub struct Preferences {
    pub settings: Settings,
    pub keymap: Keymap,
    /// Sentences with file, line and what is allowed.
    pub problems: Vec<String>,
}

impl Default for Preferences {
    fn default() -> Self {
        Self {
            settings: Settings::default(),
            keymap: Keymap::standard(),
            problems: Vec::new(),
        }
    }
}

impl Preferences {
    pub fn load(paths: &Paths) -> Self {
        let (settings, errors) = Settings::load(&paths.settings());
        let mut problems: Vec<String> = errors.iter().map(ToString::to_string).collect();
        let keymap = match &settings.keymap {
            Some(named) => keys(
                &paths.beside_settings(named),
                Absence::IsWrong,
                &mut problems,
            ),
            None => keys(&paths.keymap(), Absence::IsUsual, &mut problems),
        };
        Self {
            settings,
            keymap,
            problems,
        }
    }
}

/// What it means that a file is not there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Absence {
    IsUsual,
    IsWrong,
}

fn keys(path: &Path, absence: Absence, problems: &mut Vec<String>) -> Keymap {
    let file = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => {
            let (bindings, unread) = keymap::read(&file, &text);
            let (keymap, unknown) = Keymap::standard().with(&file, &bindings);
            problems.extend(unread.iter().chain(&unknown).map(ToString::to_string));
            keymap
        }
        Err(error) if error.kind() == ErrorKind::NotFound && absence == Absence::IsUsual => {
            Keymap::standard()
        }
        Err(error) => {
            problems.push(format!(
                "{file} cannot be read: {error}; the usual keys hold"
            ));
            Keymap::standard()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_costs_one_setting_and_one_key_and_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::below(folder.path());
        let none = Preferences::load(&paths);
        assert_eq!(none.problems, Vec::<String>::new());
        std::fs::create_dir_all(&paths.config).unwrap();
        std::fs::write(paths.settings(), "mouse: true\ntheem: dark\n").unwrap();
        std::fs::write(paths.keymap(), "describe: 'D'\nyamll: 'd'\n").unwrap();
        let read = Preferences::load(&paths);
        assert!(read.settings.mouse);
        assert_eq!(read.problems.len(), 2, "{:?}", read.problems);
        assert!(read.problems[0].contains("settings.yaml:2:1: unknown field `theem`"));
        assert!(read.problems[1].contains("keymap.yaml:2: no command `yamll`"));
        std::fs::write(paths.settings(), "keymap: nowhere.yaml\n").unwrap();
        let read = Preferences::load(&paths);
        assert!(
            read.problems[0].contains("config/nowhere.yaml cannot be read"),
            "{:?}",
            read.problems
        );
    }
}
