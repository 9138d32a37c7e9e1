//! What does each channel say, as long as it says it in time?
//!
//! All channels run at once on a small pool of their own. One that fails or is late is left out,
//! told in a warning, and never waited for.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::query::{Channel, Query};
use super::searcher::Channels;
use crate::base::error::{Error, Result, Warning};
use crate::base::hit::{ChunkSet, Hit};
use crate::base::telemetry::{StageSpan, attrs};
use crate::index::catalog::ScopeSpec;
use crate::search::plan::gate::Plan;

/// What the channels answered.
pub struct Gathered {
    /// Channel, its weight, its hits, best first.
    pub rankings: Vec<(Channel, f64, Vec<Hit>)>,
    /// What the answer lacks.
    pub warnings: Vec<Warning>,
    /// Chunks in the scope, when one was given.
    pub scope_chunks: Option<usize>,
}

/// Asks every channel of the plan. An error only if the scope is wrong or no channel answered.
pub fn gather(
    channels: &Channels,
    query: &Query,
    plan: &Plan,
    deadline: Duration,
    span: &mut StageSpan,
) -> Result<Gathered> {
    let scope = scope(channels, &query.scope)?;
    span.set(attrs::DEADLINE_MS, deadline.as_millis() as u64);
    for channel in Channel::ALL {
        if !plan.channels.iter().any(|(planned, ..)| *planned == channel) {
            span.cx().skip(channel.stage(), "not-asked");
        }
    }
    let deadline_at = Instant::now() + deadline;
    let (sender, answers) = mpsc::channel();
    for &(channel, depth, _) in &plan.channels {
        let sender = sender.clone();
        let (asked, text, scope) = (channels.clone(), query.text.clone(), scope.clone());
        let cx = span.cx();
        channels.pool().spawn(move || {
            let ask = || asked.ask(channel, &text, depth, scope.as_ref(), &cx);
            let answer = catch_unwind(AssertUnwindSafe(ask)).unwrap_or_else(|_| {
                Err(Error::Internal { what: "channel", detail: "it panicked".to_owned() })
            });
            // Nobody listens any more when the deadline has passed.
            let _ = sender.send((channel, answer));
        });
    }
    drop(sender);

    let mut answered: Vec<(Channel, Result<Vec<Hit>>)> = Vec::new();
    while let Some(left) = deadline_at.checked_duration_since(Instant::now())
        && let Ok(answer) = answers.recv_timeout(left)
    {
        answered.push(answer);
    }
    let scope_chunks = scope.as_ref().map(ChunkSet::count);
    collect(plan, answered, deadline, scope_chunks, span)
}

/// Puts the answers into the plan's order; what is missing becomes a warning.
fn collect(
    plan: &Plan,
    mut answered: Vec<(Channel, Result<Vec<Hit>>)>,
    deadline: Duration,
    scope_chunks: Option<usize>,
    span: &mut StageSpan,
) -> Result<Gathered> {
    let mut gathered = Gathered { rankings: Vec::new(), warnings: Vec::new(), scope_chunks };
    let mut failure = None;
    for &(channel, _, weight) in &plan.channels {
        let name = channel.as_str();
        let position = answered.iter().position(|(c, _)| *c == channel);
        match position.map(|at| answered.swap_remove(at).1) {
            Some(Ok(hits)) => gathered.rankings.push((channel, weight, hits)),
            Some(Err(error)) => {
                let message = format!("the {name} channel failed and was left out: {error}");
                gathered.warnings.push(Warning::new("channel-failed", message));
                failure = Some(error);
            }
            None => {
                let budget_ms = deadline.as_millis() as u64;
                let message =
                    format!("the {name} channel was left out: no answer within {budget_ms} ms");
                gathered.warnings.push(Warning::new("channel-late", message));
                let what = "the search";
                failure.get_or_insert(Error::DeadlineExceeded { what, budget_ms });
            }
        }
    }
    let count =
        |channel| gathered.rankings.iter().find(|(c, ..)| *c == channel).map_or(0, |r| r.2.len());
    span.event(
        "channels.gathered",
        &[
            (attrs::DENSE, count(Channel::Dense).into()),
            (attrs::SPARSE, count(Channel::Lexical).into()),
            (attrs::SYMBOL, count(Channel::Symbol).into()),
        ],
    );
    match failure {
        Some(error) if gathered.rankings.is_empty() => Err(error),
        _ => Ok(gathered),
    }
}

/// The chunks that may be found: `None` for all of them.
fn scope(channels: &Channels, spec: &ScopeSpec) -> Result<Option<ChunkSet>> {
    let live = channels.live().cloned();
    if spec.is_empty() {
        return Ok(live);
    }
    let mut scope = channels.catalog().scope(spec)?;
    if let Some(live) = &live {
        scope.intersect(live);
    }
    Ok(Some(scope))
}
