//! The table of commands: word, keys, what it does, where it is available and how it is made.

use crate::rehearse::Step;
use crate::tui::view::View;

use super::{ChangeKind, Command, Motion, RehearsalCommand};

/// One row.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// How it is said on the `:` line and in the user's key map.
    pub word: &'static str,
    pub aliases: &'static [&'static str],
    /// `j`, `ctrl-d`, `!d` (one key after the other), `space`.
    pub keys: &'static [&'static str],
    /// What it does, in a few words; for help and the palette.
    pub help: &'static str,
    /// One or two words for the row of hints; empty: not shown there.
    pub hint: &'static str,
    pub section: Section,
    /// The views it is for; empty: all.
    pub views: &'static [View],
    pub availability: Availability,
    pub make: Make,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Section {
    View,
    Move,
    Look,
    Change,
    Rehearsal,
    Program,
}

/// When a command exists at all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Availability {
    Always,
    /// Something must be selected.
    Selection,
    /// It changes the cluster: it does not exist in read-only mode.
    Change,
}

#[derive(Clone, Copy, Debug)]
pub enum Make {
    Plain(fn() -> Command),
    /// With the rest of the `:` line; the text says what is expected.
    Argument(fn(&str) -> Result<Command, String>, &'static str),
    /// Plain by key, with an argument on the `:` line.
    Both(
        fn() -> Command,
        fn(&str) -> Result<Command, String>,
        &'static str,
    ),
}

impl Entry {
    pub const fn new(
        word: &'static str,
        keys: &'static [&'static str],
        help: &'static str,
        make: fn() -> Command,
    ) -> Self {
        Self {
            word,
            aliases: &[],
            keys,
            help,
            hint: "",
            section: Section::View,
            views: &[],
            availability: Availability::Always,
            make: Make::Plain(make),
        }
    }

    pub const fn hint(mut self, hint: &'static str) -> Self {
        self.hint = hint;
        self
    }

    pub const fn aliases(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    pub const fn views(mut self, views: &'static [View]) -> Self {
        self.views = views;
        self
    }

    pub const fn section(mut self, section: Section) -> Self {
        self.section = section;
        self
    }

    /// Needs a selected object.
    pub const fn on_selection(mut self) -> Self {
        self.availability = Availability::Selection;
        self
    }

    /// Changes the cluster.
    pub const fn changes(mut self) -> Self {
        self.availability = Availability::Change;
        self.section = Section::Change;
        self
    }

    /// Takes an argument on the `:` line; `usage` says which.
    pub const fn argument(
        mut self,
        make: fn(&str) -> Result<Command, String>,
        usage: &'static str,
    ) -> Self {
        self.make = match self.make {
            Make::Plain(plain) | Make::Both(plain, _, _) => Make::Both(plain, make, usage),
            Make::Argument(_, _) => Make::Argument(make, usage),
        };
        self
    }

    /// Whether it exists in this view and mode.
    pub fn is_available(&self, view: View, read_only: bool) -> bool {
        self.is_for(view) && !(read_only && self.availability == Availability::Change)
    }

    pub fn is_for(&self, view: View) -> bool {
        self.views.is_empty() || self.views.contains(&view)
    }
}

/// All tables: the frame's, then each page's.
pub const ALL: &[&[Entry]] = &[
    MOVES,
    LOOKS,
    CHANGES,
    REHEARSAL,
    PROGRAM,
    crate::tui::pages::bays::commands::COMMANDS,
    crate::tui::pages::logs::commands::COMMANDS,
    crate::tui::pages::objects::commands::COMMANDS,
];

/// Every command that exists in this view and mode.
pub fn entries(view: View, read_only: bool) -> impl Iterator<Item = &'static Entry> {
    ALL.iter()
        .copied()
        .flatten()
        .filter(move |entry| entry.is_available(view, read_only))
}

