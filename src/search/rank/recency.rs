//! The recency factor, which raises the score of files that a recent commit changed.

use std::time::{Duration, SystemTime};

use crate::base::config::SearchSettings;
use crate::index::QueryText;
use crate::search::plan::QueryClass;

const SECONDS_PER_DAY: u64 = 24 * 60 * 60;

/// Words that ask for what is recent, and pairs of words that do: `latest` alone is more often the
/// latest version of something.
const WORDS: [&str; 2] = ["recent", "recently"];
const LAST: [&str; 3] = ["last", "latest", "newest"];
const CHANGE: [&str; 8] =
    ["change", "changes", "changed", "commit", "commits", "edit", "edits", "modified"];

/// How much a recent change raises a score. The factor of a file is
/// `1 + boost_max · 0.5^(age / half_life)`, with the age of its last commit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Recency {
    now_s: i64,
    half_life: Duration,
    boost_max: f64,
}

impl Recency {
    /// The factor for a query; `None` if it is not asked for. A query in plain words that speaks of
    /// recent changes asks for twice the boost of the settings.
    ///
    /// asked: whether the caller asks for it, if the caller decides.
    pub fn of(
        query: &QueryText,
        class: QueryClass,
        asked: Option<bool>,
        settings: &SearchSettings,
    ) -> Option<Self> {
        let is_prose = matches!(class, QueryClass::NaturalLanguage | QueryClass::Mixed);
        let says_so = is_prose && speaks_of_recent_changes(query);
        if !asked.unwrap_or(says_so) {
            return None;
        }
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let stronger = if says_so { 2.0 } else { 1.0 };
        Some(Self {
            now_s: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
            half_life: Duration::from_secs(settings.recency_half_life_days * SECONDS_PER_DAY),
            boost_max: settings.recency_boost_max * stronger,
        })
    }

    /// The factor of a file, at least 1. commit_time_s: when it was last committed, in seconds since
    /// 1970; 1 if that is not known.
    pub fn factor(&self, commit_time_s: Option<i64>) -> f64 {
        let Some(time_s) = commit_time_s else { return 1.0 };
        // A commit from a clock that is ahead is as recent as one of now.
        let age_s = self.now_s.saturating_sub(time_s).max(0) as f64;
        1.0 + self.boost_max * 0.5f64.powf(age_s / self.half_life.as_secs_f64())
    }
}

fn speaks_of_recent_changes(query: &QueryText) -> bool {
    let words: Vec<String> = query.words.iter().map(|word| word.to_lowercase()).collect();
    let any = |of: &[&str]| words.iter().any(|word| of.contains(&word.as_str()));
    any(&WORDS) || any(&LAST) && any(&CHANGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, class: QueryClass, asked: Option<bool>) -> Option<Recency> {
        let settings = SearchSettings::default();
        let recency = Recency::of(&QueryText::new(text), class, asked, &settings)?;
        Some(Recency { now_s: 100 * 86_400, ..recency })
    }

    #[test]
    fn the_boost_halves_with_each_half_life() {
        let recency = of("x", QueryClass::Identifier, Some(true)).unwrap();
        let days_ago = |days: i64| recency.factor(Some((100 - days) * 86_400));
        for (days, factor) in [(-5, 1.15), (0, 1.15), (30, 1.075), (60, 1.0375)] {
            assert!((days_ago(days) - factor).abs() < 1e-12, "{days}: {}", days_ago(days));
        }
        assert!(days_ago(i64::from(u32::MAX) / 86_400) >= 1.0);
        assert_eq!(recency.factor(Some(i64::MIN)), 1.0);
        assert_eq!(recency.factor(None), 1.0);
    }

    #[test]
    fn a_question_about_recent_changes_asks_for_it_unless_the_caller_declines() {
        use QueryClass::{Identifier, NaturalLanguage};
        let question = "what was changed recently in the scheduler";
        let boosted = of(question, NaturalLanguage, None).unwrap();
        assert_eq!(boosted.factor(Some(100 * 86_400)), 1.3);
        assert!(of("the latest changes of the parser", NaturalLanguage, None).is_some());
        assert_eq!(of(question, NaturalLanguage, Some(false)), None);
        for (text, class) in [
            ("parse the latest version", NaturalLanguage),
            ("change the last line", Identifier),
            ("recent", Identifier),
            ("how are files read", NaturalLanguage),
        ] {
            assert_eq!(of(text, class, None), None, "{text}");
        }
    }
}
