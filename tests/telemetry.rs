//! The spans and the run report of one search and of one ingest.

mod http;
mod metrics;
mod otlp;
mod receiver;
mod runs;

use std::collections::BTreeSet;
use std::fmt::Write;

use codeintel::base::config::{CaptureQuery, Settings};
use codeintel::base::telemetry::labels::Tool;
use codeintel::base::telemetry::{
    RunContext, RunReport, Stage, StepStatus, Telemetry, TelemetryConfig,
};
use codeintel::ingest::Ingest;
use codeintel::search::{ChannelName, Searcher};
use opentelemetry::trace::{Link, SpanId, SpanKind, Status};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SpanData};

use crate::support::{Place, cx, many, only};

fn spans(exporter: &InMemorySpanExporter) -> Vec<SpanData> {
    exporter.get_finished_spans().unwrap()
}

fn attribute(span: &SpanData, key: &str) -> Option<String> {
    let found = span.attributes.iter().find(|kv| kv.key.as_str() == key);
    found.map(|kv| kv.value.as_str().into_owned())
}

fn named<'a>(spans: &'a [SpanData], name: &str) -> &'a SpanData {
    let mut found = spans.iter().filter(|span| span.name == name);
    let span = found.next().unwrap_or_else(|| panic!("no span {name}"));
    assert!(found.next().is_none(), "one span {name}");
    span
}

/// The spans as an indented tree, siblings by name, ids left out.
fn tree(spans: &[SpanData]) -> String {
    fn add(spans: &[SpanData], parent: SpanId, depth: usize, out: &mut String) {
        let mut children: Vec<_> = spans.iter().filter(|s| s.parent_span_id == parent).collect();
        children.sort_by(|a, b| a.name.cmp(&b.name));
        for span in children {
            let kind = format!("{:?}", span.span_kind).to_uppercase();
            write!(out, "{}{} {kind}", "  ".repeat(depth), span.name).unwrap();
            if let Status::Error { .. } = &span.status {
                write!(out, " error={}", attribute(span, "error.type").unwrap()).unwrap();
            }
            for event in span.events.iter() {
                let keys: BTreeSet<&str> =
                    event.attributes.iter().map(|a| a.key.as_str()).collect();
                let keys: Vec<&str> = keys.into_iter().collect();
                write!(out, " ({} {{{}}})", event.name, keys.join(", ")).unwrap();
            }
            let name = |link: &Link| {
                let to =
                    spans.iter().find(|s| s.span_context.span_id() == link.span_context.span_id());
                to.map_or("?", |span| span.name.as_ref())
            };
            let links: BTreeSet<&str> = span.links.iter().map(name).collect();
            for link in links {
                write!(out, " -> {link}").unwrap();
            }
            out.push('\n');
            add(spans, span.span_context.span_id(), depth + 1, out);
        }
    }
    let mut out = String::new();
    add(spans, SpanId::INVALID, 0, &mut out);
    assert_eq!(out.lines().count(), spans.len(), "every span has a parent or is a root");
    out
}

/// Searches `place` for `text`, and returns the spans and the report.
fn search(place: &Place, searcher: &Searcher, text: &str) -> (Vec<SpanData>, RunReport) {
    let exporter = InMemorySpanExporter::default();
    let telemetry = Telemetry::with_exporter(exporter.clone());
    let headers = [("x-run-id", "run-7"), ("x-session-id", "session-9")];
    let header = |name: &str| headers.iter().find(|(k, _)| *k == name).map(|(_, v)| v.to_string());
    let caller = telemetry.caller(&header);
    let cx = RunContext::of(&telemetry, Tool::Search, &Searcher::PLANNED, caller);
    let answer = searcher.search(&place.query(text, 5), &cx).unwrap();
    (spans(&exporter), answer.report)
}

