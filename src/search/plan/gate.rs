//! The gate: the depth and the weight of each channel for a query.

use super::profile::{QueryClass, QueryProfile, Vocabulary, profile};
use crate::base::config::{FusionChoice, SearchSettings};
use crate::base::error::{Result, Warning};
use crate::base::telemetry::StageSpan;
use crate::base::telemetry::attrs::{self, Attr, AttrValue};
use crate::search::channels::{ChannelName, names_a_file};
use crate::search::fuse::Fusion;
use crate::search::query::Query;
use crate::search::rank::Policy;

/// The gate's decisions for one query.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub profile: QueryProfile,
    pub fusion: Fusion,
    pub(in crate::search) policy: Policy,
    /// Whether the lexical channel searches again with words of its best chunks.
    pub rm3: bool,
    /// One leg for each requested channel.
    pub legs: Vec<Leg>,
    pub warnings: Vec<Warning>,
}

/// The budget of one channel for a query.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Leg {
    pub channel: ChannelName,
    /// Maximum hits that the channel returns.
    pub depth: usize,
    /// The weight of its ranks in the fusion.
    pub weight: f64,
}

impl Plan {
    pub fn leg(&self, channel: ChannelName) -> Option<&Leg> {
        self.legs.iter().find(|leg| leg.channel == channel)
    }

    /// The depth of each channel, as an attribute.
    pub fn depths(&self) -> String {
        attrs::to_label_str(self.legs.iter().map(|leg| (leg.channel.as_str(), leg.depth)))
    }

    fn weights(&self) -> String {
        attrs::to_label_str(self.legs.iter().map(|leg| (leg.channel.as_str(), leg.weight)))
    }

    /// The profile and the decisions, as attributes.
    fn attributes(&self) -> Vec<(Attr, AttrValue)> {
        let profile = &self.profile;
        let codes = self.warnings.iter().map(|warning| warning.code.to_owned());
        [
            (attrs::QUERY_CLASS, profile.class.as_str().into()),
            (attrs::AMBIGUITY, profile.ambiguity_score.into()),
            (attrs::QUERY_WORDS, profile.length.into()),
            (attrs::UNIQUE_RATIO, profile.unique_ratio.into()),
            (attrs::CODE_TOKEN_RATIO, profile.code_token_ratio.into()),
            (attrs::DIGIT_RATIO, profile.digit_ratio.into()),
            (attrs::SYMBOL_RATIO, profile.symbol_ratio.into()),
            (attrs::OOV_RATIO, profile.oov_ratio.into()),
            (attrs::LOOKS_LITERAL, profile.looks_literal.into()),
            (attrs::LOOKS_VAGUE, profile.looks_vague.into()),
            (attrs::FUSION, self.fusion.as_str().into()),
            (attrs::CHANNEL_DEPTHS, self.depths().into()),
            (attrs::CHANNEL_WEIGHTS, self.weights().into()),
            (attrs::RM3, self.rm3.into()),
            (attrs::WARNINGS, codes.collect::<Vec<_>>().into()),
        ]
        .into_iter()
        .chain(self.fusion.rrf_k().map(|k| (attrs::RRF_K, k.into())))
        .collect()
    }
}

/// Profiles the query and decides its budgets.
pub fn plan(
    query: &Query,
    vocabulary: &impl Vocabulary,
    settings: &SearchSettings,
    span: &mut StageSpan,
) -> Result<Plan> {
    let plan = decide(profile(&query.text, vocabulary), query, settings);
    let attributes = plan.attributes();
    span.event("retrieval.gating.decision", &attributes);
    attributes.into_iter().for_each(|(key, value)| span.set(key, value));
    let cx = span.cx();
    plan.warnings.iter().for_each(|warning| cx.warn(warning.clone()));
    cx.instruments().gated(cx.tool(), plan.fusion.rrf_k(), plan.profile.ambiguity_score);
    Ok(plan)
}

fn decide(profile: QueryProfile, query: &Query, settings: &SearchSettings) -> Plan {
    let k = match profile.class {
        QueryClass::Identifier | QueryClass::Path => 40,
        QueryClass::Literal | QueryClass::ErrorText => 40,
        QueryClass::NaturalLanguage if profile.looks_vague => 90,
        QueryClass::NaturalLanguage | QueryClass::Mixed => 60,
    };
    let unknown_name = profile.class == QueryClass::Identifier && profile.oov_ratio > 0.0;
    let fusion = match settings.fusion {
        FusionChoice::Convex => Fusion::Convex { near_misses: unknown_name },
        FusionChoice::Rrf => Fusion::ReciprocalRank { k },
    };
    // Most queries name no file, and are not looked up among the paths.
    let is_wanted = |channel: &ChannelName| {
        *channel != ChannelName::Path || query.channels.len() == 1 || names_a_file(&query.text.raw)
    };
    let legs = query.channels.iter().copied().filter(is_wanted).map(|channel| {
        let leg = budget(channel, &profile);
        // A channel returns at least as many hits as the answer may have.
        Leg { depth: leg.depth.max(query.limit), ..leg }
    });
    let legs = legs.collect();
    let mut warnings = Vec::new();
    if profile.oov_ratio == 1.0 {
        let message = "no word of the query occurs in the index; only the dense channel can match";
        warnings.push(Warning::new("words-not-in-index", message));
    }
    let (policy, rm3) = (class_weights(&profile).policy, query.rm3.unwrap_or(settings.rm3));
    Plan { fusion, policy, rm3, legs, warnings, profile }
}

