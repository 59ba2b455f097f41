//! The grammar of steps. Every refusal says what would be right.

use jiff::SignedDuration;
use serde_json::Value;

use super::{Balance, Domain, Model, Packing, Reference, Setting, Step};
use crate::k8s::Name;
use crate::k8s::quantity::Quantity;
use crate::rehearse::nearest::nearest;

/// The forms of steps, one a line, for help texts.
pub const GRAMMAR: &[&str] = &[
    "drain NODE",
    "cordon NODE",
    "uncordon NODE",
    "lose LEVEL=VALUE (node=…, rack=…, zone=…, power=…, or any node label)",
    "restore LEVEL=VALUE",
    "add COUNT like NODE",
    "add COUNT of INSTANCE-TYPE",
    "remove NODE",
    "scale KIND/NAME=REPLICAS [-n NAMESPACE]",
    "set KIND/NAME requests [CONTAINER:]cpu=500m,memory=1Gi [-n NAMESPACE]",
    "set KIND/NAME limits [CONTAINER:]cpu=1,memory=2Gi [-n NAMESPACE]",
    "set KIND/NAME image [CONTAINER=]IMAGE [-n NAMESPACE]",
    "set KIND/NAME spread LEVEL=SKEW [soft] [-n NAMESPACE]",
    "set KIND/NAME apart LEVEL [soft] [-n NAMESPACE]",
    "patch KIND/NAME [-n NAMESPACE] JSON",
    "apply FILE [-n NAMESPACE]",
    "evict POD [-n NAMESPACE]",
    "pack most|least|balanced|gpus",
    "rebalance machines [emptydir]",
    "rebalance spread [LEVEL] [emptydir]",
    "wait DURATION (90s, 10m, 1h30m)",
];

/// Why a text is no step.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StepError {
    #[error("`{word}` is no step{}; the steps are {}", hint(word), verbs().join(", "))]
    Unknown { word: String },
    #[error("a step is missing; the steps are {}", verbs().join(", "))]
    Empty,
    #[error("`{text}`: {expected} is missing")]
    Missing {
        text: String,
        expected: &'static str,
    },
    #[error("`{word}` is no {expected}")]
    Malformed {
        word: String,
        expected: &'static str,
    },
    #[error("`{text}`: `{word}` is one word too many")]
    Surplus { text: String, word: String },
}

fn verbs() -> Vec<&'static str> {
    let first_words = GRAMMAR.iter().filter_map(|line| line.split(' ').next());
    let mut verbs: Vec<&'static str> = first_words.collect();
    verbs.dedup();
    verbs
}

fn hint(word: &str) -> String {
    nearest(word, verbs().into_iter(), 1)
        .first()
        .map(|verb| format!(" (`{verb}`?)"))
        .unwrap_or_default()
}

impl Step {
    /// Reads one step. `namespace` is where workloads and pods are that name none. An `apply` comes
    /// back without its objects: whoever may read files fills them in.
    pub fn parse(text: &str, namespace: &str) -> Result<Self, StepError> {
        let mut words = Words::of(text, namespace)?;
        let verb = words
            .next_or("a step")
            .map_err(|_missing| StepError::Empty)?;
        let step = match verb {
            "drain" => Self::Drain {
                node: words.node()?,
            },
            "cordon" => Self::Cordon {
                node: words.node()?,
            },
            "uncordon" => Self::Uncordon {
                node: words.node()?,
            },
            "remove" => Self::Remove {
                node: words.node()?,
            },
            "lose" => Self::Lose(domain(words.next_or("LEVEL=VALUE")?)?),
            "restore" => Self::Restore(domain(words.next_or("LEVEL=VALUE")?)?),
            "add" => add(&mut words)?,
            "scale" => scale(&mut words)?,
            "set" => Self::Set {
                workload: words.reference()?,
                setting: setting(&mut words)?,
            },
            "patch" => Self::Patch {
                workload: words.reference()?,
                patch: json(&words.rest())?,
            },
            "apply" => Self::Apply {
                from: words.next_or("a file")?.to_owned(),
                objects: Vec::new(),
                namespace: words.namespace.clone(),
            },
            "evict" => {
                let word = words.next_or("a pod")?;
                let (namespace, pod) = word.split_once('/').unwrap_or((&words.namespace, word));
                Self::Evict {
                    namespace: namespace.into(),
                    pod: pod.into(),
                }
            }
            "pack" => Self::Pack(packing(words.next_or("most, least, balanced or gpus")?)?),
            "rebalance" => balance(&mut words)?,
            "wait" => Self::Wait(duration(words.next_or("a duration")?)?),
            unknown => {
                let word = unknown.to_owned();
                return Err(StepError::Unknown { word });
            }
        };
        words.end()?;
        Ok(step)
    }
}