const MOVES: &[Entry] = &[
    moving("down", &["j", "down"], "one down", || {
        Command::Move(Motion::Down)
    }),
    moving("up", &["k", "up"], "one up", || Command::Move(Motion::Up)),
    moving("left", &["h", "left"], "left", || {
        Command::Move(Motion::Left)
    }),
    moving("right", &["l", "right"], "right", || {
        Command::Move(Motion::Right)
    }),
    moving("top", &["g", "home"], "to the first", || {
        Command::Move(Motion::Top)
    }),
    moving("bottom", &["G", "end"], "to the last", || {
        Command::Move(Motion::Bottom)
    }),
    moving("half-down", &["ctrl-d"], "half a page down", || {
        Command::Move(Motion::HalfDown)
    }),
    moving("half-up", &["ctrl-u"], "half a page up", || {
        Command::Move(Motion::HalfUp)
    }),
    moving("page-down", &["ctrl-f", "pagedown"], "a page down", || {
        Command::Move(Motion::PageDown)
    }),
    moving("page-up", &["ctrl-b", "pageup"], "a page up", || {
        Command::Move(Motion::PageUp)
    }),
    moving("next", &["n"], "next match", || {
        Command::Move(Motion::NextMatch)
    }),
    moving("previous", &["N"], "previous match", || {
        Command::Move(Motion::PreviousMatch)
    }),
    moving("enter", &["enter"], "go in", || Command::Enter).hint("open"),
    moving("back", &["esc"], "one step back, always", || Command::Back),
    moving(
        "leave",
        &["q"],
        "one step back; at the root it quits after asking",
        || Command::Leave,
    ),
    moving("place-back", &["ctrl-o"], "back in places", || {
        Command::PlaceBack
    }),
    moving("place-forth", &["tab"], "forward in places", || {
        Command::PlaceForth
    }),
    moving("last", &["-"], "the last place", || Command::PlaceLast).views(NOT_BAYS),
    moving(
        "time-back",
        &["["],
        "back in the cluster's time: the timeline, a minute a press",
        || Command::TimeBack,
    ),
    moving(
        "time-forth",
        &["]"],
        "forward in the cluster's time",
        || Command::TimeForth,
    ),
];

const fn moving(
    word: &'static str,
    keys: &'static [&'static str],
    help: &'static str,
    make: fn() -> Command,
) -> Entry {
    Entry::new(word, keys, help, make).section(Section::Move)
}

const fn look(
    word: &'static str,
    keys: &'static [&'static str],
    help: &'static str,
    make: fn() -> Command,
) -> Entry {
    Entry::new(word, keys, help, make).section(Section::Look)
}

const fn change(
    word: &'static str,
    keys: &'static [&'static str],
    help: &'static str,
    make: fn() -> Command,
) -> Entry {
    Entry::new(word, keys, help, make).changes()
}

const fn program(
    word: &'static str,
    keys: &'static [&'static str],
    help: &'static str,
    make: fn() -> Command,
) -> Entry {
    Entry::new(word, keys, help, make).section(Section::Program)
}

/// Views whose rows are tables of objects.
pub const TABLES: &[View] = &[
    View::Pulse,
    View::Domains,
    View::Workloads,
    View::Pods,
    View::Timeline,
    View::Queue,
    View::Services,
    View::Objects,
];

/// `-` zooms in bays.
const NOT_BAYS: &[View] = &[
    View::Pulse,
    View::Domains,
    View::Workloads,
    View::Pods,
    View::Logs,
    View::Timeline,
    View::Queue,
    View::Services,
    View::Objects,
];

