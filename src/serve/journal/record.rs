//! One record of the journal, to bytes and back.

use bytes::Bytes;

use crate::k8s::{Change, ChangeKind, Object, Resource};

/// One change: a byte for what happened, the resource type, the object's JSON.
///
/// ```text
/// kind u8 | group length u8 | group | plural length u8 | plural | fingerprint u32 LE | JSON …
/// ```
pub(super) struct Record {
    kind: ChangeKind,
    resource: Resource,
    json: Bytes,
}

impl Record {
    pub(super) fn of(change: &Change) -> Self {
        Self {
            kind: change.kind,
            resource: change.object.key.resource.clone(),
            json: change.object.bytes(),
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let kind = match self.kind {
            ChangeKind::Added => 0,
            ChangeKind::Modified => 1,
            ChangeKind::Deleted => 2,
        };
        let mut bytes = Vec::with_capacity(self.json.len() + 64);
        bytes.push(kind);
        for part in [&self.resource.group, &self.resource.plural] {
            // A group is a DNS name of at most 253 characters, a plural a label of at most 63.
            bytes.push(u8::try_from(part.len()).unwrap_or(u8::MAX));
            bytes.extend_from_slice(part.as_bytes());
        }
        bytes.extend_from_slice(&fingerprint(&self.json).to_le_bytes());
        bytes.extend_from_slice(&self.json);
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        const SHORT: &str = "has a record that is too short";
        let (kind, rest) = bytes.split_first().ok_or(SHORT)?;
        let kind = match kind {
            0 => ChangeKind::Added,
            1 => ChangeKind::Modified,
            2 => ChangeKind::Deleted,
            _ => return Err("has a record of an unknown kind"),
        };
        let (group, rest) = take_text(rest).ok_or(SHORT)?;
        let (plural, rest) = take_text(rest).ok_or(SHORT)?;
        let (stored, json) = rest.split_first_chunk::<4>().ok_or(SHORT)?;
        if u32::from_le_bytes(*stored) != fingerprint(json) {
            return Err("has a record with a wrong checksum");
        }
        Ok(Self {
            kind,
            resource: Resource::new(group, plural),
            json: Bytes::copy_from_slice(json),
        })
    }

    /// What happened, and the object after it.
    pub(super) fn into_parts(self) -> Result<(ChangeKind, Object), &'static str> {
        let object = Object::parse(self.resource, self.json)
            .map_err(|_error| "is not a Kubernetes object")?;
        Ok((self.kind, object))
    }
}

fn take_text(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = bytes.split_first()?;
    let (text, rest) = rest.split_at_checked(usize::from(*length))?;
    Some((std::str::from_utf8(text).ok()?, rest))
}

/// FNV-1a: it only has to notice a damaged disk or file, never an adversary.
fn fingerprint(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}