#[test]
fn a_search_is_this_tree_of_spans() {
    let place = many();
    let (spans, report) = search(&place, &place.searcher(), "how is a header parsed");
    let expected = "\
engine.batch INTERNAL -> vllm.embed_batch
retrieval.search INTERNAL
  retrieval.fuse INTERNAL -> bm25.search -> faiss.search -> symbol.search
  retrieval.gather_channels INTERNAL (channels.gathered {dense, path, sparse, symbol})
    bm25.search INTERNAL -> retrieval.search
    faiss.search INTERNAL -> retrieval.search
    symbol.search INTERNAL -> retrieval.search
    vllm.embed_batch CLIENT
  retrieval.gating INTERNAL (retrieval.gating.decision {codeintel.warnings, \
retrieval.channel_depths, retrieval.channel_weights, retrieval.code_token_ratio, \
retrieval.digit_ratio, retrieval.fusion, retrieval.looks_literal, retrieval.looks_vague, retrieval.oov_ratio, \
retrieval.query_ambiguity, retrieval.query_class, retrieval.query_words, retrieval.rm3_enabled, \
retrieval.symbol_ratio, retrieval.unique_ratio})
  retrieval.hydrate INTERNAL
    duckdb.hydrate INTERNAL
  retrieval.pool INTERNAL
";
    assert_eq!(tree(&spans), expected);
    // A batch can serve many traces, so it has its own.
    let own = spans.iter().filter(|s| s.name != "engine.batch");
    let trace: BTreeSet<_> = own.map(|s| s.span_context.trace_id().to_string()).collect();
    assert_eq!(trace.into_iter().collect::<Vec<_>>(), [report.trace_id]);
}

#[test]
fn spans_carry_the_documented_attributes() {
    let place = many();
    let (spans, _) = search(&place, &place.searcher(), "how is a header parsed");
    let documented: [(&str, &[&str]); 10] = [
        (
            "retrieval.search",
            &[
                "mcp.run_id",
                "mcp.session_id",
                "retrieval.query_text",
                "retrieval.query_len",
                "retrieval.top_k",
                "gen_ai.retrieval.top_k",
                "gen_ai.operation.name",
                "gen_ai.provider.name",
                "retrieval.channels_used",
            ],
        ),
        (
            "retrieval.gating",
            &["retrieval.query_class", "retrieval.query_ambiguity", "retrieval.fusion"],
        ),
        ("retrieval.gather_channels", &["request.stage"]),
        (
            "faiss.search",
            &[
                "faiss.index_kind",
                "faiss.metric",
                "faiss.dim",
                "faiss.k",
                "faiss.nprobe",
                "faiss.gpu",
            ],
        ),
        ("bm25.search", &["retrieval.channel_hits"]),
        ("symbol.search", &["retrieval.channel_hits"]),
        (
            "vllm.embed_batch",
            &[
                "vllm.model_name",
                "gen_ai.request.model",
                "vllm.embed_dim",
                "gen_ai.embeddings.dimension.count",
                "vllm.batch_size",
                "gen_ai.operation.name",
                "gen_ai.provider.name",
                "gen_ai.usage.input_tokens",
                "vllm.queue_ms",
                "vllm.device",
                "vllm.dtype",
            ],
        ),
        ("retrieval.pool", &["retrieval.pool_docs", "retrieval.pool_dropped"]),
        ("retrieval.fuse", &["retrieval.fused_docs"]),
        (
            "duckdb.hydrate",
            &[
                "duckdb.rows",
                "db.response.returned_rows",
                "duckdb.sql_bytes",
                "db.system.name",
                "db.operation.name",
                "db.query.summary",
            ],
        ),
    ];
    for (name, keys) in documented {
        let span = named(&spans, name);
        let lacking: Vec<_> = keys.iter().filter(|key| attribute(span, key).is_none()).collect();
        assert!(lacking.is_empty(), "{name} lacks {lacking:?}");
    }
    let embed = named(&spans, "vllm.embed_batch");
    assert_eq!(embed.span_kind, SpanKind::Client);
    for (key, value) in [
        ("vllm.mode", "inproc"),
        ("vllm.model_name", "bert"),
        ("vllm.embed_dim", "64"),
        ("vllm.batch_size", "1"),
        ("gen_ai.operation.name", "embeddings"),
        ("gen_ai.provider.name", "codeintel"),
    ] {
        assert_eq!(attribute(embed, key).as_deref(), Some(value), "{key}");
    }
    let stages = [
        ("retrieval.search", "search"),
        ("retrieval.gating", "gate"),
        ("retrieval.gather_channels", "gather"),
        ("retrieval.pool", "pool"),
        ("retrieval.fuse", "fuse"),
        ("retrieval.hydrate", "hydrate"),
    ];
    for (name, stage) in stages {
        assert_eq!(attribute(named(&spans, name), "request.stage").as_deref(), Some(stage));
    }
    let root = named(&spans, "retrieval.search");
    assert_eq!(attribute(root, "mcp.run_id").as_deref(), Some("run-7"));
    assert_eq!(attribute(root, "mcp.session_id").as_deref(), Some("session-9"));
}

