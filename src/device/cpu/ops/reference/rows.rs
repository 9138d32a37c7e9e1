//! Operations on single rows, in f64: norms, embedding, rotary, gating, pooling.

use super::*;

/// x + y as f64.
fn sum_f64<'a>(x: &'a [f32], y: &'a [f32]) -> impl Iterator<Item = f64> + 'a {
    x.iter().zip(y).map(|(x, y)| f64::from(*x) + f64::from(*y))
}

fn norms(numbers: &mut Numbers, d: usize, kind: usize) -> Norm {
    let bias = (kind < 2).then(|| numbers.some(d, 1.0));
    let kind = if kind.is_multiple_of(2) { NormKind::Layer } else { NormKind::Rms };
    Norm { kind, weight: numbers.some(d, 2.0), bias, eps: 1e-5 }
}

fn norm_row(norm: &Norm, x: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let x: Vec<f64> = x.into_iter().collect();
    let count = x.len() as f64;
    let mean = if norm.kind == NormKind::Rms { 0.0 } else { x.iter().sum::<f64>() / count };
    let variance = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / count;
    let scale = 1.0 / (variance + f64::from(norm.eps)).sqrt();
    let bias = |i: usize| norm.bias.as_ref().map_or(0.0, |bias| f64::from(bias[i]));
    let value = |(i, v)| (v - mean) * scale * f64::from(norm.weight[i]) + bias(i);
    x.into_iter().enumerate().map(value).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn norms_and_residuals_agree_with_f64(
        n in 0..40usize, d in 2..200usize, kind in 0..4usize, seed: u64,
    ) {
        let mut numbers = Numbers::new(seed);
        let (x, y) = (numbers.rows(n, d, 3.0), numbers.rows(n, d, 3.0));
        let (rule, zeros) = (norms(&mut numbers, d, kind), vec![0.0; d]);
        let of = |f: &dyn Fn(usize) -> Vec<f64>| (0..n).flat_map(f).collect::<Vec<f64>>();
        let alone = of(&|i| norm_row(&rule, sum_f64(x.row(i), &zeros)));
        let added = of(&|i| sum_f64(x.row(i), y.row(i)).collect());
        let both = of(&|i| norm_row(&rule, sum_f64(x.row(i), y.row(i))));
        for cpu in cpus() {
            let mut out = Rows::default();
            cpu.install(|| norm(&cpu, &x, &rule, &mut out));
            close(&cpu, out.as_slice(), alone.iter().copied(), 2e-5)?;
            let (mut sum, mut joined) = (x.clone(), x.clone());
            cpu.install(|| residual(&cpu, &mut sum, &y));
            close(&cpu, sum.as_slice(), added.iter().copied(), 1e-6)?;
            cpu.install(|| residual_norm(&cpu, &mut joined, &y, &rule));
            close(&cpu, joined.as_slice(), both.iter().copied(), 2e-5)?;
        }
    }

    #[test]
    fn heads_are_normed_and_rotated_alone_and_others_stay(
        n in 0..40usize,
        (heads, others) in (1..5usize, 0..3usize),
        (pairs, rest) in (1..20usize, 0..5usize),
        kind in 0..4usize,
        seed: u64,
    ) {
        let mut numbers = Numbers::new(seed);
        let head_dim = 2 * pairs + rest;
        let x = numbers.rows(n, (heads + others) * head_dim, 3.0);
        let rule = norms(&mut numbers, head_dim, kind);
        let frequencies = numbers.some(pairs, 1.0);
        let position_ids: Vec<u32> =
            (0..n).map(|_| ((numbers.one() + 1.0) * 20.0) as u32).collect();
        let zeros = vec![0.0; head_dim];
        let (mut normed, mut rotated) = (Vec::new(), Vec::new());
        for (i, head) in (0..n).flat_map(|i| (0..heads + others).map(move |head| (i, head))) {
            let values = &x.row(i)[head * head_dim..(head + 1) * head_dim];
            let mut values: Vec<f64> = sum_f64(values, &zeros).collect();
            let position = position_ids[i] as f32;
            let own = if head < heads { norm_row(&rule, values.clone()) } else { values.clone() };
            normed.extend(own);
            for pair in 0..if head < heads { pairs } else { 0 } {
                let (sin, cos) = f64::from(position * frequencies[pair]).sin_cos();
                let (a, b) = (values[pair], values[pairs + pair]);
                values[pair] = a * cos - b * sin;
                values[pairs + pair] = b * cos + a * sin;
            }
            rotated.extend(values);
        }
        let mut cos_sin = Rows::default();
        let config = Rotary { frequencies, scale: 1.0 };
        // In two steps, as when a longer sequence comes.
        config.extend(&mut cos_sin, 7);
        config.extend(&mut cos_sin, 41);
        for cpu in cpus() {
            let mut out = x.clone();
            cpu.install(|| norm_heads(&cpu, &mut out, 0..heads, &rule));
            close(&cpu, out.as_slice(), normed.iter().copied(), 5e-5)?;
            let mut out = x.clone();
            cpu.install(|| rotary(&cpu, &mut out, heads, head_dim, &cos_sin, &position_ids));
            close(&cpu, out.as_slice(), rotated.iter().copied(), 3e-6)?;
        }
    }

    #[test]
    fn a_token_begins_as_the_sum_of_its_rows(
        n in 0..60usize,
        d in 2..70usize,
        kind in prop::option::of(0..4usize),
        (types, positions) in any::<(bool, bool)>(),
        scale in prop_oneof![Just(1.0_f32), 0.5..4.0_f32],
        seed: u64,
    ) {
        let mut numbers = Numbers::new(seed);
        let table = Embedding {
            word_embeddings: numbers.rows(50, d, 1.0),
            token_type_embeddings: types.then(|| numbers.rows(2, d, 1.0)),
            position_embeddings: positions.then(|| numbers.rows(30, d, 1.0)),
            scale,
        };
        let rule = kind.map(|kind| norms(&mut numbers, d, kind));
        let mut below = |n: f32| (numbers.one() + 1.0) * n * 0.499;
        let ids: Vec<u32> = (0..n).map(|_| below(50.0) as u32).collect();
        let types: Vec<u8> = (0..n).map(|_| below(2.0) as u8).collect();
        let position_ids: Vec<u32> = (0..n).map(|_| below(30.0) as u32).collect();
        let zeros = vec![0.0; d];
        let want: Vec<f64> = (0..n).flat_map(|i| {
            let row = |table: &Option<Rows>, i: usize| {
                table.as_ref().map_or(zeros.clone(), |table| table.row(i).to_vec())
            };
            let token_type = row(&table.token_type_embeddings, types[i].into());
            let position = row(&table.position_embeddings, position_ids[i] as usize);
            let word = table.word_embeddings.row(ids[i] as usize).iter();
            let sum = word.zip(sum_f64(&token_type, &position));
            let sum = sum.map(|(w, rest)| f64::from(w * scale) + rest);
            match &rule {
                Some(rule) => norm_row(rule, sum),
                None => sum.collect(),
            }
        }).collect();
        let tokens = Tokens { ids: &ids, token_type_ids: &types, position_ids: &position_ids };
        for cpu in cpus() {
            let mut out = Rows::default();
            cpu.install(|| embed(&cpu, &table, tokens, rule.as_ref(), &mut out));
            prop_assert_eq!((out.n(), out.d()), (n, d));
            close(&cpu, out.as_slice(), want.iter().copied(), 2e-5)?;
        }
    }

    #[test]
    fn gating_agrees_with_f64(
        n in 0..40usize, d in 1..100usize, kind in 0..Activation::ALL.len(), seed: u64,
    ) {
        let x = Numbers::new(seed).rows(n, 2 * d, 4.0);
        let want: Vec<f64> = (0..n).flat_map(|i| {
            let (gate, up) = x.row(i).split_at(d);
            let gate_of = |gate: f32| activate(Activation::ALL[kind], f64::from(gate));
            let value = |(gate, up): (&f32, &f32)| gate_of(*gate) * f64::from(*up);
            gate.iter().zip(up).map(value).collect::<Vec<_>>()
        }).collect();
        for cpu in cpus() {
            let mut out = Rows::default();
            cpu.install(|| glu(&cpu, &x, Activation::ALL[kind], &mut out));
            prop_assert_eq!((out.n(), out.d()), (n, d));
            close(&cpu, out.as_slice(), want.iter().copied(), 4e-6)?;
        }
    }

    #[test]
    fn pooling_agrees_with_f64(
        lengths in lengths(), d in 1..70usize, kind in 0..6usize, normalize: bool, seed: u64,
        skipped in 0..3u32,
    ) {
        let pooling = Pooling::ALL[kind];
        let hidden = Numbers::new(seed).some(lengths.iter().sum::<usize>() * d, 1.0);
        let ends = ends(&lengths);
        let rows = |range: &[u32]| &hidden[range[0] as usize * d..range[1] as usize * d];
        let want: Vec<f64> = ends.windows(2)
            .flat_map(|range| pooled(rows(range), d, skipped, pooling, normalize))
            .collect();
        for cpu in cpus() {
            let set = cpu.instruction_set();
            let left_out = vec![skipped; lengths.len()];
            let got =
                pooling::pool_with(set, &hidden, d, &ends, &left_out, &[pooling], normalize);
            close(&cpu, &got, want.iter().copied(), 3e-6)?;
        }
    }
}

