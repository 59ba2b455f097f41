//! Where lines come from: a container of a pod, and how it is told apart on the screen.
//!
//! Containers of one name share a letter in every pod, so that one key shows or hides a sidecar
//! everywhere at once.

use crate::k8s::columns::ContainerRole;
use crate::k8s::{Name, ObjectKey, Uid};

/// One stream of lines.
#[derive(Clone, PartialEq, Debug)]
pub struct Source {
    pub pod: ObjectKey,
    pub uid: Uid,
    pub container: Name,
    /// Index into [`Sources::groups`].
    pub group: u16,
    pub state: StreamState,
    pub lines: u64,
    /// Lines that its node did not read in time, by its own word.
    pub dropped: u64,
}

/// All containers of one name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Group {
    pub container: Name,
    pub role: ContainerRole,
    /// The key that shows or hides it.
    pub letter: char,
    pub hidden: bool,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum StreamState {
    #[default]
    Opening,
    Open,
    /// The container has ended, or its log was read to the end.
    Ended,
    Failed(String),
}

#[derive(Clone, PartialEq, Debug, Default)]
pub struct Sources {
    list: Vec<Source>,
    groups: Vec<Group>,
}

impl Sources {
    /// Adds a stream, or finds the one that is there, and returns its number.
    pub fn add(
        &mut self,
        pod: &ObjectKey,
        uid: &Uid,
        container: &Name,
        role: ContainerRole,
    ) -> u16 {
        let known = self
            .list
            .iter()
            .position(|source| source.uid == *uid && source.container == *container);
        let index = known.unwrap_or_else(|| {
            let group = self.group_of(container, role);
            self.list.push(Source {
                pod: pod.clone(),
                uid: uid.clone(),
                container: container.clone(),
                group,
                state: StreamState::default(),
                lines: 0,
                dropped: 0,
            });
            self.list.len() - 1
        });
        u16::try_from(index).unwrap_or(u16::MAX)
    }

    /// The stream of this container, if one is known.
    pub fn find(&self, uid: &Uid, container: &Name) -> Option<u16> {
        let known = self
            .list
            .iter()
            .position(|source| source.uid == *uid && source.container == *container)?;
        u16::try_from(known).ok()
    }

    /// What a container of this name is in the other pods.
    pub fn role_of(&self, container: &Name) -> Option<ContainerRole> {
        let group = self
            .groups
            .iter()
            .find(|group| group.container == *container);
        group.map(|group| group.role)
    }

    /// A container that is only remembered: no stream of it will open.
    pub fn add_ended(
        &mut self,
        pod: &ObjectKey,
        uid: &Uid,
        container: &Name,
        role: ContainerRole,
    ) -> u16 {
        let source = self.add(pod, uid, container, role);
        if let Some(source) = self.get_mut(source) {
            source.state = StreamState::Ended;
        }
        source
    }

    pub fn get(&self, index: u16) -> Option<&Source> {
        self.list.get(usize::from(index))
    }

    pub fn get_mut(&mut self, index: u16) -> Option<&mut Source> {
        self.list.get_mut(usize::from(index))
    }

    pub fn iter(&self) -> impl Iterator<Item = &Source> {
        self.list.iter()
    }

    pub fn len(&self) -> usize {
        self.list.len()
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    pub fn group(&self, source: u16) -> Option<&Group> {
        self.groups.get(usize::from(self.get(source)?.group))
    }

    /// How many different pods the streams belong to.
    pub fn pods(&self) -> usize {
        let uids: std::collections::BTreeSet<&Uid> =
            self.list.iter().map(|source| &source.uid).collect();
        uids.len()
    }

    pub fn is_shown(&self, source: u16) -> bool {
        self.group(source).is_none_or(|group| !group.hidden)
    }

    /// Shows or hides the containers behind a letter; `false` where none has it.
    pub fn toggle(&mut self, letter: char) -> bool {
        let group = self.groups.iter_mut().find(|group| group.letter == letter);
        let found = group.is_some();
        if let Some(group) = group {
            group.hidden = !group.hidden;
        }
        found
    }

    fn group_of(&mut self, container: &Name, role: ContainerRole) -> u16 {
        let known = self
            .groups
            .iter()
            .position(|group| group.container == *container && group.role == role);
        let index = known.unwrap_or_else(|| {
            let letter = self.free_letter(role);
            self.groups.push(Group {
                container: container.clone(),
                role,
                letter,
                hidden: false,
            });
            self.groups.len() - 1
        });
        u16::try_from(index).unwrap_or(u16::MAX)
    }

    /// App and sidecar containers take `a`, `b`, `c`, …; init containers start at `i`.
    fn free_letter(&self, role: ContainerRole) -> char {
        let first = if role == ContainerRole::Init {
            'i'
        } else {
            'a'
        };
        (first..='z')
            .chain('a'..first)
            .find(|letter| {
                let reserved = role != ContainerRole::Init && *letter == 'i';
                !reserved && self.groups.iter().all(|group| group.letter != *letter)
            })
            .unwrap_or('?')
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::resources;

    fn sources() -> Sources {
        let mut sources = Sources::default();
        for pod in ["cart-1", "cart-2"] {
            let key = ObjectKey::new(resources::PODS, "shop", pod);
            let uid = Uid(pod.into());
            sources.add(&key, &uid, &"app".into(), ContainerRole::App);
            sources.add(&key, &uid, &"migrate".into(), ContainerRole::Init);
            sources.add(&key, &uid, &"proxy".into(), ContainerRole::Sidecar);
        }
        sources
    }

    #[test]
    fn a_container_has_one_letter_in_every_pod() {
        let sources = sources();
        let letters: Vec<(char, &str)> = sources
            .groups()
            .iter()
            .map(|group| (group.letter, group.container.as_str()))
            .collect();
        assert_eq!(letters, [('a', "app"), ('i', "migrate"), ('b', "proxy")]);
        assert_eq!((sources.len(), sources.pods()), (6, 2));
    }

    #[test]
    fn one_key_hides_a_container_everywhere() {
        let mut sources = sources();
        assert!(sources.toggle('b'));
        let shown: Vec<bool> = (0..6).map(|index| sources.is_shown(index)).collect();
        assert_eq!(shown, [true, true, false, true, true, false]);
        assert!(!sources.toggle('x'));
        assert!(sources.toggle('b'));
        assert!((0..6).all(|index| sources.is_shown(index)));
    }
}
