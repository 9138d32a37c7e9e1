//! What kind of question is this, and how deep should each channel look?
//!
//! The features come from the index's own vocabulary (is the word a symbol here, how rare is it?),
//! so that an English word is not taken for code because it could be an identifier.

use super::query::{Channel, Query};
use crate::error::{Result, Warning};
use crate::telemetry::{StageSpan, attrs};

/// What the gate knows of the index.
pub trait Vocabulary {
    /// Whether a definition has exactly this name.
    fn is_symbol(&self, word: &str) -> bool;
    /// The share of chunks that hold the word, 0 to 1.
    fn share(&self, word: &str) -> f64;
}

/// What sort of thing was typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QueryClass {
    Identifier,
    Path,
    Literal,
    ErrorText,
    NaturalLanguage,
    Mixed,
}

impl QueryClass {
    pub const ALL: [QueryClass; 6] = [
        Self::Identifier,
        Self::Path,
        Self::Literal,
        Self::ErrorText,
        Self::NaturalLanguage,
        Self::Mixed,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Identifier => "identifier",
            Self::Path => "path",
            Self::Literal => "literal",
            Self::ErrorText => "error_text",
            Self::NaturalLanguage => "natural_language",
            Self::Mixed => "mixed",
        }
    }
}

/// The features of a query.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryProfile {
    /// Words.
    pub length: usize,
    /// Distinct words over words.
    pub unique_ratio: f64,
    /// Words that look like code over words.
    pub code_token_ratio: f64,
    /// Digits over characters.
    pub digit_ratio: f64,
    /// Punctuation over characters.
    pub symbol_ratio: f64,
    /// Words that no chunk holds over words.
    pub oov_ratio: f64,
    pub looks_literal: bool,
    pub looks_vague: bool,
    /// 0 (plain) to 1 (could mean anything).
    pub ambiguity_score: f64,
    pub class: QueryClass,
}

/// What the gate decided for one query.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub profile: QueryProfile,
    pub rrf_k: usize,
    /// Channel, hits asked of it, weight in the fusion; only channels that were asked for.
    pub channels: Vec<(Channel, usize, f64)>,
    pub warnings: Vec<Warning>,
}

impl Plan {
    pub fn weight(&self, channel: Channel) -> f64 {
        self.channels.iter().find(|(c, ..)| *c == channel).map_or(0.0, |(.., weight)| *weight)
    }
}

/// Profiles the query and decides its budgets.
pub fn plan(query: &Query, vocabulary: &impl Vocabulary, span: &mut StageSpan) -> Result<Plan> {
    let profile = profile(&query.text, vocabulary);
    let plan = decide(profile, query);
    span.set(attrs::QUERY_CLASS, plan.profile.class.as_str());
    span.set(attrs::AMBIGUITY, plan.profile.ambiguity_score);
    span.set(attrs::RRF_K, plan.rrf_k);
    let depths = plan.channels.iter().map(|(c, depth, _)| format!("{}={depth}", c.as_str()));
    let depths = depths.collect::<Vec<_>>().join(",");
    span.event(
        "retrieval.gating.decision",
        &[
            (attrs::QUERY_CLASS, plan.profile.class.as_str().into()),
            (attrs::RRF_K, plan.rrf_k.into()),
            (attrs::CHANNEL_DEPTHS, depths.into()),
        ],
    );
    Ok(plan)
}

/// A word that no English sentence would hold: it has an underscore, inner capitals, a scope
/// operator, a call, or letters mixed with digits.
fn looks_like_code(word: &str) -> bool {
    let word = word.trim_matches(|c: char| ",.?!;\"".contains(c));
    let mut chars = word.chars();
    let first_upper = chars.next().is_some_and(char::is_uppercase);
    let inner_upper = chars.clone().any(char::is_uppercase);
    let lower = word.chars().any(char::is_lowercase);
    let letters = word.chars().any(char::is_alphabetic);
    let camel = lower && inner_upper && !(first_upper && word.len() <= 3);
    let snake = letters && word.trim_matches('_').contains('_');
    let dotted = word.split_once('.').is_some_and(|(head, tail)| {
        head.len() > 1 && tail.starts_with(|c: char| c.is_alphabetic() || c == '_')
    });
    let operators = ["::", "->", "()", "=>", "&&", "||", "=="];
    let coded = word.len() > 1 && letters && word.chars().any(|c| c.is_ascii_digit());
    camel || snake || dotted || coded || operators.iter().any(|op| word.contains(op))
}

