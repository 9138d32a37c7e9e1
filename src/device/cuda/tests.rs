//! Each operation on a GPU against its CPU twin, on random shapes, with empty and one-token
//! sequences, in bf16 and f16.
//!
//! `make cuda-test` runs them on an emulated driver; docs/gpu-status.md lists which have run on a
//! GPU, and where.

use std::sync::{Arc, OnceLock};

use cudarc::driver::CudaContext;
use half::{bf16, f16};

use super::peak::peak_gflops;
use super::slot::StagedUpload;
use super::*;
use crate::base::error::Result;
use crate::device::cpu::ops::{
    self, Activation, Attention, Embedding, Linear, Mask, Norm, NormKind, Numbers, Pooling,
    RelativeBias, Rotary, Tokens, ends,
};
use crate::device::{Cpu, Rows};

const ARENA_BYTES: usize = 256 << 20;
/// Smaller than most of the matrices here, so that copies are split.
const STAGING_BYTES: usize = 4096;
/// Larger than any batch here.
const UPLOAD_BYTES: usize = 1 << 18;
const CASES: u64 = 24;

/// A GPU, and the CPU that it is compared with.
pub(crate) struct Pair {
    pub(crate) cuda: Arc<Cuda>,
    slots: Arc<Slots>,
    pub(crate) staging: Staging,
    pub(crate) arena: Arena,
    cpu: Cpu,
}

impl Pair {
    pub(crate) fn open() -> Self {
        let cuda = Arc::new(Cuda::open(0, 0.9).unwrap());
        // Kept alive, because otherwise each test would load every module again.
        static CONTEXT: OnceLock<Arc<CudaContext>> = OnceLock::new();
        CONTEXT.get_or_init(|| cuda.context().clone());
        let slots = Slots::new(&cuda).unwrap();
        let staging = Staging::new(&cuda, STAGING_BYTES).unwrap();
        let arena = Arena::new(&cuda, ARENA_BYTES).unwrap();
        Self { cuda, slots, staging, arena, cpu: Cpu::new(2).unwrap() }
    }

    fn rows<T: Element>(&mut self, rows: &Rows) -> DeviceRows<T> {
        self.staging.place_rows(&self.cuda, &mut self.arena, rows).unwrap()
    }

    /// Rows of NaN.
    fn room<T: Element>(&mut self, n: usize, d: usize) -> DeviceRows<T> {
        let nan = Rows::new(vec![f32::NAN; n * d], d);
        self.rows(&nan)
    }

    fn norm(&mut self, norm: &Norm) -> DeviceNorm {
        DeviceNorm::place(&self.cuda, &mut self.staging, &mut self.arena, norm).unwrap()
    }

    fn tokens(&mut self, tokens: Tokens<'_>) -> DeviceTokens {
        self.send(|upload| DeviceTokens::place(upload, tokens, tokens.ids.len()))
    }

    fn sequences(&mut self, cu_seqlens: &[u32]) -> Sequences {
        self.send(|upload| Sequences::place(upload, cu_seqlens, &BatchLayout::exact(cu_seqlens)))
    }

    fn send<R>(&mut self, place: impl FnOnce(&mut StagedUpload<'_>) -> Result<R>) -> R {
        let mut slot = self.slots.take().unwrap();
        let mut upload = slot.upload(&mut self.arena, UPLOAD_BYTES).unwrap();
        let placed = place(&mut upload).unwrap();
        upload.send().unwrap();
        placed
    }

    fn on_cpu(&self, f: impl FnOnce(&Cpu, &mut Rows) + Send) -> Rows {
        let mut out = Rows::default();
        let cpu = &self.cpu;
        cpu.install(|| f(cpu, &mut out));
        out
    }

    /// Asserts that the rows of the device equal those of the CPU, up to `roundings` of `T`.
    fn check<T: Element>(&mut self, what: &str, got: &DeviceRows<T>, want: &Rows, roundings: f32) {
        let got = self.staging.download_rows(&self.cuda, got).unwrap();
        assert_eq!((got.n(), got.d()), (want.n(), want.d()), "{what}");
        close(
            &format!("{what} {}", T::NUMBER.as_str()),
            got.as_slice(),
            want.as_slice(),
            roundings * unit::<T>(),
        );
    }
}

/// Half of the distance from 1 to the next number of `T`.
fn unit<T: Element>() -> f32 {
    let mut unit = 1.0;
    while T::from_f32(1.0 + unit).to_f32() > 1.0 {
        unit /= 2.0;
    }
    unit
}

fn close(what: &str, got: &[f32], want: &[f32], tolerance: f32) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let error = (got - want).abs() / want.abs().max(1.0);
        assert!(error <= tolerance, "{what}: value {i} is {got}, not {want}");
    }
}

