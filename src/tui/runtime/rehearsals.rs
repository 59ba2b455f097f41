//! Carries out what is wished of the rehearsal that is shown.

use std::path::Path;

use crate::config::manifest;
use crate::connect::Rehearsal;
use crate::connect::rehearsal::Order;
use crate::rehearse::archive::Archive;
use crate::rehearse::{Outcome, Step};
use crate::tui::msg::Msg;
use crate::tui::notice::Notice;
use crate::tui::rehearsal::{Compared, Other, Wish};

use super::outside::write_new;

/// The answer, or why it was not done.
pub async fn carry_out(rehearsal: &Rehearsal, wish: Wish) -> Result<Option<Msg>, String> {
    match wish {
        // The loop's own: they change which cluster is shown.
        Wish::Fork(_) | Wish::Open(_) | Wish::Discard | Wish::Walk(_) => Ok(None),
        Wish::Order(order) => ordered(rehearsal, order).await,
        Wish::Apply(text) => {
            let step = tokio::task::spawn_blocking(move || read(&text))
                .await
                .map_err(|error| error.to_string())??;
            ordered(rehearsal, Order::Take(Box::new(step))).await
        }
        Wish::Outcome => {
            let outcome = rehearsal.outcome().await?;
            Ok(Some(Msg::Outcome(Box::new(outcome))))
        }
        Wish::Compare(other) => {
            let (name, other) = match *other {
                Other::Last(outcome) => ("the rehearsal before".to_owned(), *outcome),
                Other::File(name) => {
                    let outcome = saved(name.clone()).await?;
                    (name, outcome)
                }
            };
            let outcome = rehearsal.outcome().await?;
            let outcomes = [other, outcome];
            let compared = Compared { name, outcomes };
            Ok(Some(Msg::Compared(Box::new(compared))))
        }
        Wish::Strides => Ok(Some(Msg::Strides(rehearsal.strides().await?))),
        Wish::Save { name, pseudonymise } => {
            let bytes = rehearsal.archive(pseudonymise).await?;
            let path = write_new(&name, &bytes)
                .await
                .map_err(|error| format!("cannot save `{name}`: {error}"))?;
            let text = format!(
                "saved to {0}; `bayplan plan --open {0}` takes the same steps",
                path.display()
            );
            Ok(Some(Msg::Notice(Notice::done(text))))
        }
    }
}

/// What comes of a saved rehearsal: its steps are taken again.
async fn saved(name: String) -> Result<Outcome, String> {
    tokio::task::spawn_blocking(move || {
        let said = |error: &dyn std::fmt::Display| format!("`{name}`: {error}");
        let bytes = std::fs::read(&name).map_err(|error| said(&error))?;
        let archive = Archive::decode(&bytes).map_err(|error| said(&error))?;
        let fork = archive.fork().map_err(|error| said(&error))?;
        Ok(fork.outcome(0))
    })
    .await
    .map_err(|error| error.to_string())?
}

async fn ordered(rehearsal: &Rehearsal, order: Order) -> Result<Option<Msg>, String> {
    let told = rehearsal.order(order).await?;
    Ok(told.map(|text| Msg::Notice(Notice::done(text))))
}

/// A step with the manifests that it applies.
fn read(text: &str) -> Result<Step, String> {
    let mut step = Step::parse(text, "default").map_err(|error| error.to_string())?;
    if let Step::Apply { from, objects, .. } = &mut step {
        let manifests =
            manifest::load(Path::new(from.as_str())).map_err(|error| error.to_string())?;
        if let Some(problem) = manifests.problems.first() {
            return Err(problem.to_string());
        }
        let documents = manifests.documents.into_iter();
        *objects = documents.map(|document| document.object).collect();
    }
    Ok(step)
}
