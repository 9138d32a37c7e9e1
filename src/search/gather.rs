//! Parallel search of all planned channels under one deadline.
//!
//! Channels compute on their own small thread pool. What they need from the engine is waited for on
//! the caller's thread, so that a slow engine holds no thread of the pool. A channel that fails or
//! misses the deadline is left out of the answer with a warning.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{at, never, select_biased, unbounded};

use super::channels::{Channel, ChannelName, ChannelSearch, Channels};
use super::fuse::Ranking;
use super::plan::{Leg, Plan};
use crate::base::error::{Error, Result, Warning};
use crate::base::hit::{ChunkSet, Hit};
use crate::base::panic::guarded;
use crate::base::telemetry::{RunContext, Stage, StageSpan, attrs};
use crate::index::QueryText;

/// The part of a search's time that is kept for the stages after this one, and its maximum: they
/// take milliseconds.
const RESERVE_SHARE: f64 = 0.1;
const RESERVE_MAX: Duration = Duration::from_millis(100);

/// The results of the channels.
pub struct Gathered {
    /// In the order of the plan.
    pub rankings: Vec<Ranking>,
    /// The parts that are missing from the answer.
    pub warnings: Vec<Warning>,
}

/// The response of one channel.
struct Response {
    channel: ChannelName,
    hits: Result<Vec<Hit>>,
}

/// Searches every channel of the plan. Returns an error only if no channel responded.
///
/// scope: the chunks that may be found; `None` for all.
pub fn gather(
    channels: &Channels,
    query: &Arc<QueryText>,
    plan: &Plan,
    scope: &Option<Arc<ChunkSet>>,
    span: &mut StageSpan,
) -> Result<Gathered> {
    let cx = span.cx().reserving(RESERVE_SHARE, RESERVE_MAX);
    if let Some(budget_ms) = cx.budget_ms() {
        span.set(attrs::DEADLINE_MS, budget_ms);
    }
    let mut searches = Vec::new();
    for channel in channels.iter() {
        let Some(leg) = plan.leg(channel.name()) else {
            span.cx().skip(channel.stage(), "not-asked");
            continue;
        };
        let (query, scope, cx) = (query.clone(), scope.clone(), cx.clone());
        let asked = ChannelSearch { query, depth: leg.depth, rm3: plan.rm3, scope, cx };
        searches.push((channel, Arc::new(asked)));
    }
    if !channels.has(ChannelName::Sparse) {
        span.cx().skip(Stage::Splade, "off");
    }
    let (sender, receiver) = unbounded();
    let compute = |channel: &Arc<dyn Channel>, asked: &Arc<ChannelSearch>, encoded| {
        let (channel, asked, sender) = (channel.clone(), asked.clone(), sender.clone());
        channels.pool.spawn(move || {
            let name = channel.name();
            let hits = guarded(name.as_str(), || {
                asked.cx.check_wanted("the search")?;
                channel.search(&asked, encoded)
            });
            // After the deadline the receiver is gone.
            let _ = sender.send(Response { channel: name, hits });
        });
    };
    // The engine works on the query while the threads search the channels that do not need it.
    let submissions: Vec<_> =
        searches.iter().map(|(channel, asked)| (channel, asked, channel.submit(asked))).collect();
    let mut waiting = Vec::new();
    for (channel, asked, submission) in submissions {
        match submission {
            None => compute(channel, asked, None),
            Some(submission) => waiting.push((channel, asked, submission)),
        }
    }
    let mut responses = Vec::new();
    for (channel, asked, submission) in waiting {
        match submission.wait() {
            Ok(encoded) => compute(channel, asked, Some(encoded)),
            Err(error) => responses.push(Response { channel: channel.name(), hits: Err(error) }),
        }
    }
    drop(sender);

    let cancelled = cx.cancelled().receiver();
    let deadline = cx.deadline().map_or_else(never, at);
    loop {
        // In this order: what was found in time counts, also when the deadline has passed since.
        select_biased! {
            recv(receiver) -> response => match response {
                Ok(response) => responses.push(response),
                Err(_) => break,
            },
            recv(cancelled) -> _ => return Err(Error::Cancelled),
            recv(deadline) -> _ => break,
        }
    }
    let (gathered, failure) = collect(plan, responses, &cx);
    gathered.warnings.iter().for_each(|warning| span.cx().warn(warning.clone()));
    let hits =
        |name| gathered.rankings.iter().find(|r| r.channel == name).map_or(0, |r| r.hits.len());
    let counts: Vec<_> =
        channels.iter().map(|c| (c.hits_attribute(), hits(c.name()).into())).collect();
    span.event("channels.gathered", &counts);
    match failure {
        Some(error) if gathered.rankings.is_empty() => Err(error),
        _ => Ok(gathered),
    }
}

/// Orders the responses as in the plan. A missing response becomes a warning. If all are missing,
/// the error is that of a channel that failed, if one did.
fn collect(
    plan: &Plan,
    mut responses: Vec<Response>,
    cx: &RunContext,
) -> (Gathered, Option<Error>) {
    let mut gathered = Gathered { rankings: Vec::new(), warnings: Vec::new() };
    let mut failure = None;
    for leg in &plan.legs {
        let name = leg.channel.as_str();
        let position = responses.iter().position(|response| response.channel == leg.channel);
        match position.map(|at| responses.swap_remove(at).hits) {
            Some(Ok(hits)) => {
                let Leg { channel, weight, .. } = *leg;
                gathered.rankings.push(Ranking { channel, weight, hits });
            }
            None | Some(Err(Error::DeadlineExceeded { .. })) => {
                let budget_ms = cx.budget_ms().unwrap_or_default();
                let message = format!(
                    "the {name} channel was left out: no answer in time for the deadline of \
                     {budget_ms} ms"
                );
                gathered.warnings.push(Warning::new("channel-late", message));
                failure.get_or_insert(cx.late("the search"));
            }
            Some(Err(error)) => {
                let message = format!("the {name} channel failed and was left out: {error}");
                gathered.warnings.push(Warning::new("channel-failed", message));
                failure = Some(error);
            }
        }
    }
    (gathered, failure)
}
