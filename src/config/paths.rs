//! Where files live: the XDG base directories (via etcetera), each with `bayplan` below.
//!
//! Names places only; it creates nothing.

use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;

/// The four places of this user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// Clusters: what must not be lost.
    pub data: PathBuf,
    /// Settings, themes, key maps.
    pub config: PathBuf,
    /// Logs, command history, operator actions.
    pub state: PathBuf,
    /// May be deleted at any time.
    pub cache: PathBuf,
}

/// Why there are no places.
#[derive(Debug, thiserror::Error)]
pub enum PathsError {
    #[error("no home directory: set HOME, or XDG_DATA_HOME and its siblings")]
    NoHome(#[source] etcetera::HomeDirError),
}

const APPLICATION: &str = "bayplan";

impl Paths {
    /// `$XDG_DATA_HOME/bayplan` and its siblings, or the places below the home directory that the
    /// XDG base directory specification names.
    pub fn resolve() -> Result<Self, PathsError> {
        let base = etcetera::base_strategy::Xdg::new().map_err(PathsError::NoHome)?;
        let state = base
            .state_dir()
            .unwrap_or_else(|| base.home_dir().join(".local/state"));
        Ok(Self {
            data: base.data_dir().join(APPLICATION),
            config: base.config_dir().join(APPLICATION),
            state: state.join(APPLICATION),
            cache: base.cache_dir().join(APPLICATION),
        })
    }

    /// All four below one directory, for tests and for `--data`.
    pub fn below(root: &Path) -> Self {
        Self {
            data: root.join("data"),
            config: root.join("config"),
            state: root.join("state"),
            cache: root.join("cache"),
        }
    }

    /// All embedded clusters, a directory each.
    pub fn clusters(&self) -> PathBuf {
        self.data.join("clusters")
    }

    /// The directory of an embedded cluster: its store, its certificates, its local endpoint.
    pub fn cluster(&self, name: &str) -> PathBuf {
        self.clusters().join(name)
    }

    pub fn settings(&self) -> PathBuf {
        self.config.join("settings.yaml")
    }

    pub fn keymap(&self) -> PathBuf {
        self.config.join("keymap.yaml")
    }

    /// A file that the settings name: `~` is the home directory, what is relative stands beside
    /// them.
    pub fn beside_settings(&self, named: &Path) -> PathBuf {
        match named.strip_prefix("~") {
            Ok(rest) => {
                etcetera::home_dir().map_or_else(|_| named.to_owned(), |home| home.join(rest))
            }
            Err(_) => self.config.join(named),
        }
    }

    /// The user's own themes; the program's are embedded.
    pub fn themes(&self) -> PathBuf {
        self.config.join("themes")
    }

    /// The program's own log.
    pub fn log(&self) -> PathBuf {
        self.state.join("bayplan.log")
    }

    /// What was typed on the `:` line.
    pub fn history(&self) -> PathBuf {
        self.state.join("history")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_has_its_own_directory_below_data() {
        let paths = Paths::below(Path::new("/r"));
        assert_eq!(
            paths.cluster("default"),
            Path::new("/r/data/clusters/default")
        );
        assert_eq!(paths.settings(), Path::new("/r/config/settings.yaml"));
    }
}
