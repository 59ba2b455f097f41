//! Reading a theme file.

use std::collections::BTreeMap;

use super::colour::Colour;
use super::role::Role;
use crate::config::settings::ContextColor;

/// How one role looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the attributes of a terminal cell are independent of each other"
)]
pub struct Look {
    pub front: Option<Colour>,
    pub back: Option<Colour>,
    pub bold: bool,
    pub dim: bool,
    pub italic: bool,
    pub underline: bool,
    pub reverse: bool,
}

#[derive(Clone, PartialEq, Debug, Default)]
pub struct Theme {
    pub name: String,
    looks: BTreeMap<Role, Look>,
    /// What the screen's background is, for snapshots and for fitting colours.
    pub background: Colour,
}

/// Something in a theme file that was not understood; the rest of the file holds.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{file}:{line}: {what}")]
pub struct ThemeNotice {
    pub file: String,
    pub line: usize,
    pub what: String,
}

const BUILT_IN: &[(&str, &str)] = &[
    ("dark", include_str!("../../../themes/dark.yaml")),
    ("light", include_str!("../../../themes/light.yaml")),
    (
        "high-contrast",
        include_str!("../../../themes/high-contrast.yaml"),
    ),
    (
        "colour-blind",
        include_str!("../../../themes/colour-blind.yaml"),
    ),
    ("mono", include_str!("../../../themes/mono.yaml")),
];

/// The names of the embedded themes.
pub fn names() -> impl Iterator<Item = &'static str> {
    BUILT_IN.iter().map(|(name, _)| *name)
}

/// An embedded theme with what was wrong in it: nothing, as a test holds.
pub fn built_in(name: &str) -> Option<(Theme, Vec<ThemeNotice>)> {
    BUILT_IN
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(known, text)| Theme::read(known, &format!("themes/{known}.yaml"), text))
}

impl Theme {
    /// How a role looks; roles that a theme does not name look like text, a context's colour like
    /// the terminal's own.
    pub fn look(&self, role: Role) -> Look {
        let own = self.looks.get(&role).copied();
        match role {
            Role::Context(colour) => own.unwrap_or_else(|| context_look(colour)),
            _ => own.unwrap_or_default(),
        }
    }

    /// Reads a theme: `palette` names colours, `roles` say what looks how. A role is a colour or a
    /// map of `front`, `back` and attributes. `base` names an embedded theme to start from.
    pub fn read(name: &str, file: &str, text: &str) -> (Self, Vec<ThemeNotice>) {
        let mut reader = Reader {
            file,
            text,
            notices: Vec::new(),
            palette: BTreeMap::new(),
        };
        let mut theme = Self {
            name: name.to_owned(),
            ..Self::default()
        };
        match serde_yaml::from_str::<serde_yaml::Value>(text) {
            Ok(serde_yaml::Value::Mapping(map)) => reader.theme(&map, &mut theme),
            Ok(_) => reader.note(1, "a theme is a map of `palette` and `roles`".to_owned()),
            Err(error) => {
                let line = error.location().map_or(1, |place| place.line());
                reader.note(line, format!("not YAML: {error}"));
            }
        }
        (theme, reader.notices)
    }
}

fn context_look(colour: ContextColor) -> Look {
    Look {
        front: Some(Colour::Basic(0)),
        back: Colour::parse(colour.name()),
        bold: true,
        ..Look::default()
    }
}

struct Reader<'a> {
    file: &'a str,
    text: &'a str,
    notices: Vec<ThemeNotice>,
    palette: BTreeMap<String, Colour>,
}