#[test]
fn a_failing_channel_is_an_error_span_and_a_step_of_the_report() {
    let place = many();
    let stopped = place.engine();
    stopped.stop();
    for engine in [None, Some(stopped)] {
        let (spans, report) = search(&place, &place.searcher_with(engine), "how is a body checked");
        let tree = tree(&spans);
        assert!(tree.contains("vllm.embed_batch CLIENT error=resource-unavailable"), "{tree}");
        let failed = named(&spans, "vllm.embed_batch");
        assert_eq!(failed.events.iter().filter(|e| e.name == "exception").count(), 1, "{tree}");
        assert_eq!(spans.iter().filter(|s| s.status != Status::Unset).count(), 1, "{tree}");
        let warnings = attribute(named(&spans, "retrieval.search"), "codeintel.warnings");
        assert_eq!(warnings.as_deref(), Some("[\"channel-failed\"]"));
        let steps = report.steps.iter().filter(|s| s.status == StepStatus::Error);
        assert_eq!(steps.map(|s| s.stage.name()).collect::<Vec<_>>(), ["embed_query"]);
        assert_eq!(report.stopped_because, "completed");
    }
}

#[test]
fn a_search_in_which_every_channel_fails_keeps_its_warnings() {
    let place = many();
    let exporter = InMemorySpanExporter::default();
    let telemetry = Telemetry::with_exporter(exporter.clone());
    let cx = RunContext::new(&telemetry, Tool::Search, &Searcher::PLANNED);
    let query = only(place.query("zzyzx", 5), &[ChannelName::Dense]);
    let error = place.searcher_with(None).search(&query, &cx).unwrap_err();
    cx.finish(Some(&error));
    let report = cx.report();
    let codes: Vec<_> = report.warnings.iter().map(|warning| warning.code).collect();
    assert_eq!(codes, ["words-not-in-index", "channel-failed"]);
    assert_eq!(report.stopped_because, "embed_query:resource-unavailable");
    let spans = spans(&exporter);
    let warnings = attribute(named(&spans, "retrieval.search"), "codeintel.warnings");
    assert_eq!(warnings.as_deref(), Some("[\"words-not-in-index\",\"channel-failed\"]"));
}

#[test]
fn the_report_lists_the_stages_in_their_order() {
    let place = many();
    let (_, report) = search(&place, &place.searcher(), "how is a token split");
    assert_eq!(
        (report.run_id.as_str(), report.session_id.as_deref()),
        ("run-7", Some("session-9"))
    );
    assert_eq!((report.tool, report.stopped_because.as_str()), (Some(Tool::Search), "completed"));
    assert_eq!(report.last_completed_stage, Some(Stage::Hydrate));
    assert_eq!(report.first_missing_stage, None);
    let top: Vec<_> =
        report.steps.iter().filter(|s| s.depth <= 1).map(|s| s.stage.name()).collect();
    assert_eq!(top, ["search", "gate", "gather", "pool", "fuse", "rerank", "hydrate"]);
    assert!(report.steps.windows(2).all(|pair| pair[0].started <= pair[1].started));
    let whole = report.steps[0].duration;
    assert!(report.steps[1..].iter().all(|step| step.duration <= whole));
    assert_eq!(report.steps.len(), 14);
    let skipped = report.steps.iter().filter(|s| s.status == StepStatus::Skip);
    let expected = [Stage::Path, Stage::Splade, Stage::Rerank];
    assert_eq!(skipped.map(|s| s.stage).collect::<Vec<_>>(), expected);

    let ids: BTreeSet<String> = (0..100).map(|_| cx().run_id().to_owned()).collect();
    assert_eq!(ids.len(), 100, "every run has its own id");
    assert!(ids.iter().all(|id| id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit())));
}

