//! What pieces of the screen mean.

use crate::config::settings::ContextColor;

/// How many identity hues there are; a workload keeps its hue in every view and session.
pub const IDENTITIES: u8 = 12;
/// Steps of the amount ramp.
pub const AMOUNTS: u8 = 5;

/// The meaning of a piece of text or of a cell's background.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Role {
    #[default]
    Text,
    /// Less important: units, labels, what is not selected.
    Dim,
    /// More important: the figure that counts.
    Strong,
    /// Headings of sections and panels.
    Title,
    /// Column heads.
    Head,
    /// The header row and its product name.
    Header,
    Product,
    /// Thin lines.
    Rule,
    /// Keys in hints and help.
    Key,
    Tab,
    TabActive,
    /// Background of panels that lie over the page.
    Panel,
    /// The full-width band of a rehearsal, and of a lost connection.
    Rehearsal,
    Lost,
    Good,
    Warning,
    Bad,
    Unknown,
    /// Links to other objects, notes, what is neither good nor bad.
    Accent,
    /// A value that has just changed.
    Changed,
    /// What a filter or a search matched.
    Match,
    /// The selected row or cell.
    Cursor,
    /// Marked rows.
    Mark,
    /// The empty part of bars and maps.
    Free,
    Added,
    Removed,
    /// A workload's hue, 0..12.
    Identity(u8),
    /// Little to much, 0..5.
    Amount(u8),
    /// A context's own colour, as the settings give it: one of the six that every terminal has.
    Context(ContextColor),
}

const PLAIN: &[(&str, Role)] = &[
    ("text", Role::Text),
    ("dim", Role::Dim),
    ("strong", Role::Strong),
    ("title", Role::Title),
    ("head", Role::Head),
    ("header", Role::Header),
    ("product", Role::Product),
    ("rule", Role::Rule),
    ("key", Role::Key),
    ("tab", Role::Tab),
    ("tab-active", Role::TabActive),
    ("panel", Role::Panel),
    ("rehearsal", Role::Rehearsal),
    ("lost", Role::Lost),
    ("good", Role::Good),
    ("warning", Role::Warning),
    ("bad", Role::Bad),
    ("unknown", Role::Unknown),
    ("accent", Role::Accent),
    ("changed", Role::Changed),
    ("match", Role::Match),
    ("cursor", Role::Cursor),
    ("mark", Role::Mark),
    ("free", Role::Free),
    ("added", Role::Added),
    ("removed", Role::Removed),
];

impl Role {
    /// Every role with its name in theme files.
    pub fn all() -> impl Iterator<Item = (String, Self)> {
        let plain = PLAIN.iter().map(|(name, role)| ((*name).to_owned(), *role));
        let identities =
            (0..IDENTITIES).map(|step| (format!("identity-{}", step + 1), Self::Identity(step)));
        let amounts = (0..AMOUNTS).map(|step| (format!("amount-{}", step + 1), Self::Amount(step)));
        let contexts = ContextColor::ALL
            .into_iter()
            .map(|colour| (format!("context-{}", colour.name()), Self::Context(colour)));
        plain.chain(identities).chain(amounts).chain(contexts)
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::all()
            .find(|(known, _)| known == name)
            .map(|(_, role)| role)
    }

    /// The ramp's step for a share of 0 to 1; above 1 is the last.
    pub fn amount(share: f64) -> Self {
        let step = [0.35, 0.55, 0.75, 0.90]
            .iter()
            .filter(|limit| share >= **limit)
            .count();
        Self::Amount(u8::try_from(step).unwrap_or(AMOUNTS - 1))
    }
}

/// The hue of something by its name (`shop/cart`): the same in every view, session and machine.
pub fn identity_of(name: &str) -> Role {
    // FNV-1a: stable by definition, unlike the standard library's hashes.
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mixed = (hash >> 32) ^ hash;
    Role::Identity(u8::try_from(mixed % u64::from(IDENTITIES)).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_roles() {
        for (name, role) in Role::all() {
            assert_eq!(Role::named(&name), Some(role));
        }
        assert_eq!(Role::all().count(), 26 + 12 + 5 + 6);
    }

    #[test]
    fn hues_are_stable_and_spread() {
        assert_eq!(identity_of("shop/cart"), identity_of("shop/cart"));
        let used: std::collections::BTreeSet<Role> = (0..200)
            .map(|n| identity_of(&format!("shop/service-{n}")))
            .collect();
        assert_eq!(used.len(), usize::from(IDENTITIES));
    }
}
