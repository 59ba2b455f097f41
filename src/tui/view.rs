//! The ten views, and where one can go in them.

use crate::k8s::{Name, ObjectKey, Resource, Uid};

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum View {
    Pulse,
    #[default]
    Bays,
    Domains,
    Workloads,
    Pods,
    Logs,
    Timeline,
    Queue,
    Services,
    Objects,
}

impl View {
    pub const ALL: [Self; 10] = [
        Self::Pulse,
        Self::Bays,
        Self::Domains,
        Self::Workloads,
        Self::Pods,
        Self::Logs,
        Self::Timeline,
        Self::Queue,
        Self::Services,
        Self::Objects,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Pulse => "pulse",
            Self::Bays => "bays",
            Self::Domains => "domains",
            Self::Workloads => "workloads",
            Self::Pods => "pods",
            Self::Logs => "logs",
            Self::Timeline => "timeline",
            Self::Queue => "queue",
            Self::Services => "services",
            Self::Objects => "objects",
        }
    }

    /// The digit that opens it.
    pub fn key(self) -> char {
        match self {
            Self::Pulse => '1',
            Self::Bays => '2',
            Self::Domains => '3',
            Self::Workloads => '4',
            Self::Pods => '5',
            Self::Logs => '6',
            Self::Timeline => '7',
            Self::Queue => '8',
            Self::Services => '9',
            Self::Objects => '0',
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|view| view.name() == name)
    }
}

/// One object, in one life of it: what a selection and a panel hold on to.
pub use crate::tui::actions::action::Target;

/// A view with what it is opened on.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Place {
    pub view: View,
    pub with: Opening,
}

/// What a view is opened on.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Opening {
    /// Only what belongs to this object: the pods of a workload or a node, the logs of pods.
    pub of: Vec<Target>,
    /// The row to put the cursor on.
    pub select: Option<Uid>,
    /// Text for the view's filter.
    pub filter: Option<String>,
    /// The kind to list, in the objects view.
    pub resource: Option<Resource>,
    /// The failure domain to put the cursor on: the level's label and the value.
    pub domain: Option<(Name, Name)>,
    /// How to show the object, where the view can show it in several ways.
    pub aspect: Aspect,
}

/// Ways to look at one object.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Aspect {
    #[default]
    Usual,
    Describe,
    Yaml,
    Edit,
    Why,
    /// Who owns it, and what it owns.
    Tree,
}

/// Which namespaces are shown.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Scope {
    #[default]
    All,
    /// One or several, sorted.
    Namespaces(Vec<Name>),
}

impl Scope {
    pub fn of(names: &[&str]) -> Self {
        let mut names: Vec<Name> = names.iter().map(Name::new).collect();
        names.sort();
        names.dedup();
        if names.is_empty() {
            Self::All
        } else {
            Self::Namespaces(names)
        }
    }

    /// Cluster-scoped objects (empty namespace) are always in scope.
    pub fn contains(&self, namespace: &str) -> bool {
        match self {
            Self::All => true,
            Self::Namespaces(names) => {
                namespace.is_empty() || names.iter().any(|name| name == namespace)
            }
        }
    }

    pub fn contains_key(&self, key: &ObjectKey) -> bool {
        self.contains(&key.namespace)
    }

    /// `all namespaces`, `shop`, `shop, web`.
    pub fn words(&self) -> String {
        match self {
            Self::All => "all namespaces".to_owned(),
            Self::Namespaces(names) => names
                .iter()
                .map(Name::as_str)
                .collect::<Vec<_>>()
                .join(", "),
        }
    }
}

impl Place {
    pub fn of(view: View) -> Self {
        Self {
            view,
            with: Opening::default(),
        }
    }
}