fn looks_like_path(word: &str) -> bool {
    const EXTENSIONS: [&str; 24] = [
        "rs", "py", "ts", "tsx", "js", "jsx", "go", "java", "c", "h", "cc", "cpp", "hpp", "cs",
        "rb", "php", "sh", "json", "yaml", "yml", "toml", "html", "css", "md",
    ];
    let word = word.trim_end_matches([',', '?', '!', ';', ':']);
    let slashes = word.contains('/') && !word.contains("//") && word.len() > 2;
    let extension = word.rsplit_once('.').is_some_and(|(stem, extension)| {
        !stem.is_empty() && EXTENSIONS.contains(&extension.to_ascii_lowercase().as_str())
    });
    slashes || extension
}

/// Whether the text reads like a message a program printed.
fn looks_like_error(text: &str) -> bool {
    const MARKS: [&str; 16] = [
        "error:",
        "exception:",
        "error[",
        "panicked at",
        "traceback",
        "segmentation fault",
        "undefined reference",
        "cannot find",
        "no such file",
        "failed to",
        "cannot borrow",
        "errno",
        "stack overflow",
        "permission denied",
        "is not defined",
        "exception in thread",
    ];
    let lower = text.to_lowercase();
    let asks = ["how ", "where ", "what ", "which ", "why ", "when ", "who "];
    let asked = asks.iter().any(|word| lower.starts_with(word)) || lower.ends_with('?');
    let typed = text.split_whitespace().next().is_some_and(|word| {
        word.ends_with(':') && (word.contains("Error") || word.contains("Exception"))
    });
    !asked && (typed || MARKS.iter().any(|mark| lower.contains(mark)))
}

fn profile(text: &str, vocabulary: &impl Vocabulary) -> QueryProfile {
    let words: Vec<&str> = text.split_whitespace().collect();
    let length = words.len();
    let ratio = |count: usize| count as f64 / length.max(1) as f64;
    let lower: std::collections::HashSet<String> = words.iter().map(|w| w.to_lowercase()).collect();
    let bare = |w: &&str| w.trim_matches(|c: char| !c.is_alphanumeric() && c != '_').to_owned();
    let names: Vec<String> = words.iter().map(bare).collect();

    let chars = text.chars().count().max(1) as f64;
    let share_of =
        |test: fn(char) -> bool| text.chars().filter(|c| test(*c)).count() as f64 / chars;
    let is_punctuation = |c: char| c.is_ascii_punctuation() && !"?.,'-_".contains(c);
    let digit_ratio = share_of(|c| c.is_ascii_digit());
    let symbol_ratio = share_of(is_punctuation);

    let code = words.iter().filter(|word| looks_like_code(word)).count();
    let paths = words.iter().filter(|word| looks_like_path(word)).count();
    let oov = names.iter().filter(|name| vocabulary.share(name) == 0.0).count();
    let quoted = text.len() > 2
        && [('"', '"'), ('\'', '\''), ('`', '`')]
            .iter()
            .any(|(open, close)| text.starts_with(*open) && text.ends_with(*close));

    let class = classify(text, &words, &names, vocabulary, (code, paths, quoted, symbol_ratio));
    let looks_literal = matches!(
        class,
        QueryClass::Identifier | QueryClass::Path | QueryClass::Literal | QueryClass::ErrorText
    );
    // Words that a tenth of all chunks hold say little about which chunk is meant.
    let common = names.iter().filter(|name| vocabulary.share(name) > 0.1).count();
    let looks_vague = !looks_literal && length <= 3 && code == 0;
    let mut ambiguity_score: f64 = if looks_vague { 0.5 } else { 0.1 };
    ambiguity_score += 0.3 * ratio(common) + 0.3 * ratio(oov);
    if looks_literal {
        ambiguity_score -= 0.4;
    }
    QueryProfile {
        length,
        unique_ratio: ratio(lower.len()),
        code_token_ratio: ratio(code),
        digit_ratio,
        symbol_ratio,
        oov_ratio: ratio(oov),
        looks_literal,
        looks_vague,
        ambiguity_score: ambiguity_score.clamp(0.0, 1.0),
        class,
    }
}