fn pooled(rows: &[f32], d: usize, skipped: u32, pooling: Pooling, normalize: bool) -> Vec<f64> {
    let rows = &rows[(skipped as usize * d).min(rows.len())..];
    let n = rows.len() / d;
    let column = |c: usize| (0..n).map(move |i| f64::from(rows[i * d + c]));
    let one = |c: usize| match pooling {
        Pooling::Mean => column(c).sum::<f64>() / n as f64,
        Pooling::WeightedMean => {
            let weights = (1..=n).map(|i| f64::from(skipped) + i as f64);
            column(c).zip(weights.clone()).map(|(v, w)| v * w).sum::<f64>() / weights.sum::<f64>()
        }
        Pooling::MeanSqrtLen => column(c).sum::<f64>() / (n as f64).sqrt(),
        Pooling::Max => column(c).fold(f64::NEG_INFINITY, f64::max),
        Pooling::Cls => column(c).next().unwrap(),
        Pooling::Last => column(c).next_back().unwrap(),
    };
    let row: Vec<f64> = (0..d).map(|c| if n == 0 { 0.0 } else { one(c) }).collect();
    let norm = row.iter().map(|v| v * v).sum::<f64>().sqrt();
    // Where a mean cancels to almost nothing its direction is noise in any precision.
    row.iter().map(|v| if normalize { v / norm.max(1e-12) } else { *v }).collect()
}
