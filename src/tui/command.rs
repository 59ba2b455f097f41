//! What the user means, and the one table that says how it is said.
//!
//! Keys, hints, help, the palette and the `:` line all read [`table`]; nothing else names a key or
//! a command word.

pub mod complete;
pub mod line;
pub mod table;

use super::forecast::moves::MovesQuestion;
use super::view::{Place, Scope, View};

pub use table::{Availability, Entry, Make, Section};

/// What the user means. Pages handle what concerns their rows; the frame handles the rest.
#[derive(Clone, PartialEq, Debug)]
pub enum Command {
    Move(Motion),
    /// Into the selected thing.
    Enter,
    /// One step back, always.
    Back,
    /// The same, and at the root asks whether to quit.
    Leave,
    Show(View),
    Go(Place),
    /// To the place before, and forth again.
    PlaceBack,
    PlaceForth,
    PlaceLast,
    /// Back and forward in the cluster's time.
    TimeBack,
    TimeForth,

    Help,
    /// What was wrong at the start.
    Problems,
    /// How well the cluster's scheduler is foretold.
    Fidelity,
    CommandLine,
    Palette,
    FilterLine,
    /// Sets the filter of the current view; empty clears it.
    Filter(String),
    Namespaces(Option<Scope>),
    Contexts(Option<String>),
    Quit,
    Suspend,
    Redraw,
    ToggleMouse,
    Theme(String),

    Mark,
    MarkRange,
    MarkAll,
    Unmark,
    /// Sort by a column: the next one, or the one named.
    Sort(Option<String>),
    SortReverse,
    Wide,
    /// The whole screen for the body.
    Zoom,
    ZoomIn,
    ZoomOut,
    CopyMenu,

    Describe,
    Yaml,
    Edit,
    Logs,
    Shell,
    Attach,
    PortForward,
    ObjectTimeline,
    Why,
    /// Where the pods of a node would go if it were drained.
    Away,
    Owner,
    Node,

    /// Opens the replica editor, or sets a number at once.
    Replicas(Option<i64>),
    /// The menu of changing actions for the selection.
    Act,
    Change(ChangeKind),
    /// Ends a drain that is under way.
    StopDrain,
    Undo,
    Changes,
    /// Opens the panel of what the rebalancer would move.
    Moves(MovesQuestion),

    /// Forks the cluster; in a fork, the menu of what can be done there.
    Rehearse,
    Rehearsal(RehearsalCommand),

    /// What only one page understands.
    Page(PageCommand),
}

/// What exists only while a rehearsal is shown.
#[derive(Clone, PartialEq, Debug)]
pub enum RehearsalCommand {
    Faster,
    Slower,
    Pass(jiff::SignedDuration),
    /// Lets time pass until nothing is due any more.
    Settle,
    Outcome,
    /// A step as `bayplan plan` takes it.
    Step(Box<crate::rehearse::Step>),
    Save {
        name: String,
        pseudonymise: bool,
    },
    /// What came of it beside a saved one, or the one before.
    Compare(Option<String>),
    /// Opens what somebody has saved, in the place of a fork.
    Open(String),
    /// What was done, in order.
    Steps,
    /// Its steps as they can be taken in reality; there, the next of them.
    Apply,
    StopApplying,
    Discard,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Motion {
    Up,
    Down,
    Left,
    Right,
    Top,
    Bottom,
    HalfUp,
    HalfDown,
    PageUp,
    PageDown,
    NextMatch,
    PreviousMatch,
}

/// Changing actions that need nothing but a selection; each opens a panel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChangeKind {
    Restart,
    Pause,
    Resume,
    RollBack,
    Cordon,
    Uncordon,
    Drain,
    Evict,
    Delete,
    Trigger,
    /// A simulated machine stops answering, or answers again.
    StopMachine,
    StartMachine,
}

/// Commands of single pages. Builders of pages add theirs here, and the rows with words and keys in
/// a `COMMANDS` table in the page's folder, listed in [`table::ALL`].
#[derive(Clone, PartialEq, Debug)]
pub enum PageCommand {
    /// Another grouping: the failure-domain level in bays and domains.
    Group,
    /// Another meaning of colours.
    Colour,
    /// Another order.
    Order,
    Follow,
    Wrap,
    Timestamps,
    Previous,
    Since(Option<String>),
    Level,
    Unfold,
    /// Further back, in the cluster's log store.
    Past,
    Save,
    /// Shows or hides the n-th container name in logs.
    ToggleSource(char),
    /// Who owns the selected object, and what it owns.
    Tree,
}
