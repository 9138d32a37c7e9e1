//! `codeintel rerank`: pairs of texts in, a score for each out, in the same order.

use super::args::RerankArgs;
use super::lines::{JsonLines, Lines};
use super::{Context, out};
use crate::base::config::process_env;
use crate::base::error::Result;
use crate::base::telemetry::RunContext;
use crate::base::telemetry::labels::Tool;
use crate::embedding::engine::Reranker;
use crate::embedding::models;
use crate::tools::wire;

/// Pairs scored together; the input is never held whole.
const PAIRS: usize = 512;

pub fn run(cx: Context, args: RerankArgs) -> Result<()> {
    let mut input = Lines::open(args.file.as_deref())?;
    let settings = &cx.settings;
    let folder = models::resolve(&settings.model_name, &settings.models_folder(process_env))?;
    let reranker = Reranker::load(&folder, settings)?;
    let mut output = JsonLines::create(args.output.as_deref())?;
    let run = RunContext::new(&cx.telemetry, Tool::Rerank, &[]);
    let result = score_all(&reranker, args.raw, &mut input, &mut output);
    cx.finish(&run, result.as_ref().err());
    out::print_truncated(result?, "pairs", reranker.max_tokens());
    Ok(())
}

/// Scores what there is to read; gives how many pairs were cut.
fn score_all(
    reranker: &Reranker,
    raw: bool,
    input: &mut Lines,
    output: &mut JsonLines,
) -> Result<usize> {
    let mut truncated = 0;
    loop {
        let pairs = next_pairs(input)?;
        if pairs.is_empty() {
            return Ok(truncated);
        }
        let pairs: Vec<_> = pairs.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        let scored = reranker.logits(&pairs)?;
        truncated += scored.truncated;
        for logits in scored.answers.rows() {
            let scores = if raw { logits.to_vec() } else { probabilities(logits) };
            output.write(&wire::ScoreLine::new(scores))?;
        }
        output.flush()?;
    }
}

/// The next pairs, [`PAIRS`] at most; none at the end.
fn next_pairs(input: &mut Lines) -> Result<Vec<(String, String)>> {
    let mut pairs = Vec::new();
    while pairs.len() < PAIRS {
        let Some(object) = input.read_object(&["query", "text"])? else { break };
        let field = |name: &str| object[name].as_str().unwrap_or_default().to_owned();
        pairs.push((field("query"), field("text")));
    }
    Ok(pairs)
}

/// The logistic function of a single logit, the softmax of several. logits: `[labels]`.
fn probabilities(logits: &[f32]) -> Vec<f32> {
    if let [logit] = logits {
        return vec![1.0 / (1.0 + (-logit).exp())];
    }
    let greatest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = logits.iter().map(|logit| (logit - greatest).exp()).collect();
    let sum: f32 = powers.iter().sum();
    powers.iter().map(|power| power / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_logit_becomes_a_probability_and_several_sum_to_one() {
        assert_eq!(probabilities(&[0.0]), [0.5]);
        assert_eq!(probabilities(&[-200.0]), [0.0]);
        assert_eq!(probabilities(&[200.0]), [1.0]);
        let several = probabilities(&[1000.0, 1001.0, 999.0]);
        assert!((several.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert!((several[1] / several[0] - 1.0_f32.exp()).abs() < 1e-4);
    }
}
