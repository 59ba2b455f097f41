//! The process environment, read here and nowhere else.
//!
//! A shell (main, cli, connect, tui/runtime) takes one [`Environment`] at its start and hands on
//! what is needed; everything below gets plain values and can be tested without touching the
//! process.

use std::ffi::OsString;
use std::path::PathBuf;

/// What bayplan takes from the environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// `KUBECONFIG`: files to merge, in order.
    pub kubeconfig: Vec<PathBuf>,
    /// `BAYPLAN_CLUSTER`: the embedded cluster to open when no flag says which.
    pub cluster: Option<String>,
    /// `BAYPLAN_THEME`.
    pub theme: Option<String>,
    /// `BAYPLAN_LOG`: a filter for the program's own log.
    pub log_filter: Option<String>,
    /// `NO_COLOR` is set to something (<https://no-color.org>).
    pub no_color: bool,
    /// `COLORTERM`: `truecolor` or `24bit`.
    pub color_term: Option<String>,
    /// `TERM`.
    pub term: Option<String>,
    /// The character set's locale: `LC_ALL`, else `LC_CTYPE`, else `LANG`.
    pub locale: Option<String>,
    /// `USER`, else `LOGNAME`: who an operator's actions are recorded as.
    pub user: Option<String>,
    /// Where container tools keep whom their user is to registries (containers-auth.json(5)):
    /// `REGISTRY_AUTH_FILE` alone, or podman's and docker's own places. They need not be there.
    pub auth_files: Vec<PathBuf>,
    /// `VISUAL`, else `EDITOR`.
    pub editor: Option<String>,
}

impl Environment {
    /// The environment of this process.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the environment's one home"
    )]
    pub fn read() -> Self {
        Self::from_lookup(|name| std::env::var_os(name))
    }

    /// Reads from any source of variables. Empty values count as absent.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<OsString>) -> Self {
        let raw = |name: &str| lookup(name).filter(|value| !value.is_empty());
        let text = |name: &str| raw(name).and_then(|value| value.into_string().ok());
        let either = |names: &[&str]| names.iter().find_map(|name| text(name));
        Self {
            kubeconfig: raw("KUBECONFIG")
                .map(|list| {
                    std::env::split_paths(&list)
                        .filter(|path| !path.as_os_str().is_empty())
                        .collect()
                })
                .unwrap_or_default(),
            cluster: text("BAYPLAN_CLUSTER"),
            theme: text("BAYPLAN_THEME"),
            log_filter: text("BAYPLAN_LOG"),
            no_color: raw("NO_COLOR").is_some(),
            color_term: text("COLORTERM"),
            term: text("TERM"),
            locale: either(&["LC_ALL", "LC_CTYPE", "LANG"]),
            auth_files: auth_files(&raw),
            user: either(&["USER", "LOGNAME"]),
            editor: either(&["VISUAL", "EDITOR"]),
        }
    }

    /// Whether the locale says UTF-8; without any locale the answer is no.
    pub fn is_utf8(&self) -> bool {
        self.locale.as_deref().is_some_and(|locale| {
            let locale = locale.to_ascii_lowercase();
            locale.contains("utf-8") || locale.contains("utf8")
        })
    }
}

fn auth_files(raw: &impl Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let below = |name: &str, rest: &str| raw(name).map(|folder| PathBuf::from(folder).join(rest));
    if let Some(file) = raw("REGISTRY_AUTH_FILE") {
        return vec![file.into()];
    }
    let podman = below("XDG_RUNTIME_DIR", "containers/auth.json");
    let docker = below("DOCKER_CONFIG", "config.json");
    let docker = docker.or_else(|| below("HOME", ".docker/config.json"));
    podman.into_iter().chain(docker).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        Environment::from_lookup(|wanted| {
            pairs
                .iter()
                .find(|(name, _)| *name == wanted)
                .map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn an_empty_value_counts_as_absent() {
        assert!(!environment(&[("NO_COLOR", "")]).no_color);
        assert!(environment(&[("NO_COLOR", "0")]).no_color);
    }

    #[test]
    fn the_locale_of_characters_wins_over_the_general_one() {
        let read = environment(&[("LANG", "C"), ("LC_CTYPE", "de_DE.UTF-8")]);
        assert!(read.is_utf8());
        assert!(!environment(&[("LC_ALL", "C"), ("LC_CTYPE", "de_DE.UTF-8")]).is_utf8());
    }

    #[test]
    fn one_auth_file_stands_for_all_others() {
        let home = ("HOME", "/home/me");
        let files = |pairs: &[(&str, &str)]| environment(pairs).auth_files;
        assert_eq!(
            files(&[home]),
            [PathBuf::from("/home/me/.docker/config.json")]
        );
        let run = ("XDG_RUNTIME_DIR", "/run/me");
        let both = files(&[home, run, ("DOCKER_CONFIG", "/docker")]);
        let expected = ["/run/me/containers/auth.json", "/docker/config.json"];
        assert_eq!(both, expected.map(PathBuf::from));
        let alone = files(&[home, run, ("REGISTRY_AUTH_FILE", "/auth.json")]);
        assert_eq!(alone, [PathBuf::from("/auth.json")]);
    }

    #[test]
    fn kubeconfig_is_a_list_of_paths() {
        let read = environment(&[("KUBECONFIG", "/a/one::/b/two")]);
        assert_eq!(
            read.kubeconfig,
            [PathBuf::from("/a/one"), PathBuf::from("/b/two")]
        );
    }
}
