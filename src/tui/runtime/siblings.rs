//! Objects that are alike are kept as what differs from one of them.
//!
//! The first object of a controller, else of its kind, is the one that the others refer to; one that
//! is unlike it takes its place for those that follow.

use bytes::Bytes;
use rustc_hash::FxHashMap;

use crate::k8s::body::Body;
use crate::k8s::{Name, Object};

/// Texts shorter than this are not worth it.
const SHORT: usize = 400;
/// Controllers remembered. Beyond it all are forgotten: their objects keep what they refer to.
const CONTROLLERS_MAX: usize = 20_000;

#[derive(Default)]
pub struct Siblings {
    /// By the uid of the controller.
    first: FxHashMap<Name, Bytes>,
}

impl Siblings {
    /// Keeps what differs of the object's text.
    pub fn pack(&mut self, object: &mut Object) {
        if object.body.size() < SHORT {
            return;
        }
        let owner = object
            .controller()
            .map(|owner| owner.uid.0.clone())
            .unwrap_or_default();
        let text = object.bytes();
        if let Some(first) = self.first.get(&owner) {
            let body = Body::like(first, text.clone());
            if body.kept() < text.len() {
                object.body = body;
                return;
            }
        }
        if self.first.len() >= CONTROLLERS_MAX {
            self.first.clear();
        }
        self.first.insert(owner, text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::build::pod;

    fn kept(name: &str, owner: &str, image: &str, siblings: &mut Siblings) -> (usize, bool) {
        let mut json = pod(name).owner("ReplicaSet", owner).json().clone();
        json["spec"]["containers"][0]["image"] = image.into();
        let mut object = Object::from_json(crate::k8s::resources::PODS, &json).unwrap();
        let text = object.bytes();
        siblings.pack(&mut object);
        assert_eq!(object.bytes(), text, "nothing is lost");
        (text.len(), object.body.kept() < text.len())
    }

    #[test]
    fn pods_of_one_controller_refer_to_the_first_that_is_like_them() {
        let mut siblings = Siblings::default();
        let long = |word: &str| format!("registry/{}", word.repeat(150));
        let words: Vec<String> = (0..150).map(|index| (index * 7_919).to_string()).collect();
        let unlike = words.join("-");
        assert!(!kept("web-1", "web", &long("app"), &mut siblings).1);
        assert!(kept("web-2", "web", &long("app"), &mut siblings).1);
        assert!(!kept("cart-1", "cart", &long("app"), &mut siblings).1);
        assert!(
            !kept("web-3", "web", &unlike, &mut siblings).1,
            "another revision"
        );
        assert!(kept("web-4", "web", &unlike, &mut siblings).1);
    }
}