fn classify(
    text: &str,
    words: &[&str],
    names: &[String],
    vocabulary: &impl Vocabulary,
    (code, paths, quoted, symbol_ratio): (usize, usize, bool, f64),
) -> QueryClass {
    if quoted {
        return QueryClass::Literal;
    }
    if looks_like_error(text) {
        return QueryClass::ErrorText;
    }
    if let [word] = words {
        // A name like `Vec::new` is no path, and `src/lib.rs` is no name.
        return match word {
            word if looks_like_path(word) && !word.contains("::") => QueryClass::Path,
            word if looks_like_code(word) || vocabulary.is_symbol(&names[0]) => {
                QueryClass::Identifier
            }
            _ if symbol_ratio > 0.2 => QueryClass::Literal,
            word if word.chars().all(char::is_uppercase) && word.len() > 1 => {
                QueryClass::Identifier
            }
            _ => QueryClass::NaturalLanguage,
        };
    }
    if paths == words.len() {
        return QueryClass::Path;
    }
    // A line of code: brackets, operators and semicolons between its words.
    if symbol_ratio > 0.08 && !text.ends_with('?') {
        return QueryClass::Literal;
    }
    match code + paths {
        0 => QueryClass::NaturalLanguage,
        n if n == words.len() => QueryClass::Identifier,
        _ => QueryClass::Mixed,
    }
}

fn decide(profile: QueryProfile, query: &Query) -> Plan {
    // Depths and weights for dense, lexical, symbol.
    let (rrf_k, depths, weights) = match profile.class {
        QueryClass::Identifier => (40, [80, 80, 50], [0.5, 1.0, 2.0]),
        QueryClass::Path => (40, [80, 80, 30], [0.4, 1.5, 0.3]),
        QueryClass::Literal | QueryClass::ErrorText => (40, [80, 80, 30], [0.7, 1.2, 0.3]),
        QueryClass::NaturalLanguage if profile.looks_vague => (90, [150, 60, 50], [1.0, 0.8, 0.5]),
        QueryClass::NaturalLanguage => (60, [100, 50, 50], [1.0, 0.8, 0.2]),
        QueryClass::Mixed => (60, [100, 80, 50], [1.0, 1.0, 0.8]),
    };
    // A channel looks at least as deep as the answer is long.
    let budget =
        |channel: Channel| (depths[channel as usize].max(query.limit), weights[channel as usize]);
    let channels = query.channels.iter().map(|&channel| {
        let (depth, weight) = budget(channel);
        (channel, depth, weight)
    });
    let mut warnings = Vec::new();
    if profile.oov_ratio == 1.0 {
        let message = "no word of the query occurs in the index; only meaning was searched";
        warnings.push(Warning::new("words-not-in-index", message));
    }
    Plan { rrf_k, channels: channels.collect(), warnings, profile }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Words;
    impl Vocabulary for Words {
        fn is_symbol(&self, word: &str) -> bool {
            ["retry", "Searcher", "main", "open"].contains(&word)
        }
        fn share(&self, word: &str) -> f64 {
            match word {
                "the" | "a" | "is" => 0.9,
                "zzyzx" => 0.0,
                _ => 0.01,
            }
        }
    }

    #[test]
    fn labelled_queries_get_their_class() {
        let labelled = include_str!("../../tests/data/gate_queries.tsv");
        let mut wrong = Vec::new();
        let mut total = 0;
        for line in labelled.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let (label, text) = line.split_once('\t').expect("class, tab, query");
            let got = profile(text, &Words).class.as_str();
            total += 1;
            if got != label {
                wrong.push(format!("{text:?}: expected {label}, got {got}"));
            }
        }
        assert!(total >= 120, "only {total} labelled queries");
        let right = 1.0 - wrong.len() as f64 / total as f64;
        assert!(right >= 0.95, "{:.1} % right:\n{}", right * 100.0, wrong.join("\n"));
    }

    #[test]
    fn an_english_word_is_not_code_and_a_symbol_of_this_index_is() {
        assert_eq!(profile("timeout", &Words).class, QueryClass::NaturalLanguage);
        assert_eq!(profile("retry", &Words).class, QueryClass::Identifier);
        assert!(profile("zzyzx", &Words).oov_ratio == 1.0);
    }

    #[test]
    fn channels_look_at_least_as_deep_as_the_answer_is_long() {
        let settings = crate::config::Settings::default();
        let query = Query::new("how is a lock taken", 180, &settings).unwrap();
        let plan = decide(profile(&query.text, &Words), &query);
        assert!(plan.channels.iter().all(|(_, depth, _)| *depth >= 180));
        assert_eq!(plan.rrf_k, 60);
    }
}
