//! How deep should each channel look for this question, and what should it count?

use super::profile::{QueryClass, QueryProfile, Vocabulary, profile};
use crate::base::error::{Result, Warning};
use crate::base::telemetry::{StageSpan, attrs};
use crate::search::query::{Channel, Query};

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
    /// The hits asked of each channel, as an attribute.
    pub fn depths(&self) -> String {
        attrs::to_label_str(self.channels.iter().map(|(c, depth, _)| (c.as_str(), depth)))
    }

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
    let depths = plan.depths();
    let weights = attrs::to_label_str(plan.channels.iter().map(|(c, _, w)| (c.as_str(), w)));
    span.set(attrs::CHANNEL_DEPTHS, depths.clone());
    span.set(attrs::CHANNEL_WEIGHTS, weights);
    span.cx().instruments().gated(plan.rrf_k, plan.profile.ambiguity_score);
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
        assert!(plan.channels.iter().all(|(_, depth, _)| *depth >= 180));
        assert_eq!(plan.rrf_k, 60);
    }

    #[test]
    fn literal_and_vague_questions_get_their_own_budgets() {
        assert_eq!(plan_of("parse_url", 10).rrf_k, 40);
        assert_eq!(plan_of("rate limiter", 10).rrf_k, 90);
        assert_eq!(plan_of("zzyzx", 10).warnings[0].code, "words-not-in-index");
    }
}