const LOOKS: &[Entry] = &[
    look("describe", &["d"], "describe the selected object", || {
        Command::Describe
    })
    .on_selection()
    .hint("describe"),
    look("yaml", &["y"], "its YAML", || Command::Yaml)
        .on_selection()
        .hint("yaml"),
    look("open-logs", &["L"], "logs of the selection", || {
        Command::Logs
    })
    .on_selection()
    .hint("logs"),
    look("why", &["W"], "why it is here, pending or failing", || {
        Command::Why
    })
    .on_selection()
    .hint("why"),
    look(
        "away",
        &["A"],
        "if its node were drained: where its pods would go, what would break",
        || Command::Away,
    )
    .on_selection(),
    look("object-timeline", &["T"], "timeline of this object", || {
        Command::ObjectTimeline
    })
    .on_selection(),
    look("owner", &["o"], "to its owner", || Command::Owner).on_selection(),
    look("node", &["O"], "to its node", || Command::Node).on_selection(),
    look("mark", &["space"], "mark or unmark", || Command::Mark).on_selection(),
    look(
        "mark-range",
        &["V"],
        "mark from the last mark to here",
        || Command::MarkRange,
    )
    .on_selection(),
    look("mark-all", &["*"], "mark all that the filter shows", || {
        Command::MarkAll
    }),
    look("unmark", &["ctrl-space"], "drop all marks", || {
        Command::Unmark
    }),
    look(
        "sort",
        &["S"],
        "sort by the next column, or the named one",
        || Command::Sort(None),
    )
    .argument(|name| Ok(Command::Sort(Some(name.to_owned()))), "COLUMN")
    .views(TABLES),
    look("sort-reverse", &["I"], "turn the order round", || {
        Command::SortReverse
    })
    .views(TABLES),
    look("wide", &["ctrl-w"], "more columns, or fewer", || {
        Command::Wide
    })
    .views(TABLES),
    look("zoom", &["z"], "the whole screen for the view", || {
        Command::Zoom
    }),
    look("zoom-in", &["+"], "zoom in", || Command::ZoomIn)
        .views(&[View::Bays])
        .hint("zoom"),
    look("zoom-out", &["-"], "zoom out", || Command::ZoomOut).views(&[View::Bays]),
    look(
        "copy",
        &["c"],
        "copy menu: name, path, YAML (OSC 52)",
        || Command::CopyMenu,
    )
    .on_selection(),
];

const CHANGES: &[Entry] = &[
    // Exists in read-only mode too, where it tells the outcome and sends nothing.
    Entry::new(
        "scale",
        &["s"],
        "set replicas, with the outcome shown before it is sent",
        || Command::Replicas(None),
    )
    .section(Section::Change)
    .on_selection()
    .argument(replicas, "REPLICAS")
    .hint("replicas")
    .views(&[View::Workloads]),
    change(
        "edit",
        &["e"],
        "edit its YAML; the difference is shown before it is sent",
        || Command::Edit,
    )
    .hint("edit"),
    change("shell", &["x"], "a shell in the container", || {
        Command::Shell
    })
    .views(&[View::Pods, View::Logs]),
    change("attach", &["a"], "attach to the container", || {
        Command::Attach
    })
    .views(&[View::Pods, View::Logs]),
    change("port-forward", &["f"], "forward a local port", || {
        Command::PortForward
    })
    .views(&[View::Pods, View::Services]),
    change("act", &["!!"], "menu of all changing actions", || {
        Command::Act
    })
    .hint("act"),
    change(
        "restart",
        &["!r"],
        "restart the workload's pods, one after the other",
        || Command::Change(ChangeKind::Restart),
    ),
    change("pause", &["!p"], "stop its rollout", || {
        Command::Change(ChangeKind::Pause)
    }),
    change("resume", &["!P"], "continue its rollout", || {
        Command::Change(ChangeKind::Resume)
    }),
    change("rollback", &["!u"], "back to the revision before", || {
        Command::Change(ChangeKind::RollBack)
    }),
    change("cordon", &["!c"], "no new pods on this node", || {
        Command::Change(ChangeKind::Cordon)
    }),
    change("uncordon", &["!C"], "new pods on this node again", || {
        Command::Change(ChangeKind::Uncordon)
    }),
    change(
        "drain",
        &["!n"],
        "cordon and evict all pods, as budgets allow",
        || Command::Change(ChangeKind::Drain),
    ),
    change(
        "drain-stop",
        &["!N"],
        "stop a drain that is under way; its nodes stay cordoned",
        || Command::StopDrain,
    ),
    change(
        "evict",
        &["!e"],
        "evict the pod if its budgets allow it",
        || Command::Change(ChangeKind::Evict),
    ),
    change(
        "delete",
        &["!d"],
        "delete; the name has to be typed",
        || Command::Change(ChangeKind::Delete),
    ),
    change("trigger", &["!t"], "run the cron job now", || {
        Command::Change(ChangeKind::Trigger)
    }),
    change(
        "stop-machine",
        &["!x"],
        "stop the simulated machines of the selection",
        || Command::Change(ChangeKind::StopMachine),
    ),
    change("start-machine", &["!X"], "let them answer again", || {
        Command::Change(ChangeKind::StartMachine)
    }),
    change(
        "undo",
        &["u"],
        "undo my last change; says what it would do and asks",
        || Command::Undo,
    )
    .hint("undo"),
    change("changes", &["U"], "my changes", || Command::Changes),
];

