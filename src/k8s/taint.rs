//! Taints and tolerations.
//!
//! Source: the reference page of `Taint` and `Toleration` (core/v1).

use serde::{Deserialize, Serialize};

use super::key::Name;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum TaintEffect {
    NoSchedule,
    PreferNoSchedule,
    NoExecute,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Taint {
    pub key: Name,
    #[serde(default, skip_serializing_if = "Name::is_empty")]
    pub value: Name,
    pub effect: TaintEffect,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Toleration {
    pub key: Name,
    /// `Equal` (also when absent) or `Exists`; others never match.
    pub operator: Name,
    pub value: Name,
    /// `None` tolerates every effect; so does an empty text.
    #[serde(deserialize_with = "effect_or_none")]
    pub effect: Option<TaintEffect>,
    pub toleration_seconds: Option<i64>,
}

fn effect_or_none<'de, D>(deserializer: D) -> Result<Option<TaintEffect>, D::Error>
where
    D: serde::Deserializer<'de>,
{
    let text = Option::<Name>::deserialize(deserializer)?.filter(|text| !text.is_empty());
    let Some(text) = text else {
        return Ok(None);
    };
    TaintEffect::deserialize(serde::de::value::StrDeserializer::new(&text)).map(Some)
}

impl Toleration {
    /// Whether this toleration tolerates the taint, `tolerationSeconds` aside.
    pub fn tolerates(&self, taint: &Taint) -> bool {
        let effect = self.effect.is_none_or(|effect| effect == taint.effect);
        let key = self.key.is_empty() || self.key == taint.key;
        let value = match self.operator.as_str() {
            "Exists" => true,
            "" | "Equal" => self.value == taint.value,
            _ => false,
        };
        effect && key && value
    }
}

/// The taints that node lifecycle puts on nodes.
pub const NOT_READY: &str = "node.kubernetes.io/not-ready";
pub const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
pub const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

#[cfg(test)]
mod tests {
    use super::*;

    fn taint(key: &str, value: &str, effect: TaintEffect) -> Taint {
        Taint {
            key: key.into(),
            value: value.into(),
            effect,
        }
    }

    #[test]
    fn empty_key_with_exists_tolerates_everything() {
        let all = Toleration {
            operator: "Exists".into(),
            ..Toleration::default()
        };
        assert!(all.tolerates(&taint("a", "b", TaintEffect::NoExecute)));
    }

    #[test]
    fn equal_needs_the_value_and_the_effect() {
        let toleration = Toleration {
            key: "dedicated".into(),
            value: "gpu".into(),
            effect: Some(TaintEffect::NoSchedule),
            ..Toleration::default()
        };
        assert!(toleration.tolerates(&taint("dedicated", "gpu", TaintEffect::NoSchedule)));
        assert!(!toleration.tolerates(&taint("dedicated", "db", TaintEffect::NoSchedule)));
        assert!(!toleration.tolerates(&taint("dedicated", "gpu", TaintEffect::NoExecute)));
    }
}