/// The numbers as the device stores them.
fn rounded<T: Element>(rows: Rows) -> Rows {
    Rows::new(rows.as_slice().iter().map(|value| T::from_f32(*value).to_f32()).collect(), rows.d())
}

/// A whole number of `low..high`.
fn whole(numbers: &mut Numbers, low: usize, high: usize) -> usize {
    low + ((numbers.one() + 1.0) * 0.4999 * (high - low) as f32) as usize
}

/// Lengths of the sequences of a batch: none, empty ones, single tokens, more than one tile.
fn lengths(numbers: &mut Numbers) -> Vec<usize> {
    let n = whole(numbers, 0, 6);
    let length = |numbers: &mut Numbers| match whole(numbers, 0, 5) {
        0 => 0,
        1 => 1,
        2 => whole(numbers, 2, 17),
        3 => whole(numbers, 17, 65),
        _ => whole(numbers, 65, 300),
    };
    (0..n).map(|_| length(numbers)).collect()
}

fn norms(numbers: &mut Numbers, d: usize) -> Norm {
    let bias = (numbers.one() > 0.0).then(|| numbers.some(d, 1.0));
    let kind = if numbers.one() > 0.0 { NormKind::Layer } else { NormKind::Rms };
    Norm { kind, weight: numbers.some(d, 2.0), bias, eps: 1e-5 }
}

/// Runs `f` for each type and seed, each time with an empty arena.
macro_rules! on_every_case {
    ($f:ident) => {
        let mut pair = Pair::open();
        for seed in 0..CASES {
            $f::<bf16>(&mut pair, &mut Numbers::new(seed)).unwrap();
            pair.arena.reset();
            $f::<f16>(&mut pair, &mut Numbers::new(seed)).unwrap();
            pair.arena.reset();
        }
    };
}

#[test]
#[ignore = "needs a CUDA device; `make cuda-test` emulates one"]
fn norms_and_residuals_agree_with_the_cpu() {
    fn case<T: Element>(pair: &mut Pair, numbers: &mut Numbers) -> Result<()> {
        let (n, d) = (whole(numbers, 0, 40), 8 * whole(numbers, 1, 300));
        let x = rounded::<T>(numbers.rows(n, d, 3.0));
        let y = rounded::<T>(numbers.rows(n, d, 3.0));
        let rule = norms(numbers, d);
        let added = pair.on_cpu(|cpu, out| {
            *out = x.clone();
            ops::residual(cpu, out, &y);
        });
        let alone = pair.on_cpu(|cpu, out| ops::norm(cpu, &x, &rule, out));
        let both = pair.on_cpu(|cpu, out| ops::norm(cpu, &added, &rule, out));
        let (on, device_y) = (pair.norm(&rule), pair.rows::<T>(&y));
        let (mut first, mut out) = (pair.rows::<T>(&x), pair.room(n, d));
        norm(&pair.cuda, &first, &on, &mut out)?;
        pair.check("norm", &out, &alone, 4.0);
        add_norm(&pair.cuda, &mut first, &device_y, &on, &mut out)?;
        pair.check("sum", &first, &added, 2.0);
        pair.check("norm of the sum", &out, &both, 4.0);
        let (mut second, mut third) = (pair.rows::<T>(&x), pair.rows::<T>(&x));
        residual(&pair.cuda, &mut second, &device_y)?;
        pair.check("residual", &second, &added, 2.0);
        residual_norm(&pair.cuda, &mut third, &device_y, &on)?;
        pair.check("residual norm", &third, &both, 4.0);
        Ok(())
    }
    on_every_case!(case);
}