fn replicas(text: &str) -> Result<Command, String> {
    let last = text.split_whitespace().next_back().unwrap_or_default();
    last.parse()
        .ok()
        .filter(|count: &i64| *count >= 0)
        .map(|count| Command::Replicas(Some(count)))
        .ok_or_else(|| format!("`{text}` is no number of replicas"))
}

const fn rehearsal(
    word: &'static str,
    keys: &'static [&'static str],
    help: &'static str,
    make: fn() -> Command,
) -> Entry {
    Entry::new(word, keys, help, make).section(Section::Rehearsal)
}

const REHEARSAL: &[Entry] = &[
    rehearsal(
        "rehearse",
        &["w"],
        "what if: fork this cluster and try it there; in the fork, what can be done",
        || Command::Rehearse,
    )
    .hint("rehearse"),
    rehearsal(
        "faster",
        &[">"],
        "time runs faster: x1, x10, x60, x600",
        || Command::Rehearsal(RehearsalCommand::Faster),
    ),
    rehearsal(
        "slower",
        &["<"],
        "slower, and at last it stands still",
        || Command::Rehearsal(RehearsalCommand::Slower),
    ),
    rehearsal(
        "wait",
        &[],
        "let time pass: `:wait 10m`, or `:+10m`",
        || Command::Rehearsal(RehearsalCommand::Settle),
    )
    .argument(pass, "DURATION"),
    rehearsal(
        "settle",
        &[],
        "let time pass until nothing is due any more",
        || Command::Rehearsal(RehearsalCommand::Settle),
    ),
    rehearsal(
        "outcome",
        &[],
        "what came of it: pods moved, pending, budgets broken, who fell below target",
        || Command::Rehearsal(RehearsalCommand::Outcome),
    ),
    rehearsal(
        "step",
        &[],
        "any step of `bayplan plan`: lose rack=b07, drain NODE, set deploy/cart cpu=1 …",
        || Command::Rehearse,
    )
    .argument(step, "STEP"),
    rehearsal(
        "save-rehearsal",
        &[],
        "write objects, steps and seed to a file for `bayplan plan --open`",
        || Command::Rehearsal(save("rehearsal.gz")),
    )
    .argument(
        |name| Ok(Command::Rehearsal(save(name))),
        "FILE [--pseudonymise]",
    ),
    rehearsal("steps", &[], "what was done in it, in order", || {
        Command::Rehearsal(RehearsalCommand::Steps)
    }),
    rehearsal(
        "compare",
        &[],
        "its outcome beside that of the rehearsal before, or of a saved one",
        || Command::Rehearsal(RehearsalCommand::Compare(None)),
    )
    .argument(
        |name| {
            Ok(Command::Rehearsal(RehearsalCommand::Compare(Some(
                name.to_owned(),
            ))))
        },
        "FILE",
    ),
    rehearsal(
        "open-rehearsal",
        &[],
        "work in a rehearsal that somebody has saved",
        || Command::Rehearsal(RehearsalCommand::Open("rehearsal.gz".to_owned())),
    )
    .argument(
        |name| Ok(Command::Rehearsal(RehearsalCommand::Open(name.to_owned()))),
        "FILE",
    ),
    rehearsal(
        "apply",
        &[],
        "take its steps in reality, each confirmed; stops where reality departs from it",
        || Command::Rehearsal(RehearsalCommand::Apply),
    ),
    rehearsal(
        "apply-stop",
        &[],
        "take no more of its steps in reality",
        || Command::Rehearsal(RehearsalCommand::StopApplying),
    ),
    rehearsal(
        "discard",
        &[],
        "end the rehearsal; back to the real cluster",
        || Command::Rehearsal(RehearsalCommand::Discard),
    ),
];