#[test]
fn a_query_is_on_a_span_only_if_a_setting_asks_for_it() {
    let place = many();
    let text = "how is the zebrafish header parsed";
    let hash = format!("blake3:{}", &blake3::hash(text.as_bytes()).to_hex()[..16]);
    assert_eq!(Settings::default().telemetry.capture_query, CaptureQuery::Hash);
    for (capture, expected) in [
        (CaptureQuery::Full, Some(text)),
        (CaptureQuery::Hash, Some(hash.as_str())),
        (CaptureQuery::None, None),
    ] {
        let mut settings = place.settings.clone();
        settings.telemetry.capture_query = capture;
        let version = place.version();
        for engine in [None, Some(place.engine())] {
            let searcher = Searcher::open(version.clone(), engine, &settings).unwrap();
            let (spans, _) = search(&place, &searcher, &format!("  {text}\n"));
            let root = named(&spans, "retrieval.search");
            assert_eq!(attribute(root, "retrieval.query_text").as_deref(), expected);
            let leaked = format!("{spans:?}").contains("zebrafish");
            assert_eq!(leaked, capture == CaptureQuery::Full, "{capture}");
        }
    }
}

#[test]
fn an_ingest_is_this_tree_of_spans() {
    let place = Place::new(&[("a.py", "def a():\n    return 1\n"), ("b.rs", "fn b() {}\n")]);
    let exporter = InMemorySpanExporter::default();
    let telemetry = Telemetry::with_exporter(exporter.clone());
    let pipeline = place.ingest();
    let ingest = || {
        exporter.reset();
        let cx = RunContext::new(&telemetry, Tool::Ingest, &Ingest::PLANNED);
        pipeline.run(&[place.repo().to_path_buf()], false, &cx).unwrap();
        (spans(&exporter), cx.report())
    };
    let (first, report) = ingest();
    let expected = "\
engine.batch INTERNAL -> vllm.embed_batch
ingest.run INTERNAL
  ingest.build INTERNAL
    vllm.embed_batch CLIENT
  ingest.catalog INTERNAL
  ingest.diff INTERNAL
  ingest.facts INTERNAL
  ingest.index INTERNAL
  ingest.publish INTERNAL
  ingest.walk INTERNAL
";
    assert_eq!(tree(&first), expected);
    assert_eq!(report.stopped_because, "completed");
    let top: Vec<_> =
        report.steps.iter().filter(|s| s.depth == 1).map(|s| s.stage.name()).collect();
    assert_eq!(top, ["walk", "diff", "build", "facts", "index", "catalog", "publish"]);
    let root = named(&first, "ingest.run");
    assert_eq!(attribute(root, "codeintel.index.version").as_deref(), Some("000001"));
    assert_eq!(attribute(root, "codeintel.files").as_deref(), Some("2"));

    let (again, _) = ingest();
    let unchanged = "ingest.run INTERNAL\n  ingest.diff INTERNAL\n  ingest.walk INTERNAL\n";
    assert_eq!(tree(&again), unchanged, "nothing changed, so nothing is built");
}

#[test]
fn a_failing_ingest_reports_where_it_stopped() {
    let place = Place::new(&[]);
    let exporter = InMemorySpanExporter::default();
    let telemetry = Telemetry::with_exporter(exporter.clone());
    let cx = RunContext::new(&telemetry, Tool::Ingest, &Ingest::PLANNED);
    place.ingest().run(&[place.repo().to_path_buf()], false, &cx).unwrap_err();
    let tree = tree(&spans(&exporter));
    assert!(tree.contains("ingest.walk INTERNAL error=nothing-to-index"), "{tree}");
    assert_eq!(cx.report().stopped_because, "walk:nothing-to-index");
}

#[test]
fn telemetry_is_installed_once() {
    let install = || Telemetry::install(&TelemetryConfig::default()).unwrap();
    let first = install();
    let second = install();
    let trace = || {
        let cx = RunContext::new(&second, Tool::Search, &[Stage::Gate]);
        assert_eq!(cx.stage(Stage::Gate, |_| Ok(7)).unwrap(), 7);
        assert_eq!(cx.report().stopped_because, "completed");
        cx.finish(None);
        (cx.run_id().to_owned(), cx.trace_id())
    };
    let (run_id, trace_id) = trace();
    assert_eq!(first.run(&run_id).unwrap().trace_id, trace_id, "both have the same runs");
    // Shutting one down shuts down the other, and runs still work.
    first.shutdown();
    trace();
}
