//! Channels that fail or miss the deadline, and an index of another model.

use codeintel::base::error::ErrorKind;
use codeintel::base::telemetry::{RunReport, Stage, StepStatus};
use codeintel::search::{ChannelName, Searcher};

use crate::support::{CONTENT_CHANNELS, PATIENCE, ask, cx, many, only};

fn has_warning(report: &RunReport, code: &str, channel: &str) -> bool {
    report.warnings.iter().any(|w| w.code == code && w.message.contains(channel))
}

#[test]
fn a_failing_channel_is_a_warning_beside_the_answer() {
    let place = many();
    let stopped = place.engine();
    stopped.stop();
    for engine in [None, Some(stopped)] {
        let answer = ask(&place.searcher_with(engine), &place.query("parse_header", 5));
        assert!(answer.findings.len() > 1);
        assert_eq!(answer.channels_used, [ChannelName::Lexical, ChannelName::Symbol]);
        let limit = answer.limits.iter().find(|limit| limit.contains("dense"));
        assert!(limit.is_some_and(|l| l.contains("left out")), "{:?}", answer.limits);
        let report = &answer.report;
        assert!(has_warning(report, "channel-failed", "dense"), "{:?}", report.warnings);
        assert_eq!(report.stopped_because, "completed");
        let failed: Vec<_> =
            report.steps.iter().filter(|s| s.status == StepStatus::Error).collect();
        assert_eq!(failed.len(), 1, "the report names the step that failed");
        assert_eq!(failed[0].stage, Stage::EmbedQuery);
    }
}

#[test]
fn a_search_whose_channels_all_fail_fails() {
    let place = many();
    let searcher = place.searcher_with(None);
    let cx = cx();
    let query = only(place.query("parse_header", 5), &[ChannelName::Dense]);
    let error = searcher.search(&query, &cx).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    let report = cx.report();
    assert_eq!(report.stopped_because, "embed_query:resource-unavailable");
    assert_eq!(report.last_completed_stage, Some(Stage::Gate));
    assert_eq!(report.first_missing_stage, Some(Stage::Gather));
}

#[test]
fn a_late_channel_is_left_out_at_the_deadline() {
    let place = many();
    let mut settings = place.settings.clone();
    settings.search.deadline_ms = 1;
    let version = place.version();
    let searcher = Searcher::open(version, Some(place.engine()), &settings).unwrap();
    let mut late = 0;
    for i in 0..20 {
        // A text that is not in the cache, so that the dense channel has work to do.
        let query = place.query(&format!("how is header {i} parsed {}", "again ".repeat(90)), 5);
        let cx = cx();
        match searcher.search(&query, &cx) {
            Ok(answer) => {
                let missing = CONTENT_CHANNELS.iter().filter(|c| !answer.channels_used.contains(c));
                for channel in missing {
                    late += 1;
                    assert!(has_warning(&answer.report, "channel-late", channel.as_str()));
                    let named = |limit: &String| limit.contains(channel.as_str());
                    assert!(answer.limits.iter().any(named), "{:?}", answer.limits);
                }
            }
            Err(error) => {
                late += CONTENT_CHANNELS.len();
                assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
                assert!(error.to_string().contains("1 ms"), "{error}");
            }
        }
    }
    assert!(late > 0, "no channel was ever late within 1 ms");
    // The late searches do not hold the threads of later ones, and a run's own deadline goes before
    // that of the settings.
    let patient = cx().with_deadline(PATIENCE);
    let answer = searcher.search(&place.query("parse_header", 5), &patient).unwrap();
    assert_eq!(answer.channels_used, CONTENT_CHANNELS);
}

#[test]
fn an_index_of_another_model_is_refused_with_both_names() {
    let place = many();
    let mut version = place.version();
    version.manifest.model.key = "another-key".to_owned();
    let error = Searcher::open(version, Some(place.engine()), &place.settings).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::IndexMismatch);
    assert!(error.to_string().contains("another-key") && error.to_string().contains("bert"));
}