impl Reader<'_> {
    fn note(&mut self, line: usize, what: String) {
        self.notices.push(ThemeNotice {
            file: self.file.to_owned(),
            line,
            what,
        });
    }

    /// The line of a key: YAML values carry no positions, keys of a theme are unique.
    fn line_of(&self, key: &str) -> usize {
        self.text
            .lines()
            .position(|line| {
                let line = line.trim_start();
                line.strip_prefix(key)
                    .is_some_and(|rest| rest.trim_start().starts_with(':'))
            })
            .map_or(1, |place| place + 1)
    }

    fn theme(&mut self, map: &serde_yaml::Mapping, theme: &mut Theme) {
        if let Some(base) = map.get("base").and_then(serde_yaml::Value::as_str) {
            if let Some((base, _)) = built_in(base) {
                theme.looks = base.looks;
                theme.background = base.background;
            } else {
                let known = names().collect::<Vec<_>>().join(", ");
                let line = self.line_of("base");
                self.note(line, format!("no theme `{base}`; there are {known}"));
            }
        }
        if let Some(palette) = map.get("palette").and_then(serde_yaml::Value::as_mapping) {
            for (key, value) in palette {
                let (Some(key), Some(value)) = (key.as_str(), value.as_str()) else {
                    continue;
                };
                match Colour::parse(value) {
                    Some(colour) => {
                        self.palette.insert(key.to_owned(), colour);
                    }
                    None => self.bad_colour(key, value),
                }
            }
        }
        for (key, value) in map {
            match key.as_str().unwrap_or_default() {
                "base" | "palette" => {}
                "background" => {
                    if let Some(colour) = self.colour("background", value) {
                        theme.background = colour;
                    }
                }
                "roles" => self.roles(value, theme),
                other => {
                    let line = self.line_of(other);
                    self.note(
                        line,
                        format!("`{other}` is unknown; there are `base`, `palette`, `background` and `roles`"),
                    );
                }
            }
        }
    }

    fn roles(&mut self, value: &serde_yaml::Value, theme: &mut Theme) {
        let Some(map) = value.as_mapping() else {
            let line = self.line_of("roles");
            return self.note(line, "`roles` is a map of role to look".to_owned());
        };
        for (key, value) in map {
            let key = key.as_str().unwrap_or_default();
            let Some(role) = Role::named(key) else {
                let line = self.line_of(key);
                self.note(line, format!("no role `{key}`"));
                continue;
            };
            let look = self.look(key, value);
            theme.looks.insert(role, look);
        }
    }

    fn look(&mut self, key: &str, value: &serde_yaml::Value) -> Look {
        let Some(map) = value.as_mapping() else {
            return Look {
                front: self.colour(key, value),
                ..Look::default()
            };
        };
        let mut look = Look::default();
        for (name, value) in map {
            let on = value.as_bool().unwrap_or(false);
            match name.as_str().unwrap_or_default() {
                "front" => look.front = self.colour(key, value),
                "back" => look.back = self.colour(key, value),
                "bold" => look.bold = on,
                "dim" => look.dim = on,
                "italic" => look.italic = on,
                "underline" => look.underline = on,
                "reverse" => look.reverse = on,
                other => {
                    let line = self.line_of(key);
                    self.note(
                        line,
                        format!("`{other}` of `{key}` is unknown; there are front, back, bold, dim, italic, underline, reverse"),
                    );
                }
            }
        }
        look
    }

    fn colour(&mut self, key: &str, value: &serde_yaml::Value) -> Option<Colour> {
        let text = value.as_str().unwrap_or_default();
        let colour = self
            .palette
            .get(text)
            .copied()
            .or_else(|| Colour::parse(text));
        if colour.is_none() {
            self.bad_colour(key, text);
        }
        colour
    }

    fn bad_colour(&mut self, key: &str, text: &str) {
        let line = self.line_of(key);
        self.note(
            line,
            format!(
                "`{text}` of `{key}` is no colour: #rrggbb, a name of the palette, or `terminal`"
            ),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_embedded_theme_loads_without_notices_and_names_every_role() {
        for name in names() {
            let (theme, notices) = built_in(name).unwrap();
            assert_eq!(notices, [], "{name}");
            // Contexts' colours are the terminal's own unless a theme says otherwise.
            let roles = Role::all().filter(|(_, role)| !matches!(role, Role::Context(_)));
            for (role_name, role) in roles {
                assert!(theme.looks.contains_key(&role), "{name} lacks {role_name}");
            }
        }
    }

    #[test]
    fn wrong_keys_are_told_with_their_line() {
        let text = "base: dark\nroles:\n  good: '#00ff00'\n  goood: red\n  bad: reddish\n  cursor: {bak: red}\nshapes: 1\n";
        let (theme, notices) = Theme::read("mine", "mine.yaml", text);
        let told: Vec<String> = notices.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 4, "{told:#?}");
        assert!(told[0].starts_with("mine.yaml:4: no role `goood`"));
        assert!(told[1].starts_with("mine.yaml:5: `reddish` of `bad` is no colour"));
        assert!(told[2].starts_with("mine.yaml:6: `bak` of `cursor`"));
        assert!(told[3].starts_with("mine.yaml:7: `shapes`"));
        assert_eq!(theme.look(Role::Good).front, Some(Colour::Rgb(0, 255, 0)));
        assert!(theme.look(Role::Dim).front.is_some(), "the base holds");
    }

    #[test]
    fn broken_yaml_is_a_notice() {
        let (_, notices) = Theme::read("mine", "mine.yaml", "roles:\n  a: [\n");
        assert_eq!(notices.len(), 1);
    }
}