/// The words of a step, the namespace taken out.
struct Words<'a> {
    text: &'a str,
    left: std::vec::IntoIter<&'a str>,
    namespace: Name,
}

impl<'a> Words<'a> {
    fn of(text: &'a str, namespace: &str) -> Result<Self, StepError> {
        let mut namespace = Name::new(namespace);
        let mut kept = Vec::new();
        let mut words = text.split_whitespace();
        while let Some(word) = words.next() {
            // A patch may say `-n` in a text of its own.
            let is_json = kept.first() == Some(&"patch") && kept.len() > 2;
            if is_json || (word != "-n" && word != "--namespace") {
                kept.push(word);
                continue;
            }
            let named = words.next().ok_or_else(|| StepError::Missing {
                text: text.to_owned(),
                expected: "a namespace",
            })?;
            namespace = named.into();
        }
        Ok(Self {
            text,
            left: kept.into_iter(),
            namespace,
        })
    }

    fn next_or(&mut self, expected: &'static str) -> Result<&'a str, StepError> {
        self.left.next().ok_or_else(|| StepError::Missing {
            text: self.text.to_owned(),
            expected,
        })
    }

    /// `a01`, or `node/a01` as kubectl prints it.
    fn node(&mut self) -> Result<Name, StepError> {
        let word = self.next_or("a node")?;
        Ok(Name::new(word.strip_prefix("node/").unwrap_or(word)))
    }

    fn reference(&mut self) -> Result<Reference, StepError> {
        let word = self.next_or("KIND/NAME")?;
        reference(word, &self.namespace)
    }

    fn rest(&mut self) -> String {
        let rest: Vec<&str> = self.left.by_ref().collect();
        rest.join(" ")
    }

    fn end(&mut self) -> Result<(), StepError> {
        self.left.next().map_or(Ok(()), |word| {
            Err(StepError::Surplus {
                text: self.text.to_owned(),
                word: word.to_owned(),
            })
        })
    }
}

fn malformed(word: &str, expected: &'static str) -> StepError {
    StepError::Malformed {
        word: word.to_owned(),
        expected,
    }
}

/// `deploy/cart`, `shop/deploy/cart`.
fn reference(word: &str, namespace: &str) -> Result<Reference, StepError> {
    let parts: Vec<&str> = word.split('/').collect();
    let (namespace, kind, name) = match parts.as_slice() {
        [kind, name] => (namespace, *kind, *name),
        [namespace, kind, name] => (*namespace, *kind, *name),
        _ => return Err(malformed(word, "KIND/NAME")),
    };
    if kind.is_empty() || name.is_empty() || namespace.is_empty() {
        return Err(malformed(word, "KIND/NAME"));
    }
    Ok(Reference {
        namespace: namespace.into(),
        kind: kind.into(),
        name: name.into(),
    })
}

fn domain(word: &str) -> Result<Domain, StepError> {
    match word.split_once('=') {
        Some((level, value)) if !level.is_empty() && !value.is_empty() => Ok(Domain {
            level: level.into(),
            value: value.into(),
        }),
        _ => Err(malformed(
            word,
            "LEVEL=VALUE such as rack=r12 or zone=eu-1b",
        )),
    }
}

fn count(word: &str) -> Result<u32, StepError> {
    word.parse()
        .map_err(|_error| malformed(word, "whole number"))
}

fn add(words: &mut Words<'_>) -> Result<Step, StepError> {
    const EXPECTED: &str = "`like NODE` or `of INSTANCE-TYPE`";
    let count = count(words.next_or("how many machines")?)?;
    let model = match words.next_or(EXPECTED)? {
        "like" => Model::Like(words.node()?),
        "of" => Model::Kind(words.next_or("an instance type")?.into()),
        word => return Err(malformed(word, EXPECTED)),
    };
    Ok(Step::Add { count, model })
}

fn scale(words: &mut Words<'_>) -> Result<Step, StepError> {
    const EXPECTED: &str = "KIND/NAME=REPLICAS such as deploy/cart=20";
    let word = words.next_or(EXPECTED)?;
    let (workload, replicas) = word
        .split_once('=')
        .ok_or_else(|| malformed(word, EXPECTED))?;
    Ok(Step::Scale {
        workload: reference(workload, &words.namespace)?,
        replicas: count(replicas)?,
    })
}

fn setting(words: &mut Words<'_>) -> Result<Setting, StepError> {
    const EXPECTED: &str = "setting; requests, limits, image, spread and apart are";
    match words.next_or("requests, limits, image, spread or apart")? {
        "requests" => {
            let (container, amounts) = amounts(words.next_or("cpu=…,memory=…")?)?;
            Ok(Setting::Requests { container, amounts })
        }
        "limits" => {
            let (container, amounts) = amounts(words.next_or("cpu=…,memory=…")?)?;
            Ok(Setting::Limits { container, amounts })
        }
        "image" => {
            let word = words.next_or("an image")?;
            let (container, image) = match word.split_once('=') {
                Some((container, image)) => (Some(Name::new(container)), image),
                None => (None, word),
            };
            Ok(Setting::Image {
                container,
                image: image.into(),
            })
        }
        "spread" => {
            let Domain { level, value } = domain(words.next_or("LEVEL=SKEW")?)?;
            Ok(Setting::Spread {
                level,
                max_skew: count(&value)?,
                firm: firmness(words)?,
            })
        }
        "apart" => Ok(Setting::Apart {
            level: words.next_or("a level such as node or zone")?.into(),
            firm: firmness(words)?,
        }),
        word => Err(malformed(word, EXPECTED)),
    }
}

fn firmness(words: &mut Words<'_>) -> Result<bool, StepError> {
    match words.left.next() {
        None => Ok(true),
        Some("soft") => Ok(false),
        Some(word) => Err(malformed(word, "`soft`")),
    }
}

type Amounts = (Option<Name>, Vec<(Name, Name)>);

fn amounts(word: &str) -> Result<Amounts, StepError> {
    const EXPECTED: &str = "list of amounts such as cpu=500m,memory=1Gi";
    let (container, list) = match word.split_once(':') {
        Some((container, list)) => (Some(Name::new(container)), list),
        None => (None, word),
    };
    let amounts: Result<Vec<(Name, Name)>, StepError> = list
        .split(',')
        .map(|part| {
            let (name, amount) = part
                .split_once('=')
                .ok_or_else(|| malformed(word, EXPECTED))?;
            Quantity::parse(amount)
                .map_err(|_error| malformed(amount, "quantity such as 500m or 1Gi"))?;
            Ok((Name::new(name), Name::new(amount)))
        })
        .collect();
    Ok((container, amounts?))
}

fn packing(word: &str) -> Result<Packing, StepError> {
    [
        Packing::Most,
        Packing::Least,
        Packing::Balanced,
        Packing::Gpus,
    ]
    .into_iter()
    .find(|packing| packing.word() == word)
    .ok_or_else(|| malformed(word, "strategy; most, least, balanced and gpus are"))
}

/// Spread is over zones where no level is named: what is lost as a whole most often.
fn balance(words: &mut Words<'_>) -> Result<Step, StepError> {
    const EMPTY_DIR: &str = "emptydir";
    let goal = words.next_or("machines or spread")?;
    let mut next = words.left.next();
    let balance = match goal {
        "machines" => Balance::Machines,
        "spread" => Balance::Spread {
            level: match next.filter(|word| *word != EMPTY_DIR) {
                Some(level) => {
                    next = words.left.next();
                    Name::new(level)
                }
                None => Name::new_static("zone"),
            },
        },
        word => return Err(malformed(word, "goal; machines and spread are")),
    };
    match next {
        None | Some(EMPTY_DIR) => Ok(Step::Rebalance {
            balance,
            empty_dirs: next.is_some(),
        }),
        Some(word) => Err(malformed(word, "`emptydir`")),
    }
}

fn json(text: &str) -> Result<Value, StepError> {
    const EXPECTED: &str = "JSON object (a strategic merge patch)";
    let value: Value = serde_json::from_str(text).map_err(|_error| malformed(text, EXPECTED))?;
    if value.is_object() {
        Ok(value)
    } else {
        Err(malformed(text, EXPECTED))
    }
}

/// `90s`, `10m`, `1h30m`, with or without a `+` before it.
pub fn duration(word: &str) -> Result<SignedDuration, StepError> {
    /// A virtual year is further than anybody rehearses.
    const SECONDS_MAX: i64 = 366 * 24 * 3600;
    let wrong = || malformed(word, "duration such as 90s, 10m or 1h30m");
    let mut rest = word.strip_prefix('+').unwrap_or(word);
    let mut seconds: i64 = 0;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest
            .find(|letter: char| !letter.is_ascii_digit())
            .ok_or_else(wrong)?;
        let (number, unit) = rest.split_at(digits);
        let number: i64 = number.parse().map_err(|_error| wrong())?;
        let mut letters = unit.chars();
        let factor = match letters.next() {
            Some('s') => 1,
            Some('m') => 60,
            Some('h') => 3600,
            _ => return Err(wrong()),
        };
        seconds = number
            .checked_mul(factor)
            .and_then(|more| seconds.checked_add(more))
            .filter(|sum| *sum <= SECONDS_MAX)
            .ok_or_else(wrong)?;
        rest = letters.as_str();
    }
    Ok(SignedDuration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn reads(text: &str, canonical: &str) {
        let step = Step::parse(text, "shop").unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(step.to_string(), canonical);
        assert_eq!(
            Step::parse(canonical, "other").unwrap(),
            step,
            "{canonical}"
        );
    }

    #[test]
    fn every_step_reads_what_it_writes() {
        reads("drain  node/a01", "drain a01");
        reads("cordon a01", "cordon a01");
        reads("uncordon a01", "uncordon a01");
        reads("lose rack=b07", "lose rack=b07");
        reads(
            "restore topology.kubernetes.io/zone=z1",
            "restore topology.kubernetes.io/zone=z1",
        );
        reads("add 3 like a01", "add 3 like a01");
        reads("add 2 of m6i.large", "add 2 of m6i.large");
        reads("remove a01", "remove a01");
        reads("scale deploy/cart=20", "scale deploy/cart=20 -n shop");
        reads("scale db/sts/pg=5 -n x", "scale sts/pg=5 -n db");
        reads(
            "set deploy/cart requests app:cpu=500m,memory=1Gi",
            "set deploy/cart requests app:cpu=500m,memory=1Gi -n shop",
        );
        reads(
            "set -n web deploy/cart limits cpu=1",
            "set deploy/cart limits cpu=1 -n web",
        );
        reads(
            "set deploy/cart image app=cart:2",
            "set deploy/cart image app=cart:2 -n shop",
        );
        reads(
            "set deploy/cart spread zone=1",
            "set deploy/cart spread zone=1 -n shop",
        );
        reads(
            "set deploy/cart apart node soft",
            "set deploy/cart apart node soft -n shop",
        );
        reads(
            r#"patch deploy/cart {"spec": {"minReadySeconds": 5}}"#,
            r#"patch deploy/cart -n shop {"spec":{"minReadySeconds":5}}"#,
        );
        reads("apply a/b.yaml", "apply a/b.yaml -n shop");
        reads("evict web/cart-1", "evict cart-1 -n web");
        reads("pack most", "pack most");
        reads("rebalance machines", "rebalance machines");
        reads("rebalance spread", "rebalance spread zone");
        reads("rebalance spread rack", "rebalance spread rack");
        reads("rebalance machines emptydir", "rebalance machines emptydir");
        reads(
            "rebalance spread emptydir",
            "rebalance spread zone emptydir",
        );
        reads("wait +90s", "wait 1m30s");
    }

    #[track_caller]
    fn refuses(text: &str, says: &str) {
        let error = Step::parse(text, "shop").unwrap_err().to_string();
        assert!(error.contains(says), "{text}: {error}");
    }

    #[test]
    fn refusals_say_what_would_be_right() {
        refuses("", "a step is missing; the steps are drain, cordon");
        refuses("drian a01", "`drian` is no step (`drain`?)");
        refuses("drain", "a node is missing");
        refuses("drain a b", "`b` is one word too many");
        refuses("lose b07", "LEVEL=VALUE such as rack=r12");
        refuses("add few like a01", "`few` is no whole number");
        refuses("add 3 a01", "`like NODE` or `of INSTANCE-TYPE`");
        refuses("scale cart=3", "`cart` is no KIND/NAME");
        refuses("scale deploy/cart", "KIND/NAME=REPLICAS");
        refuses("set deploy/cart requests cpu=lots", "quantity such as 500m");
        refuses("set deploy/cart size 3", "requests, limits, image");
        refuses("set deploy/cart apart node hard", "`hard` is no `soft`");
        refuses("patch deploy/cart {", "JSON object");
        refuses("pack tight", "most, least, balanced and gpus are");
        refuses("rebalance machines all", "`all` is no `emptydir`");
        refuses("rebalance spread rack emptydir x", "one word too many");
        refuses("rebalance racks", "machines and spread are");
        refuses("wait 10", "duration such as 90s");
        refuses("wait 99999h", "duration such as 90s");
        refuses("evict", "a pod is missing");
        refuses("scale deploy/cart=3 -n", "a namespace is missing");
    }
}
