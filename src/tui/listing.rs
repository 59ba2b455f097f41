//! A page's table over objects, kept up by the changes that come.
//!
//! One piece for all pages that list objects: opening with a row or a filter, taking changes in,
//! sorting, filtering, telling of dropped marks, waking when an age turns. A page says by its
//! [`Source`] which rows there are and which of them a change concerns; only these are derived anew,
//! and only while the page is shown. A storm is taken in portions, so that no frame waits for it.

use std::sync::Arc;

use indexmap::IndexMap;
use jiff::Timestamp;

use super::cache::Logged;
use super::columns::Shown;
use super::command::Command;
use super::notice::Notice;
use super::page::{Ask, Context};
use super::pages::ages::next_turn;
use super::table::{Column, Record, TableState};
use super::view::{Opening, Scope, Target};
use crate::k8s::{Object, ObjectKey, Uid};
use crate::stdx::humanize::counted;

/// What a page lists.
pub trait Source {
    type Row: Shown + Record + 'static;

    fn columns(&self) -> &[Column<Self::Row>];

    /// Every object that may be a row, in whatever scope.
    fn all(&self, context: &Context) -> Vec<Arc<Object>>;

    /// The row of an object, where it is one.
    fn row(&mut self, object: &Arc<Object>, context: &Context) -> Option<Self::Row>;

    /// The rows that a change concerns.
    fn concerned(&self, change: &Logged, context: &Context, rows: &mut Concerned);

    /// What deriving a row costs, in rows of the simplest kind.
    fn cost(_row: &Self::Row) -> usize {
        1
    }
}

/// Rows to be derived anew.
pub type Concerned = IndexMap<Uid, ObjectKey>;

/// Rows of the simplest kind that are derived between two frames: a few milliseconds.
pub const PORTION: usize = 2_000;

#[derive(Debug)]
pub struct Listing<S: Source> {
    pub table: TableState<S::Row>,
    pub source: S,
    /// How many changes were read; `None`: everything is to be read.
    seen: Option<u64>,
    concerned: Concerned,
    scope: Scope,
    /// When a filter that asks for ages was last asked.
    judged: Option<Timestamp>,
}

impl<S: Source + Default> Default for Listing<S> {
    fn default() -> Self {
        Self::of(S::default(), TableState::default())
    }
}

impl<S: Source> Listing<S> {
    pub fn of(source: S, table: TableState<S::Row>) -> Self {
        Self {
            table,
            source,
            seen: None,
            concerned: Concerned::new(),
            scope: Scope::All,
            judged: None,
        }
    }

    /// The source lists something else now.
    pub fn restart(&mut self) {
        self.seen = None;
    }

    /// The page is gone to, perhaps with a row or a filter.
    pub fn open(&mut self, opening: &Opening, height: usize, context: &Context) -> Vec<Ask> {
        let mut asks = Vec::new();
        if let Some(filter) = &opening.filter
            && let Err(why) = self.table.set_filter(filter, self.source.columns())
        {
            asks.push(Ask::Notice(Notice::warning(why)));
        }
        self.read(context);
        self.view(height, context);
        if let Some(uid) = &opening.select {
            self.table.select(uid.clone());
        }
        asks
    }

    /// Takes in what is new, as much of it as a frame has time for.
    pub fn settle(&mut self, height: usize, context: &Context) -> Vec<Ask> {
        self.read(context);
        self.view(height, context);
        match self.table.take_dropped_marks() {
            0 => Vec::new(),
            count => vec![Ask::Notice(Notice::note(format!(
                "{} dropped: no longer in the table",
                counted(count, "mark", "marks")
            )))],
        }
    }

    fn view(&mut self, height: usize, context: &Context) {
        let columns = self.source.columns();
        // What an age lets through changes by itself; seconds are near enough.
        if self.table.is_timed(columns)
            && self
                .judged
                .is_none_or(|at| context.now.duration_since(at).as_secs() >= 1)
        {
            self.judged = Some(context.now);
            self.table.judge_again();
        }
        self.table.settle_view(columns, height, context);
    }

    fn read(&mut self, context: &Context) {
        let changes = self
            .seen
            .filter(|_| self.scope == *context.scope)
            .and_then(|seen| context.cache.logged_after(seen));
        let Some(changes) = changes else {
            return self.read_all(context);
        };
        for change in changes {
            self.source.concerned(change, context, &mut self.concerned);
        }
        self.seen = Some(context.cache.logged());
        let mut spent = 0;
        let mut taken = Vec::new();
        for (uid, key) in &self.concerned {
            if spent >= PORTION {
                break;
            }
            let row = context
                .cluster
                .get(key)
                .filter(|object| object.uid == *uid && context.scope.contains_key(&object.key))
                .and_then(|object| self.source.row(object, context));
            spent += row.as_ref().map_or(1, S::cost);
            taken.push(row.ok_or_else(|| uid.clone()));
        }
        if !taken.is_empty() {
            self.concerned.drain(..taken.len());
            self.table.take(taken, self.source.columns(), context);
        }
    }

    fn read_all(&mut self, context: &Context) {
        self.seen = Some(context.cache.logged());
        self.scope.clone_from(context.scope);
        self.concerned.clear();
        let rows: Vec<S::Row> = self
            .source
            .all(context)
            .iter()
            .filter(|object| context.scope.contains_key(&object.key))
            .filter_map(|object| self.source.row(object, context))
            .collect();
        self.table.replace(rows, self.source.columns(), context);
    }

    /// A command that all tables understand, or nothing.
    pub fn command(&mut self, command: &Command, context: &Context) -> Vec<Ask> {
        let columns = self.source.columns();
        match self.table.command(command, columns) {
            Ok(_) => {
                self.table.refresh(columns, context);
                Vec::new()
            }
            Err(why) => vec![Ask::Notice(Notice::warning(why))],
        }
    }

    pub fn set_filter(&mut self, text: &str, context: &Context) -> Result<(), String> {
        let columns = self.source.columns();
        self.table.set_filter(text, columns)?;
        self.table.refresh(columns, context);
        Ok(())
    }

    /// The marked objects, else the one under the cursor.
    pub fn selection(&self) -> Vec<Target> {
        self.table.meant().into_iter().map(Shown::target).collect()
    }

    /// When an age in view turns, or at once while changes wait.
    pub fn next_wake(&self, context: &Context) -> Option<Timestamp> {
        if !self.concerned.is_empty() {
            return Some(context.now);
        }
        let created = self.table.visible().filter_map(|row| row.object().created);
        next_turn(context.now, created)
    }
}

#[cfg(test)]
mod tests;
