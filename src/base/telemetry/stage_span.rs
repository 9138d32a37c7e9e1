//! One running step: its timing, attributes and outcome, as a span and a step of the report.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::Instant;

use opentelemetry::trace::{Link, Span as _, SpanContext, Status, TraceContextExt};
use opentelemetry::{Context, ContextGuard};
use opentelemetry_sdk::trace::Span;

use super::attrs::{self, Attr, AttrValue};
use super::context::{Run, RunContext};
use super::labels::{Label, Outcome};
use super::report::{StepRecord, StepStatus};
use super::stage::Stage;
use crate::base::error::{Error, Result};
use crate::base::panic::panicked;

/// A running step.
pub struct StageSpan {
    stage: Stage,
    within: RunContext,
    /// `None` when the SDK is disabled.
    span: Option<Span>,
    started: Instant,
    status: StepStatus,
    /// Collected here; copied to the span and the report when the step ends.
    attrs: Vec<(Attr, AttrValue)>,
}

impl StageSpan {
    /// Opens `stage` for work that does not end where it begins; [`RunContext::stage`] does both.
    /// End it with [`StageSpan::finish`].
    pub fn open(cx: &RunContext, stage: Stage) -> Self {
        let run = &cx.run;
        let (span, parent) = if run.telemetry.tracer().is_some() || cx.depth == 0 {
            let (links, parent) = (links(run, stage), cx.parent());
            let (span, here) = run.telemetry.start(stage.span_name(), stage.kind(), links, &parent);
            (span, parent.with_remote_span_context(here))
        } else {
            // Without spans, every stage has the ids of the outermost one.
            (None, cx.parent.clone())
        };
        let depth = cx.depth + 1;
        let within = RunContext { run: run.clone(), parent, depth, ..cx.clone() };
        let mut attrs = Vec::with_capacity(stage.attrs().len() + 4);
        attrs.push((attrs::REQUEST_STAGE, stage.name().into()));
        if cx.depth == 0 {
            let _ = run.log.root.set(within.parent.span().span_context().clone());
            attrs.push((attrs::TOOL, run.log.tool.value().into()));
            attrs.push((attrs::RUN_ID, cx.run_id().to_owned().into()));
            if let Some(session) = &run.log.session_id {
                attrs.push((attrs::SESSION_ID, session.clone().into()));
            }
        }
        let status = StepStatus::Run;
        Self { stage, within, span, started: Instant::now(), status, attrs }
    }

    /// Runs a part of the step's work. Log events inside carry the step's ids.
    pub fn within<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        let _attached = self.attach();
        work(self)
    }

    /// Ends the step with its result.
    pub fn finish<T>(mut self, result: Result<T>) -> Result<T> {
        if let Err(error) = &result {
            self.fail(error);
        }
        self.close();
        result
    }

    /// Makes the step current on this thread, for log events, if there are spans.
    pub(super) fn attach(&self) -> Option<ContextGuard> {
        self.span.is_some().then(|| self.within.parent.clone().attach())
    }

    /// The context of the run inside this step: stages in it become children of this step. It may
    /// be sent to another thread.
    pub fn cx(&self) -> RunContext {
        self.within.clone()
    }

    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// Sets an attribute on the span and in the report.
    pub fn set(&mut self, key: Attr, value: impl Into<AttrValue>) {
        debug_assert!(
            self.stage.attrs().contains(&key),
            "{key:?} is not in the table of telemetry/stage.rs for {:?}",
            self.stage
        );
        self.attrs.push((key, value.into()));
    }

    /// Adds an event to the span.
    pub fn event(&mut self, name: &'static str, attributes: &[(Attr, AttrValue)]) {
        let Some(span) = &mut self.span else { return };
        let spelling = self.within.run.telemetry.spelling();
        let mut out = Vec::with_capacity(attributes.len());
        for (key, value) in attributes {
            spelling.spell(*key, value, |kv| out.push(kv));
        }
        span.add_event(name, out);
    }

    pub(super) fn fail(&mut self, error: &Error) {
        let kind = error.kind().code();
        self.status = StepStatus::Error;
        self.attrs.push((attrs::ERROR_TYPE, kind.into()));
        if let Some(span) = &mut self.span {
            record(span, error);
        }
        log(self.stage.name(), error);
        self.within.run.log.failed(self.stage.name(), kind);
    }

    pub(super) fn close(mut self) {
        let (run, duration) = (&self.within.run, self.started.elapsed());
        if let Some(mut span) = self.span.take() {
            let spelling = run.telemetry.spelling();
            for (key, value) in &self.attrs {
                spelling.spell(*key, value, |kv| span.set_attribute(kv));
            }
            span.end();
            if self.stage.is_channel() {
                run.channels.lock().push(self.within.parent.span().span_context().clone());
            }
            let failed = self.status == StepStatus::Error;
            let outcome = if failed { Outcome::Error } else { Outcome::Run };
            run.telemetry.instruments().staged(self.stage, outcome, duration);
        }
        let log = &run.log;
        log.push(StepRecord {
            stage: self.stage,
            status: self.status,
            started: self.started - log.started,
            duration,
            depth: self.within.depth - 1,
            attrs: self.attrs,
        });
    }
}

/// Records a failure on a span.
pub(super) fn record(span: &mut Span, error: &Error) {
    span.record_error(error);
    span.set_status(Status::error(error.to_string()));
}

/// Our failures are logged as warnings, mistakes of the caller as details.
fn log(stage: &'static str, error: &Error) {
    let kind = error.kind().code();
    if error.kind().http_status() >= 500 {
        tracing::warn!(stage, error.kind = kind, %error, "stage failed");
    } else {
        tracing::debug!(stage, error.kind = kind, %error, "stage failed");
    }
}

/// A channel links to its search, and the fusion to its channels: relations between threads that
/// the tree of parents does not show.
fn links(run: &Arc<Run>, stage: Stage) -> Vec<Link> {
    let link = |to: SpanContext| Link::new(to, Vec::new(), 0);
    match stage {
        stage if stage.is_channel() => run.log.root.get().cloned().map(link).into_iter().collect(),
        Stage::Fuse => run.channels.lock().iter().cloned().map(link).collect(),
        _ => Vec::new(),
    }
}

impl RunContext {
    /// The parent of the next stage. A run is one trace: without a caller, the stages after the
    /// first one are children of it.
    fn parent(&self) -> Cow<'_, Context> {
        match self.run.log.root.get() {
            Some(root) if !self.parent.has_active_span() => {
                Cow::Owned(self.parent.with_remote_span_context(root.clone()))
            }
            _ => Cow::Borrowed(&self.parent),
        }
    }

    /// Runs `work` as `stage`, with one span, one step of the report and one measurement. An error
    /// is recorded on all three; so is a panic, which then continues.
    pub fn stage<T>(
        &self,
        stage: Stage,
        work: impl FnOnce(&mut StageSpan) -> Result<T>,
    ) -> Result<T> {
        if self.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let mut span = StageSpan::open(self, stage);
        // Log events inside the stage carry its ids.
        let attached = span.attach();
        let result = catch_unwind(AssertUnwindSafe(|| work(&mut span)));
        match &result {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => span.fail(error),
            Err(payload) => span.fail(&panicked(stage.name(), &**payload)),
        }
        drop(attached);
        span.close();
        result.unwrap_or_else(|panic| resume_unwind(panic))
    }
}