#[test]
#[ignore = "needs a CUDA device; `make cuda-test` emulates one"]
fn heads_are_normed_and_rotated_as_on_the_cpu_and_others_stay() {
    fn case<T: Element>(pair: &mut Pair, numbers: &mut Numbers) -> Result<()> {
        let (n, heads, others) =
            (whole(numbers, 0, 40), whole(numbers, 1, 5), whole(numbers, 0, 3));
        let head_dim = 16 << whole(numbers, 0, 4);
        let x = rounded::<T>(numbers.rows(n, (heads + others) * head_dim, 3.0));
        let rule = norms(numbers, head_dim);
        let frequencies = numbers.some(head_dim / 2 / 8 * 8, 1.0);
        let config = Rotary { frequencies, scale: 1.25 };
        let mut cos_sin = Rows::default();
        config.extend(&mut cos_sin, 41);
        let position_ids: Vec<u32> = (0..n).map(|_| whole(numbers, 0, 41) as u32).collect();
        let normed = pair.on_cpu(|cpu, out| {
            *out = x.clone();
            ops::norm_heads(cpu, out, 0..heads, &rule);
        });
        let rotated = pair.on_cpu(|cpu, out| {
            *out = x.clone();
            ops::rotary(cpu, out, heads, head_dim, &cos_sin, &position_ids);
        });
        let tokens =
            Tokens { ids: &vec![0; n], token_type_ids: &vec![0; n], position_ids: &position_ids };
        let (tokens, on) = (pair.tokens(tokens), pair.norm(&rule));
        let mut out = pair.rows::<T>(&x);
        norm_heads(&pair.cuda, &mut out, 0..heads, &on)?;
        pair.check("norm of heads", &out, &normed, 4.0);
        let cos_sin =
            DeviceCosSin::place(&pair.cuda, &mut pair.staging, &mut pair.arena, &cos_sin)?;
        let mut out = pair.rows::<T>(&x);
        rotary(&pair.cuda, &mut out, heads, head_dim, &cos_sin, &tokens)?;
        pair.check("rotary", &out, &rotated, 4.0);
        Ok(())
    }
    on_every_case!(case);
}

#[test]
#[ignore = "needs a CUDA device; `make cuda-test` emulates one"]
fn a_token_begins_as_on_the_cpu() {
    fn case<T: Element>(pair: &mut Pair, numbers: &mut Numbers) -> Result<()> {
        let (n, d) = (whole(numbers, 0, 60), 8 * whole(numbers, 1, 200));
        let rows = |numbers: &mut Numbers, n| rounded::<T>(numbers.rows(n, d, 1.0));
        let table = Embedding {
            word_embeddings: rows(numbers, 50),
            token_type_embeddings: (numbers.one() > 0.0).then(|| rows(numbers, 2)),
            position_embeddings: (numbers.one() > 0.0).then(|| rows(numbers, 30)),
            scale: if numbers.one() > 0.0 { 1.0 } else { 2.5 },
        };
        let rule = (numbers.one() > -0.5).then(|| norms(numbers, d));
        let ids: Vec<u32> = (0..n).map(|_| whole(numbers, 0, 50) as u32).collect();
        let types: Vec<u8> = (0..n).map(|_| whole(numbers, 0, 3) as u8).collect();
        let position_ids: Vec<u32> = (0..n).map(|_| whole(numbers, 0, 30) as u32).collect();
        let tokens = Tokens { ids: &ids, token_type_ids: &types, position_ids: &position_ids };
        let want = pair.on_cpu(|cpu, out| ops::embed(cpu, &table, tokens, rule.as_ref(), out));
        let (tokens, on) = (pair.tokens(tokens), rule.map(|rule| pair.norm(&rule)));
        let Pair { cuda, staging, arena, .. } = pair;
        let table = DeviceEmbedding::<T>::place(cuda, staging, arena, &table)?;
        let mut out = pair.room(n, d);
        embed(&pair.cuda, &table, &tokens, on.as_ref(), &mut out)?;
        pair.check("embed", &out, &Rows::new(want.as_slice().to_vec(), d), 4.0);
        Ok(())
    }
    on_every_case!(case);
}

