//! One sentence for the message row.

use jiff::Timestamp;

/// What failed, on which object, why, what next; or what was done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Notice {
    pub weight: Weight,
    pub text: String,
    /// Set when the frame takes it in.
    pub at: Option<Timestamp>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Weight {
    Done,
    Note,
    Warning,
    Failure,
}

impl Notice {
    pub fn new(weight: Weight, text: impl Into<String>) -> Self {
        Self {
            weight,
            text: text.into(),
            at: None,
        }
    }

    pub fn done(text: impl Into<String>) -> Self {
        Self::new(Weight::Done, text)
    }

    pub fn note(text: impl Into<String>) -> Self {
        Self::new(Weight::Note, text)
    }

    pub fn warning(text: impl Into<String>) -> Self {
        Self::new(Weight::Warning, text)
    }

    pub fn failure(text: impl Into<String>) -> Self {
        Self::new(Weight::Failure, text)
    }
}
