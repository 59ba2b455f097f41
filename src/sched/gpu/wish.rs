//! What a pod asks of GPUs.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::RESOURCES;
use super::devices::{DEVICES_MAX, DeviceSet};
use crate::k8s::Name;
use crate::k8s::resource_list::ResourceList;
use crate::packing::gpu::node::DEVICE_MILLI;

/// The annotation that names a pod's devices: `0` or `2-3`.
pub const INDEX: &str = "alibabacloud.com/gpu-index";
/// What all of the annotations begin with.
const PREFIX: &str = "alibabacloud.com/gpu-";

/// A pod's annotations about GPUs, as written.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Annotations {
    #[serde(rename = "alibabacloud.com/gpu-milli")]
    pub milli: Option<String>,
    #[serde(rename = "alibabacloud.com/gpu-count")]
    pub count: Option<String>,
    #[serde(rename = "alibabacloud.com/gpu-card-model")]
    pub models: Option<String>,
    #[serde(rename = "alibabacloud.com/gpu-index")]
    pub index: Option<String>,
}

impl Annotations {
    /// Reads the raw map; nearly every pod has none of them.
    pub fn read(raw: Option<&RawValue>) -> Option<Box<Self>> {
        let text = raw?.get();
        if !text.contains(PREFIX) {
            return None;
        }
        serde_json::from_str(text).ok()
    }

    /// Whether an object's text may hold any of them.
    pub fn may_be_in(bytes: &[u8]) -> bool {
        std::str::from_utf8(bytes).is_ok_and(|text| text.contains(PREFIX))
    }

    /// The devices that the pod holds; none when it was never given any.
    pub fn devices(&self) -> DeviceSet {
        self.index
            .as_deref()
            .map_or_else(DeviceSet::default, DeviceSet::parse)
    }
}

/// What a pod asks of GPUs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GpuWish {
    pub devices: usize,
    /// Of each device: less than 1000 is a share.
    pub milli: i64,
    /// Sorted; empty means any.
    pub models: Box<[Name]>,
    /// Why the annotations make no sense. Such a pod fits nowhere.
    pub problem: Option<Box<str>>,
}

impl GpuWish {
    /// The annotations come before the extended resource, as they say more.
    pub fn of(annotations: Option<&Annotations>, wanted: &ResourceList) -> Option<Self> {
        let none = Annotations::default();
        let annotations = annotations.unwrap_or(&none);
        let mut whole = RESOURCES.iter().map(|name| wanted.scalar(name));
        let whole = whole.find(|count| *count > 0);
        let is_silent = annotations.milli.is_none() && annotations.count.is_none();
        if is_silent && whole.is_none() {
            return None;
        }
        let mut models: Vec<Name> = annotations
            .models
            .iter()
            .flat_map(|models| models.split('|'))
            .map(str::trim)
            .filter(|model| !model.is_empty())
            .map(Name::new)
            .collect();
        models.sort_unstable();
        models.dedup();
        let amounts = amounts(annotations, whole);
        let (devices, milli) = amounts.as_ref().copied().unwrap_or_default();
        // An explicit count or share of nothing is no wish.
        if amounts.is_ok() && (devices == 0 || milli == 0) {
            return None;
        }
        Some(Self {
            devices,
            milli,
            models: models.into(),
            problem: amounts.err().map(String::into_boxed_str),
        })
    }

    pub fn is_share(&self) -> bool {
        self.milli < DEVICE_MILLI
    }
}

/// Devices and milli of each.
fn amounts(annotations: &Annotations, whole: Option<i64>) -> Result<(usize, i64), String> {
    let number = |name: &str, text: &str, max: i64| match text.trim().parse::<i64>() {
        Ok(number) if (0..=max).contains(&number) => Ok(number),
        _ => Err(format!(
            "annotation `{PREFIX}{name}` is `{text}`, not a number from 0 to {max}"
        )),
    };
    let most = i64::try_from(DEVICES_MAX).unwrap_or(i64::MAX);
    let milli = match &annotations.milli {
        Some(text) => number("milli", text, DEVICE_MILLI)?,
        None => DEVICE_MILLI,
    };
    let devices = match &annotations.count {
        Some(text) => number("count", text, most)?,
        None => whole.unwrap_or(1),
    };
    if devices > 1 && milli < DEVICE_MILLI {
        return Err(format!(
            "annotation `{PREFIX}milli` is `{milli}` for {devices} GPUs: only one GPU can be shared"
        ));
    }
    // A resource beyond what any node has is refused node by node.
    Ok((usize::try_from(devices).unwrap_or(usize::MAX), milli))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(annotations: [Option<&str>; 3], whole: i64, expected: Option<(usize, i64, &[&str])>) {
        let [milli, count, models] = annotations.map(|text| text.map(str::to_owned));
        let annotations = Annotations {
            milli,
            count,
            models,
            index: None,
        };
        let wanted = ResourceList {
            scalars: Box::new([(Name::new("nvidia.com/gpu"), whole)]),
            ..ResourceList::default()
        };
        let wish = GpuWish::of(Some(&annotations), &wanted);
        assert!(wish.iter().all(|wish| wish.problem.is_none()), "{wish:?}");
        let seen = wish
            .as_ref()
            .map(|wish| (wish.devices, wish.milli, &*wish.models));
        let expected = expected.map(|(devices, milli, models)| {
            let models: Vec<Name> = models.iter().map(Name::new).collect();
            (devices, milli, models)
        });
        let expected = expected
            .as_ref()
            .map(|(devices, milli, models)| (*devices, *milli, &**models));
        assert_eq!(seen, expected);
    }

    #[test]
    fn wishes_come_from_annotations_and_from_the_resource() {
        check([None, None, None], 0, None);
        check([None, None, None], 2, Some((2, 1000, &[])));
        check([Some("500"), None, None], 0, Some((1, 500, &[])));
        check([Some("500"), Some("1"), None], 1, Some((1, 500, &[])));
        check([None, Some("4"), None], 0, Some((4, 1000, &[])));
        check(
            [Some("1000"), Some("2"), Some("V100M32|T4")],
            0,
            Some((2, 1000, &["T4", "V100M32"])),
        );
        check([None, None, Some("T4")], 1, Some((1, 1000, &["T4"])));
        check([Some("0"), Some("0"), None], 0, None);
        // A model alone asks for nothing.
        check([None, None, Some("T4")], 0, None);
    }

    #[test]
    fn nonsense_is_named() {
        let problem = |milli: &str, count: &str| {
            let annotations = Annotations {
                milli: Some(milli.to_owned()),
                count: Some(count.to_owned()),
                ..Annotations::default()
            };
            let wish = GpuWish::of(Some(&annotations), &ResourceList::default()).unwrap();
            wish.problem.unwrap().into_string()
        };
        assert_eq!(
            problem("1500", "1"),
            "annotation `alibabacloud.com/gpu-milli` is `1500`, not a number from 0 to 1000"
        );
        assert!(problem("half", "1").contains("`half`"));
        assert!(problem("1000", "99").contains("gpu-count` is `99`"));
        assert!(problem("500", "2").ends_with("only one GPU can be shared"));
    }
}