#[test]
#[ignore = "needs a CUDA device; `make cuda-test` emulates one"]
fn linear_layers_gates_and_activations_agree_with_the_cpu() {
    fn case<T: Element>(pair: &mut Pair, numbers: &mut Numbers) -> Result<()> {
        let (n, inputs) = (whole(numbers, 0, 200), 8 * whole(numbers, 1, 60));
        let d = 8 * whole(numbers, 1, 60);
        let weight = rounded::<T>(numbers.rows(2 * d, inputs, 0.3));
        let bias = rounded::<T>(numbers.rows(1, 2 * d, 1.0)).as_slice().to_vec();
        let bias = (numbers.one() > -0.5).then_some(bias);
        let x = rounded::<T>(numbers.rows(n, inputs, 1.0));
        let cpu_bias = bias.clone().unwrap_or_else(|| vec![0.0; 2 * d]);
        let layer = Linear::new(weight.as_slice(), cpu_bias, inputs);
        let Pair { cuda, staging, arena, .. } = pair;
        let on = DeviceLinear::<T>::place(cuda, staging, arena, &weight, bias.as_deref())?;
        let device_x = pair.rows::<T>(&x);
        let (mut gate_up, mut narrow) = (pair.room(n, 2 * d), pair.room(n, d));
        for activation in Activation::ALL {
            let want = pair.on_cpu(|cpu, out| ops::linear(cpu, &layer, &x, activation, out));
            linear(&pair.cuda, &on, &device_x, activation, &mut gate_up)?;
            pair.check(&format!("linear {activation:?}"), &gate_up, &want, 8.0);
            let want = pair.on_cpu(|cpu, out| {
                let mut sums = Rows::default();
                ops::linear(cpu, &layer, &x, Activation::None, &mut sums);
                ops::glu(cpu, &rounded::<T>(sums), activation, out);
            });
            // The device rounds the gate and the value before it adds the bias, the CPU afterwards.
            // The rounding error of each factor is multiplied by the other factor.
            gated_linear(&pair.cuda, &on, &device_x, activation, &mut gate_up, &mut narrow)?;
            let most = want.as_slice().iter().fold(1.0, |most: f32, v| most.max(v.abs()));
            pair.check(&format!("gated {activation:?}"), &narrow, &want, 16.0 * most.sqrt());
        }
        Ok(())
    }
    on_every_case!(case);
}

#[test]
#[ignore = "needs a CUDA device; `make cuda-test` emulates one"]
fn gating_alone_agrees_with_the_cpu() {
    fn case<T: Element>(pair: &mut Pair, numbers: &mut Numbers) -> Result<()> {
        let (n, d) = (whole(numbers, 0, 40), 8 * whole(numbers, 1, 100));
        let x = rounded::<T>(numbers.rows(n, 2 * d, 4.0));
        let (gate_up, mut out) = (pair.rows::<T>(&x), pair.room(n, d));
        for activation in Activation::ALL {
            let want = pair.on_cpu(|cpu, out| ops::glu(cpu, &x, activation, out));
            glu(&pair.cuda, &gate_up, None, activation, &mut out)?;
            pair.check(&format!("glu {activation:?}"), &out, &want, 4.0);
        }
        Ok(())
    }
    on_every_case!(case);
}