fn save(text: &str) -> RehearsalCommand {
    const OPTION: &str = "--pseudonymise";
    let name: Vec<&str> = text
        .split_whitespace()
        .filter(|word| *word != OPTION)
        .collect();
    RehearsalCommand::Save {
        name: name.join(" "),
        pseudonymise: text.split_whitespace().any(|word| word == OPTION),
    }
}

/// `10m`, as steps write it.
pub fn pass(text: &str) -> Result<Command, String> {
    match Step::parse(&format!("wait {text}"), "") {
        Ok(Step::Wait(length)) => Ok(Command::Rehearsal(RehearsalCommand::Pass(length))),
        Ok(_) => Err(format!("`{text}` is no length of time")),
        Err(error) => Err(error.to_string()),
    }
}

fn step(text: &str) -> Result<Command, String> {
    let step = Step::parse(text, "default").map_err(|error| error.to_string())?;
    Ok(Command::Rehearsal(RehearsalCommand::Step(Box::new(step))))
}

const PROGRAM: &[Entry] = &[
    program("help", &["?"], "the keys of this view", || Command::Help)
        .aliases(&["h"])
        .hint("help"),
    program("command", &[":"], "command line", || Command::CommandLine).hint("command"),
    program(
        "filter",
        &["/"],
        "filter: text, !not, ~fuzzy, l:key=value, restarts>3 age<2h",
        || Command::FilterLine,
    )
    .argument(|text| Ok(Command::Filter(text.to_owned())), "FILTER")
    .hint("filter"),
    program(
        "find",
        &["ctrl-k", "ctrl-p"],
        "find anything by name",
        || Command::Palette,
    ),
    program(
        "ns",
        &[],
        "which namespaces are shown: names, or `all`",
        || Command::Namespaces(None),
    )
    .aliases(&["namespace"])
    .argument(namespaces, "NAMESPACE…"),
    program("ctx", &[], "switch the cluster", || Command::Contexts(None))
        .aliases(&["context"])
        .argument(
            |name| Ok(Command::Contexts(Some(name.to_owned()))),
            "CONTEXT",
        ),
    program(
        "theme",
        &[],
        "dark, light, high-contrast, colour-blind, mono",
        || Command::Theme(String::new()),
    )
    .argument(|name| Ok(Command::Theme(name.to_owned())), "THEME"),
    program("quit", &["ctrl-c"], "quit", || Command::Quit).aliases(&["q", "q!", "qa", "exit"]),
    program("suspend", &["ctrl-z"], "suspend to the shell", || {
        Command::Suspend
    }),
    program("redraw", &["ctrl-l", "R"], "clear and draw again", || {
        Command::Redraw
    }),
    program(
        "problems",
        &[],
        "what was wrong with settings and keys at the start",
        || Command::Problems,
    ),
    program(
        "fidelity",
        &[],
        "how often the cluster's scheduler chose as foretold here",
        || Command::Fidelity,
    ),
    program("mouse", &["M"], "mouse on or off", || Command::ToggleMouse),
];

#[expect(
    clippy::unnecessary_wraps,
    reason = "every constructor with an argument has this type"
)]
fn namespaces(text: &str) -> Result<Command, String> {
    use crate::tui::view::Scope;
    let names: Vec<&str> = text
        .split([' ', ','])
        .filter(|name| !name.is_empty())
        .collect();
    let scope = if names.iter().any(|name| matches!(*name, "all" | "-" | "*")) {
        Scope::All
    } else {
        Scope::of(&names)
    };
    Ok(Command::Namespaces(Some(scope)))
}
