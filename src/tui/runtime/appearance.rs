//! Which theme, how many colours, which characters: from options, settings and the environment.

use std::path::{Path, PathBuf};

use crate::config::env::Environment;
use crate::config::settings::Settings;
use crate::config::theme::{self, Theme};
use crate::tui::notice::Notice;
use crate::tui::theme::{Characters, Depth, Palette};

/// How the console is to look.
#[derive(Clone, Debug)]
pub struct Appearance {
    /// A file's name under `themes/` of the configuration directory, or an embedded theme's.
    pub theme: String,
    pub themes: PathBuf,
    pub depth: Depth,
    pub characters: Characters,
}

/// What no setting overrides.
pub const STANDARD: &str = "dark";

impl Appearance {
    pub fn detect(
        environment: &Environment,
        theme: Option<&str>,
        settings: &Settings,
        ascii: bool,
        config: &Path,
    ) -> Self {
        let chosen = theme
            .or(environment.theme.as_deref())
            .or(settings.theme.as_deref())
            .unwrap_or(STANDARD);
        Self {
            theme: chosen.to_owned(),
            themes: config.join("themes"),
            depth: Depth::detect(environment),
            characters: Characters::detect(environment, ascii),
        }
    }

    /// The palette, and what was wrong with the theme. A theme that does not exist or is broken
    /// means a notice and the standard one, never no console.
    pub fn palette(&self) -> (Palette, Vec<Notice>) {
        let (theme, notices) = self.load();
        (Palette::new(&theme, self.depth, self.characters), notices)
    }

    fn load(&self) -> (Theme, Vec<Notice>) {
        let file = self.themes.join(format!("{}.yaml", self.theme));
        if let Ok(text) = std::fs::read_to_string(&file) {
            let (theme, problems) = Theme::read(&self.theme, &file.display().to_string(), &text);
            return (
                theme,
                problems
                    .iter()
                    .map(|problem| Notice::warning(problem.to_string()))
                    .collect(),
            );
        }
        if let Some((theme, _)) = theme::built_in(&self.theme) {
            return (theme, Vec::new());
        }
        let known: Vec<&str> = theme::names().collect();
        let text = format!(
            "no theme `{}`: neither {} nor one of {}",
            self.theme,
            file.display(),
            known.join(", ")
        );
        let standard = theme::built_in(STANDARD)
            .map(|(theme, _)| theme)
            .unwrap_or_default();
        (standard, vec![Notice::warning(text)])
    }
}