/// How much the channels count for a class of query, and how far the factors do.
struct ClassWeights {
    dense: f64,
    lexical: f64,
    symbol: f64,
    path: f64,
    policy: Policy,
}

const fn row(channels: [f64; 4], factors: [f64; 3]) -> ClassWeights {
    let ([dense, lexical, symbol, path], [strength, definition, repetition]) = (channels, factors);
    let policy = Policy { strength, definition, repetition };
    ClassWeights { dense, lexical, symbol, path, policy }
}

/// Words from which on prose that is no question describes what the code does, and does not only name a
/// subject.
const DESCRIPTION_WORDS_MIN: usize = 6;

/// The weights of dense, lexical, symbol and path, then the powers of all factors and of the one of
/// definitions, and the factor of repetitions. A name that the index does not have at all is looked
/// for among the near misses.
fn class_weights(profile: &QueryProfile) -> ClassWeights {
    let is_description = !profile.is_question && profile.length >= DESCRIPTION_WORDS_MIN;
    match profile.class {
        QueryClass::Identifier if profile.oov_ratio == 0.0 => {
            row([0.1, 0.9, 8.0, 1.0], [0.45, 1.0, 0.75])
        }
        QueryClass::Identifier => row([0.05, 0.95, 8.5, 1.0], [0.2, 1.0, 0.9]),
        QueryClass::Path => row([0.2, 0.8, 0.1, 3.0], [1.0, 1.0, 0.6]),
        QueryClass::Literal => row([0.15, 0.85, 0.0, 0.5], [0.0, 1.0, 1.0]),
        QueryClass::ErrorText => row([0.35, 0.65, 0.05, 1.5], [0.0, 1.0, 1.0]),
        QueryClass::NaturalLanguage if is_description => row([0.5, 0.5, 0.2, 0.5], [1.0, 2.0, 0.8]),
        QueryClass::NaturalLanguage if profile.is_question => {
            row([0.65, 0.35, 0.2, 0.5], [1.0, 1.0, 0.6])
        }
        QueryClass::NaturalLanguage => row([0.57, 0.43, 0.2, 0.5], [1.0, 1.0, 0.6]),
        QueryClass::Mixed => row([0.35, 0.65, 0.3, 0.5], [1.0, 1.0, 0.7]),
    }
}

/// The weight of learned sparse vectors, which no set was large enough to learn.
const SPARSE: f64 = 0.2;
const SPARSE_LITERAL: f64 = 0.05;

/// Depth and weight of a channel for a class of query.
fn budget(channel: ChannelName, profile: &QueryProfile) -> Leg {
    let row = class_weights(profile);
    // Half as deep costs 0.013 of nDCG@10: the files of the answer have less support.
    let (depth, weight) = match channel {
        ChannelName::Dense => (200, row.dense),
        ChannelName::Lexical => (200, row.lexical),
        ChannelName::Symbol => (100, row.symbol),
        ChannelName::Path => (50, row.path),
        ChannelName::Sparse if profile.looks_literal => (30, SPARSE_LITERAL),
        ChannelName::Sparse => (if profile.looks_vague { 80 } else { 50 }, SPARSE),
    };
    Leg { channel, depth, weight }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Words;
    impl Vocabulary for Words {
        fn is_symbol(&self, _: &str) -> bool {
            false
        }
        fn share(&self, word: &str) -> f64 {
            if word.starts_with("zzyzx") { 0.0 } else { 0.01 }
        }
        fn chunks(&self) -> usize {
            1000
        }
    }

    fn plan_of(text: &str, limit: usize) -> Plan {
        let settings = SearchSettings::default();
        let query = Query::new(text, limit, &settings).unwrap();
        decide(profile(&query.text, &Words), &query, &settings)
    }

    #[test]
    fn channels_look_at_least_as_deep_as_the_answer_is_long() {
        let plan = plan_of("how is a lock taken", 180);
        assert!(plan.legs.iter().all(|leg| leg.depth >= 180));
        assert_eq!(plan.fusion, Fusion::Convex { near_misses: false });
    }

    #[test]
    fn each_class_of_query_has_its_own_budgets() {
        // Depth and weight of dense, lexical, symbol, path if the query has one, and sparse.
        for (text, expected) in [
            ("parse_url", "200 0.1, 200 0.9, 100 8, 30 0.05"),
            ("zzyzx_url", "200 0.05, 200 0.95, 100 8.5, 30 0.05"),
            ("src/lib.rs", "200 0.2, 200 0.8, 100 0.1, 50 3, 30 0.05"),
            ("\"a lock is\"", "200 0.15, 200 0.85, 100 0, 30 0.05"),
            ("TypeError: data is not iterable", "200 0.35, 200 0.65, 100 0.05, 30 0.05"),
            ("rate limiter", "200 0.57, 200 0.43, 100 0.2, 80 0.2"),
            ("how is a lock taken", "200 0.65, 200 0.35, 100 0.2, 50 0.2"),
            ("takes a lock until it is dropped", "200 0.5, 200 0.5, 100 0.2, 50 0.2"),
            ("how does parse_url work", "200 0.35, 200 0.65, 100 0.3, 50 0.2"),
            ("how does src/lib.rs work", "200 0.35, 200 0.65, 100 0.3, 50 0.5, 50 0.2"),
        ] {
            let plan = plan_of(text, 10);
            let legs: Vec<_> =
                plan.legs.iter().map(|leg| format!("{} {}", leg.depth, leg.weight)).collect();
            assert_eq!(legs.join(", "), expected, "{text}");
        }
        assert_eq!(plan_of("zzyzx", 10).warnings[0].code, "words-not-in-index");
    }
}
