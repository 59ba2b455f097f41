//! What package tools wrote down of an image.
//!
//! Advisories of Debian, Ubuntu and Alpine name the package that others were built of, with its
//! version; that is what is told of each.
//!
//! Sources: dpkg's `status` file and its form in distroless images (`status.d`); apk's `installed`
//! database; os-release(5).

use std::path::PathBuf;

use super::ScanError;
use super::rootfs::Rootfs;
use super::version::Scheme;

/// An installed package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Package {
    pub name: String,
    /// What it was built of.
    pub source: String,
    /// The version of that.
    pub version: String,
}

/// Whose advisories hold: a distribution and its release, as OSV names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ecosystem {
    pub name: String,
    pub release: Option<String>,
}

impl std::fmt::Display for Ecosystem {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.release {
            Some(release) => write!(to, "{}:{release}", self.name),
            None => write!(to, "{}", self.name),
        }
    }
}

/// What is installed in an image.
#[derive(Clone, Debug)]
pub struct Contents {
    pub ecosystem: Ecosystem,
    pub scheme: Scheme,
    pub packages: Vec<Package>,
}

const DPKG: &str = "var/lib/dpkg/status";
const DPKG_PARTS: &str = "var/lib/dpkg/status.d";
const APK: [&str; 2] = ["lib/apk/db/installed", "usr/lib/apk/db/installed"];
const RPM: [&str; 2] = ["var/lib/rpm", "usr/lib/sysimage/rpm"];
const RELEASE: [&str; 2] = ["etc/os-release", "usr/lib/os-release"];

/// Reads what is installed in these layers, the lowest first.
pub fn read(layers: &[PathBuf]) -> Result<Contents, ScanError> {
    let rootfs = Rootfs(layers);
    let mut text = rootfs.read(DPKG)?.unwrap_or_default();
    for name in rootfs.names_in(DPKG_PARTS) {
        // Beside each package's file stands one with the sums of its files.
        if !name.ends_with(".md5sums") {
            let part = rootfs.read(&format!("{DPKG_PARTS}/{name}"))?;
            text.push_str("\n\n");
            text.push_str(&part.unwrap_or_default());
        }
    }
    let (scheme, mut packages) = if text.is_empty() {
        let found = APK.iter().map(|path| rootfs.read(path));
        let found: Vec<Option<String>> = found.collect::<Result<_, _>>()?;
        let Some(text) = found.into_iter().flatten().next() else {
            let has_rpm = RPM.iter().any(|path| rootfs.has(path));
            return Err(if has_rpm {
                ScanError::Rpm
            } else {
                ScanError::NoPackages
            });
        };
        (Scheme::Apk, apk(&text))
    } else {
        (Scheme::Dpkg, dpkg(&text))
    };
    packages.sort();
    let found = RELEASE.iter().map(|path| rootfs.read(path));
    let found: Vec<Option<String>> = found.collect::<Result<_, _>>()?;
    let release = found.into_iter().flatten().next().unwrap_or_default();
    Ok(Contents {
        ecosystem: ecosystem(&release).ok_or(ScanError::NoDistribution)?,
        scheme,
        packages,
    })
}

fn dpkg(text: &str) -> Vec<Package> {
    let stanzas = text.split("\n\n");
    let packages = stanzas.filter_map(|stanza| {
        let field = |name: &str| {
            let lines = stanza.lines().filter_map(|line| line.strip_prefix(name));
            lines
                .filter_map(|rest| rest.strip_prefix(':'))
                .map(str::trim)
                .next()
        };
        // Configuration files may stay of a package that is gone.
        if field("Status").is_some_and(|status| !status.ends_with(" installed")) {
            return None;
        }
        let (name, version) = (field("Package")?, field("Version")?);
        let source = field("Source").unwrap_or(name);
        let (source, of_source) = match source.split_once('(') {
            Some((source, rest)) => (source.trim(), rest.trim_end_matches(')').trim()),
            None => (source, version),
        };
        Some(Package {
            name: name.to_owned(),
            source: source.to_owned(),
            version: of_source.to_owned(),
        })
    });
    packages.collect()
}

fn apk(text: &str) -> Vec<Package> {
    let stanzas = text.split("\n\n");
    let packages = stanzas.filter_map(|stanza| {
        let field = |name: &str| stanza.lines().find_map(|line| line.strip_prefix(name));
        let (name, version) = (field("P:")?, field("V:")?);
        Some(Package {
            name: name.to_owned(),
            source: field("o:").unwrap_or(name).to_owned(),
            version: version.to_owned(),
        })
    });
    packages.collect()
}

fn ecosystem(os_release: &str) -> Option<Ecosystem> {
    let field = |name: &str| {
        let lines = os_release.lines().filter_map(|line| line.split_once('='));
        let mut values = lines.filter(|(key, _)| *key == name);
        values
            .next()
            .map(|(_, value)| value.trim().trim_matches(['"', '\'']))
    };
    let (id, version) = (field("ID")?, field("VERSION_ID"));
    let (name, release) = match id {
        "debian" => (
            "Debian",
            version.map(|it| it.split('.').next().unwrap_or(it).to_owned()),
        ),
        "ubuntu" => ("Ubuntu", version.map(str::to_owned)),
        "alpine" => {
            let parts: Vec<&str> = version?.split('.').take(2).collect();
            ("Alpine", Some(format!("v{}", parts.join("."))))
        }
        // They have one release that rolls on.
        "wolfi" => ("Wolfi", None),
        "chainguard" => ("Chainguard", None),
        other => (other, version.map(str::to_owned)),
    };
    Some(Ecosystem {
        name: name.to_owned(),
        release,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distributions_are_named_as_advisories_name_them() {
        let named = |text: &str| ecosystem(text).map(|it| it.to_string());
        let check = |text: &str, expected: &str| assert_eq!(named(text).as_deref(), Some(expected));
        check("ID=debian\nVERSION_ID=\"12\"\n", "Debian:12");
        check("NAME=x\nID=ubuntu\nVERSION_ID=\"22.04\"", "Ubuntu:22.04");
        check("ID=alpine\nVERSION_ID=3.18.4", "Alpine:v3.18");
        check("ID='wolfi'\nVERSION_ID=20230201", "Wolfi");
        check("ID=devuan\nVERSION_ID=5", "devuan:5");
        assert_eq!(named("NAME=x"), None);
    }

    #[test]
    fn dpkg_packages_are_told_by_their_source() {
        let text = "Package: libssl3\nStatus: install ok installed\nSource: openssl\nVersion: 3.0.11-1~deb12u2\nDescription: x\n Package: not this\n\n\
            Package: libc-bin\nStatus: install ok installed\nSource: glibc (2.36-9)\nVersion: 2.36-9+b1\n\n\
            Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n\
            Package: base-files\nVersion: 12.4\n";
        let found: Vec<String> = dpkg(text)
            .iter()
            .map(|it| format!("{} {} {}", it.name, it.source, it.version))
            .collect();
        let expected = [
            "libssl3 openssl 3.0.11-1~deb12u2",
            "libc-bin glibc 2.36-9",
            "base-files base-files 12.4",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn apk_packages_are_told_by_their_origin() {
        let text = "C:Q1=\nP:ssl_client\nV:1.36.1-r5\nA:x86_64\no:busybox\nF:usr\n\nP:musl\nV:1.2.4-r2\n\n";
        let found = apk(text);
        assert_eq!(found.len(), 2);
        assert_eq!(
            (found[0].source.as_str(), found[0].version.as_str()),
            ("busybox", "1.36.1-r5")
        );
        assert_eq!(found[1].source, "musl");
    }
}
