//! Attention in f64: every mask, any grouping of heads, with and without a bias.

use std::ops::Range;

use super::*;
use crate::device::cpu::ops::attention as computed;

/// Everything that decides an output value.
struct Case {
    shape: Attention,
    qkv: Rows,
    bias: Option<RelativeBias>,
}

impl Case {
    /// Row `row` of head `head`, counted over queries, keys and values: `[head_dim]`.
    fn part(&self, row: usize, head: usize) -> &[f32] {
        let head_dim = self.shape.head_dim;
        &self.qkv.row(row)[head * head_dim..(head + 1) * head_dim]
    }

    fn context(&self, query: usize, seq: Range<usize>, head: usize) -> Vec<f64> {
        let Attention { heads, heads_kv, head_dim, scale, mask } = self.shape;
        let head_kv = head * heads_kv / heads;
        let seen = |key: &usize| {
            let (key, query) = (*key as i128, query as i128);
            query - key <= mask.before as i128 && key - query <= mask.after as i128
        };
        let keys: Vec<usize> = seq.filter(seen).collect();
        let weight = |&key: &usize| {
            let product = dot(self.part(query, head), self.part(key, heads + head_kv));
            let bias = self.bias.as_ref().map_or(0.0, |bias| {
                let reach = (bias.values.d() / 2) as isize;
                let distance = (key as isize - query as isize).clamp(-reach, reach);
                f64::from(bias.values.row(head)[(reach + distance) as usize])
            });
            (product * f64::from(scale) + bias).exp()
        };
        let weights: Vec<f64> = keys.iter().map(weight).collect();
        let sum: f64 = weights.iter().sum();
        let mut context = vec![0.0; head_dim];
        for (&key, weight) in keys.iter().zip(&weights) {
            let values = self.part(key, heads + heads_kv + head_kv);
            for (context, value) in context.iter_mut().zip(values) {
                *context += weight / sum * f64::from(*value);
            }
        }
        context
    }
}

fn masks() -> impl Strategy<Value = Mask> {
    let window = (0..90usize, 0..90usize).prop_map(|(before, after)| Mask { before, after });
    prop_oneof![Just(Mask::FULL), Just(Mask::CAUSAL), window]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn attention_agrees_with_f64_and_stays_in_its_sequence(
        lengths in lengths(),
        (heads_kv, group, head_dim) in (1..3usize, 1..4usize, 1..40usize),
        mask in masks(),
        reach in prop::option::of(0..100usize),
        seed: u64,
    ) {
        let mut numbers = Numbers::new(seed);
        let heads = heads_kv * group;
        let scale = 1.0 / (head_dim as f32).sqrt();
        let shape = Attention { heads, heads_kv, head_dim, scale, mask };
        let qkv = numbers.rows(lengths.iter().sum(), shape.row_dim(), 2.0);
        let bias =
            reach.map(|reach| RelativeBias { values: numbers.rows(heads, 2 * reach + 1, 2.0) });
        let case = Case { shape, qkv, bias };
        let ends = ends(&lengths);
        let mut want = Vec::new();
        for range in ends.windows(2) {
            let range = range[0] as usize..range[1] as usize;
            for (query, head) in range.clone().flat_map(|q| (0..heads).map(move |h| (q, h))) {
                want.extend(case.context(query, range.clone(), head));
            }
        }
        for cpu in cpus() {
            let mut out = Rows::default();
            let bias = case.bias.as_ref();
            cpu.install(|| computed(&cpu, &shape, &case.qkv, &ends, bias, &mut out));
            prop_assert_eq!((out.n(), out.d()), (case.qkv.n(), heads * head_dim));
            close(&cpu, out.as_slice(), want.iter().copied(), 5e-6)?;
        }
    }
}