#[test]
#[ignore = "needs a CUDA device; `make cuda-test` emulates one"]
fn attention_agrees_with_the_cpu_and_stays_in_its_sequence() {
    fn case<T: Element>(pair: &mut Pair, numbers: &mut Numbers) -> Result<()> {
        let cu_seqlens = ends(&lengths(numbers));
        let n = *cu_seqlens.last().unwrap() as usize;
        let (heads_kv, group) = (whole(numbers, 1, 3), whole(numbers, 1, 4));
        let (heads, head_dim) = (heads_kv * group, 16 << whole(numbers, 0, 4));
        let mask = match whole(numbers, 0, 3) {
            0 => Mask::FULL,
            1 => Mask::CAUSAL,
            _ => Mask { before: whole(numbers, 0, 90), after: whole(numbers, 0, 90) },
        };
        let scale = 1.0 / (head_dim as f32).sqrt();
        let shape = Attention { heads, heads_kv, head_dim, scale, mask };
        let qkv = rounded::<T>(numbers.rows(n, shape.row_dim(), 2.0));
        let reach = whole(numbers, 0, 100);
        let bias = (numbers.one() > 0.0)
            .then(|| RelativeBias { values: numbers.rows(heads, 2 * reach + 1, 2.0) });
        let want = pair.on_cpu(|cpu, out| {
            ops::attention(cpu, &shape, &qkv, &cu_seqlens, bias.as_ref(), out);
        });
        let Pair { cuda, staging, arena, .. } = pair;
        let bias = bias.map(|bias| DeviceBias::place(cuda, staging, arena, &bias)).transpose()?;
        let sequences = pair.sequences(&cu_seqlens);
        let (qkv, mut out) = (pair.rows::<T>(&qkv), pair.room(n, heads * head_dim));
        attention(&pair.cuda, &shape, &qkv, &sequences, bias.as_ref(), &mut out)?;
        pair.check(&format!("attention {shape:?}"), &out, &want, 8.0);
        Ok(())
    }
    on_every_case!(case);
}

#[test]
#[ignore = "needs a CUDA device; `make cuda-test` emulates one"]
fn the_tail_pools_cuts_and_normalises_as_the_cpu_does() {
    fn cast<T: Element, V: Vector>(
        pair: &mut Pair,
        numbers: &mut Numbers,
        tolerance: f32,
    ) -> Result<()> {
        let cu_seqlens = ends(&lengths(numbers));
        let d = 8 * whole(numbers, 1, 300);
        let dim = if numbers.one() > 0.0 { d } else { whole(numbers, 1, d + 1) };
        let poolings =
            [Pooling::Mean, Pooling::WeightedMean, Pooling::Max, Pooling::Cls, Pooling::Last];
        let (pooling, normalize) = (poolings[whole(numbers, 0, 5)], numbers.one() > 0.0);
        let hidden = rounded::<T>(numbers.rows(*cu_seqlens.last().unwrap() as usize, d, 1.0));
        let pooled = ops::pool(hidden.as_slice(), d, &cu_seqlens, pooling, false);
        let mut want: Vec<f32> =
            pooled.chunks_exact(d).flat_map(|row| row[..dim].to_vec()).collect();
        if normalize {
            ops::normalize(&mut want, dim);
        }
        let sequences = pair.sequences(&cu_seqlens);
        let hidden = pair.rows::<T>(&hidden);
        let mut out = DeviceRows::<V>::new(pair.arena.take(want.len())?, dim);
        tail(&pair.cuda, &hidden, &sequences, pooling, normalize, &mut out)?;
        let got = pair.staging.download_rows(&pair.cuda, &out)?;
        close(
            &format!("tail {pooling:?} {}", V::NUMBER.as_str()),
            got.as_slice(),
            &want,
            tolerance,
        );
        Ok(())
    }
    fn case<T: Element>(pair: &mut Pair, numbers: &mut Numbers) -> Result<()> {
        cast::<T, f32>(pair, numbers, 1e-5)?;
        cast::<T, f16>(pair, numbers, 2.0 * unit::<f16>())?;
        cast::<T, bf16>(pair, numbers, 2.0 * unit::<bf16>())
    }
    on_every_case!(case);
}

