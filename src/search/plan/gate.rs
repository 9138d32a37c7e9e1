//! The gate: the depth and the weight of each channel for a query.

use super::profile::{QueryClass, QueryProfile, Vocabulary, profile};
use crate::base::error::{Result, Warning};
use crate::base::telemetry::StageSpan;
use crate::base::telemetry::attrs::{self, Attr, AttrValue};
use crate::search::channels::ChannelName;
use crate::search::query::Query;

/// The gate's decisions for one query.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub profile: QueryProfile,
    pub rrf_k: usize,
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
        vec![
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
            (attrs::RRF_K, self.rrf_k.into()),
            (attrs::CHANNEL_DEPTHS, self.depths().into()),
            (attrs::CHANNEL_WEIGHTS, self.weights().into()),
            (attrs::WARNINGS, codes.collect::<Vec<_>>().into()),
        ]
    }
}

/// Profiles the query and decides its budgets.
pub fn plan(query: &Query, vocabulary: &impl Vocabulary, span: &mut StageSpan) -> Result<Plan> {
    let plan = decide(profile(&query.text, vocabulary), query);
    let attributes = plan.attributes();
    span.event("retrieval.gating.decision", &attributes);
    attributes.into_iter().for_each(|(key, value)| span.set(key, value));
    let cx = span.cx();
    plan.warnings.iter().for_each(|warning| cx.warn(warning.clone()));
    cx.instruments().gated(cx.tool(), plan.rrf_k, plan.profile.ambiguity_score);
    Ok(plan)
}

fn decide(profile: QueryProfile, query: &Query) -> Plan {
    let rrf_k = match profile.class {
        QueryClass::Identifier | QueryClass::Path => 40,
        QueryClass::Literal | QueryClass::ErrorText => 40,
        QueryClass::NaturalLanguage if profile.looks_vague => 90,
        QueryClass::NaturalLanguage | QueryClass::Mixed => 60,
    };
    let legs = query.channels.iter().map(|&channel| {
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
    Plan { rrf_k, legs, warnings, profile }
}

/// Depth and weight of a channel for a class of query.
fn budget(channel: ChannelName, profile: &QueryProfile) -> Leg {
    use ChannelName::*;
    use QueryClass::*;
    let vague = profile.looks_vague;
    let (depth, weight) = match (channel, profile.class) {
        (Dense, Identifier) => (80, 0.5),
        (Dense, Path) => (80, 0.4),
        (Dense, Literal | ErrorText) => (80, 0.7),
        (Dense, NaturalLanguage) if vague => (150, 1.0),
        (Dense, NaturalLanguage | Mixed) => (100, 1.0),

        (Lexical, Identifier | Mixed) => (80, 1.0),
        (Lexical, Path) => (80, 1.5),
        (Lexical, Literal | ErrorText) => (80, 1.2),
        (Lexical, NaturalLanguage) if vague => (60, 0.8),
        (Lexical, NaturalLanguage) => (50, 0.8),

        (Symbol, Identifier) => (50, 2.0),
        (Symbol, Path | Literal | ErrorText) => (30, 0.3),
        (Symbol, NaturalLanguage) if vague => (50, 0.5),
        (Symbol, NaturalLanguage) => (50, 0.2),
        (Symbol, Mixed) => (50, 0.8),

        (Sparse, Identifier | Path) => (50, 0.2),
        (Sparse, Literal | ErrorText) => (30, 0.3),
        (Sparse, NaturalLanguage) if vague => (80, 0.5),
        (Sparse, NaturalLanguage | Mixed) => (50, 0.5),
    };
    Leg { channel, depth, weight }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::config::SearchSettings;

    struct Words;
    impl Vocabulary for Words {
        fn is_symbol(&self, _: &str) -> bool {
            false
        }
        fn share(&self, word: &str) -> f64 {
            if word == "zzyzx" { 0.0 } else { 0.01 }
        }
    }

    fn plan_of(text: &str, limit: usize) -> Plan {
        let query = Query::new(text, limit, &SearchSettings::default()).unwrap();
        decide(profile(&query.text, &Words), &query)
    }

    #[test]
    fn channels_look_at_least_as_deep_as_the_answer_is_long() {
        let plan = plan_of("how is a lock taken", 180);
        assert!(plan.legs.iter().all(|leg| leg.depth >= 180));
        assert_eq!(plan.rrf_k, 60);
    }

    #[test]
    fn each_class_of_query_has_its_own_budgets() {
        // The columns are rrf_k, then depth and weight of dense, lexical, symbol and sparse.
        for (text, expected) in [
            ("parse_url", "40: 80 0.5, 80 1, 50 2, 50 0.2"),
            ("src/lib.rs", "40: 80 0.4, 80 1.5, 30 0.3, 50 0.2"),
            ("\"a lock is\"", "40: 80 0.7, 80 1.2, 30 0.3, 30 0.3"),
            ("TypeError: data is not iterable", "40: 80 0.7, 80 1.2, 30 0.3, 30 0.3"),
            ("rate limiter", "90: 150 1, 60 0.8, 50 0.5, 80 0.5"),
            ("how is a lock taken", "60: 100 1, 50 0.8, 50 0.2, 50 0.5"),
            ("how does parse_url work", "60: 100 1, 80 1, 50 0.8, 50 0.5"),
        ] {
            let plan = plan_of(text, 10);
            let legs: Vec<_> =
                plan.legs.iter().map(|leg| format!("{} {}", leg.depth, leg.weight)).collect();
            assert_eq!(format!("{}: {}", plan.rrf_k, legs.join(", ")), expected, "{text}");
        }
        assert_eq!(plan_of("zzyzx", 10).warnings[0].code, "words-not-in-index");
    }
}
