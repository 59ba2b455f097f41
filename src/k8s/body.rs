//! The bytes of an object, whole or as what differs from a sibling's.
//!
//! Pods of one workload are alike but for names, addresses and times. Where objects are kept by the
//! hundred thousand and seldom read whole, as in the console's cache, all of them refer to one of
//! their siblings. Whoever reads such an object gets its bytes made anew; what is read all the time
//! is in its header.

use bytes::Bytes;
use lz4_flex::block::{compress_with_dict, decompress_with_dict};

/// An object's JSON text.
#[derive(Clone, Debug)]
pub struct Body(Form);

#[derive(Clone, Debug)]
enum Form {
    Plain(Bytes),
    Packed(Box<Packed>),
}

#[derive(Clone, Debug)]
struct Packed {
    base: Bytes,
    difference: Box<[u8]>,
    size: usize,
}

impl Body {
    /// `bytes`, as what differs from `base`; whole where that would not be much shorter.
    pub fn like(base: &Bytes, bytes: Bytes) -> Self {
        let difference = compress_with_dict(&bytes, base);
        if difference.len() > bytes.len() / 2 {
            return Self::from(bytes);
        }
        Self(Form::Packed(Box::new(Packed {
            base: base.clone(),
            difference: difference.into_boxed_slice(),
            size: bytes.len(),
        })))
    }

    /// The text. A pointer copy where it is kept whole.
    pub fn bytes(&self) -> Bytes {
        match &self.0 {
            Form::Plain(bytes) => bytes.clone(),
            // What was packed here unpacks: both are values of this module.
            Form::Packed(packed) => {
                decompress_with_dict(&packed.difference, packed.size, &packed.base)
                    .map(Bytes::from)
                    .unwrap_or_default()
            }
        }
    }

    /// How long the text is.
    pub fn size(&self) -> usize {
        match &self.0 {
            Form::Plain(bytes) => bytes.len(),
            Form::Packed(packed) => packed.size,
        }
    }

    /// What it takes up beside its base.
    pub fn kept(&self) -> usize {
        match &self.0 {
            Form::Plain(bytes) => bytes.len(),
            Form::Packed(packed) => packed.difference.len() + size_of::<Packed>(),
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self(Form::Plain(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, image: &str) -> Bytes {
        let spec = format!(r#""containers":[{{"name":"app","image":"{image}"}}]"#);
        format!(r#"{{"metadata":{{"name":"{name}"}},"spec":{{{spec}}}}}"#).into()
    }

    #[test]
    fn siblings_are_kept_as_their_difference_and_read_whole() {
        let base = pod("web-1", "registry.example.org/shop/web:1");
        for (other, is_short) in [
            (pod("web-2", "registry.example.org/shop/web:1"), true),
            (base.clone(), true),
            (Bytes::from_static(b"0123456789 of another kind"), false),
            (Bytes::new(), false),
        ] {
            let body = Body::like(&base, other.clone());
            assert_eq!(body.bytes(), other);
            assert_eq!(body.size(), other.len());
            assert_eq!(matches!(body.0, Form::Packed(_)), is_short, "{other:?}");
        }
    }
}