#[test]
#[ignore = "needs a CUDA device; `make cuda-test` emulates one"]
fn a_size_that_no_kernel_is_made_for_is_an_error_that_names_it() {
    let mut pair = Pair::open();
    let shape = Attention { heads: 1, heads_kv: 1, head_dim: 24, scale: 1.0, mask: Mask::FULL };
    let sequences = pair.sequences(&[0, 2]);
    let (qkv, mut out) = (pair.room::<bf16>(2, 72), pair.room(2, 24));
    let error = attention(&pair.cuda, &shape, &qkv, &sequences, None, &mut out).unwrap_err();
    assert!(error.to_string().contains("heads of 24"), "{error}");
    let (mut x, y) = (pair.room::<bf16>(2, 12), pair.room(2, 12));
    let error = residual(&pair.cuda, &mut x, &y).unwrap_err();
    assert!(error.to_string().contains("12"), "{error}");
}

#[test]
#[ignore = "needs a CUDA device; `make cuda-test` emulates one"]
fn memory_is_counted_handed_out_and_refused_with_a_remedy() {
    let mut pair = Pair::open();
    let seen = pair.cuda.memory().unwrap();
    assert!(seen.used_bytes >= ARENA_BYTES as u64 && seen.used_bytes <= seen.total_bytes);
    let buffer = pair.arena.take::<f32>(100).unwrap();
    assert_eq!((buffer.len(), pair.arena.used_bytes()), (100, 512));
    let error = pair.arena.take::<f32>(ARENA_BYTES).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("make a larger arena"), "{error}");
    drop(buffer);
    pair.arena.reset();
    assert_eq!(pair.arena.used_bytes(), 0);
    let error = Arena::new(&pair.cuda, 1 << 50).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("bytes are used"), "{error}");
}

/// Needs no device: the program starts without a driver and reports what is missing.
#[test]
fn a_missing_device_is_an_error_with_a_remedy() {
    let count = Cuda::count();
    let error = Cuda::open(count, 0.9).unwrap_err().to_string();
    assert!(error.contains(&format!("cuda:{count} is not available")), "{error}");
    let remedy = if count == 0 { "use the CPU" } else { "the last is cuda:" };
    assert!(error.contains(remedy), "{error}");
}

#[test]
#[ignore = "needs a CUDA device; `make cuda-test` emulates one"]
fn each_slot_reads_back_its_own_buffers() {
    let mut pair = Pair::open();
    for n in [3, 5, 2, 0] {
        let ids: Vec<i64> = (0..2 * n).map(|i| i << 40).collect();
        let scores: Vec<f32> = ids.iter().map(|&id| id as f32).collect();
        let Pair { cuda, staging, arena, slots, .. } = &mut pair;
        let rows_of_ids = DeviceRows::new(staging.place(cuda, arena, &ids).unwrap(), 2);
        let rows_of_scores = DeviceRows::new(staging.place(cuda, arena, &scores).unwrap(), 2);
        let (mut slot, mut other) = (slots.take().unwrap(), slots.take().unwrap());
        let readbacks = (
            slot.read_back(rows_of_ids.buffer()).unwrap(),
            slot.read_back(rows_of_scores.buffer()).unwrap(),
        );
        let again = other.read_back(rows_of_ids.buffer()).unwrap();
        let finished = slot.wait().unwrap();
        let read = (finished.values(&readbacks.0), finished.values(&readbacks.1));
        assert_eq!(read, (&ids[..], &scores[..]));
        assert_eq!(other.wait().unwrap().values(&again), ids);
    }
}

#[test]
#[ignore = "needs a CUDA device; `make cuda-test` emulates one"]
fn a_device_has_a_peak_rate() {
    let pair = Pair::open();
    let gflops = peak_gflops::<bf16>(&pair.cuda).unwrap();
    assert!(gflops.is_finite() && gflops > 0.0, "{gflops}");
}
