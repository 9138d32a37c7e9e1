//! Every build of every operation against a plain one in f64, on random shapes.

use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use super::*;
use crate::device::{Cpu, Dtype, InstructionSet, Rows};

mod attention;
mod rows;

/// The series of erf (Abramowitz and Stegun 7.1.5), in f64 good to 1e-9 for the |x| < 4 it is used
/// on.
fn erf(x: f64) -> f64 {
    if x.abs() >= 4.0 {
        return x.signum();
    }
    let (mut term, mut sum) = (x, x);
    for n in 1..100 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    sum * std::f64::consts::FRAC_2_SQRT_PI
}

pub fn gelu(x: f64) -> f64 {
    0.5 * x * (1.0 + erf(x * std::f64::consts::FRAC_1_SQRT_2))
}

pub fn gelu_tanh(x: f64) -> f64 {
    let u = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
    0.5 * x * (1.0 + u.tanh())
}

fn activate(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::None => x,
        Activation::Gelu => gelu(x),
        Activation::GeluTanh => gelu_tanh(x),
        Activation::Relu => x.max(0.0),
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::Tanh => x.tanh(),
    }
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

/// The sum of |x w|.
fn products(x: &[f32], weight: &[f32]) -> f64 {
    x.iter().zip(weight).map(|(x, w)| f64::from((x * w).abs())).sum()
}

/// The largest error of a product whose operands are rounded to the nearest of their type.
fn rounding(dtype: Dtype, x: &[f32], weight: &[f32], activation_max: f32) -> f64 {
    let sum = |values: &[f32]| values.iter().map(|v| f64::from(v.abs())).sum::<f64>();
    let max = |values: &[f32]| values.iter().fold(0.0, |max, v| f64::max(max, v.abs().into()));
    // Half a unit of x and of w, and their product.
    let whole = |x_unit: f64, w_unit: f64| {
        let count = x.len() as f64;
        (x_unit * sum(weight) + w_unit * sum(x)) / 2.0 + count * x_unit * w_unit / 4.0
    };
    match dtype {
        Dtype::F32 => 0.0,
        Dtype::Bf16 => products(x, weight) * (2.0 / 256.0 + 1.0 / 65536.0),
        Dtype::F16 => unreachable!("f16 is a GPU's"),
        Dtype::Int16 => whole(max(x) / f64::from(activation_max), max(weight) / 4095.0),
        Dtype::Int8 => {
            let negative = x.iter().fold(0.0, |min, v| f64::min(min, (*v).into()));
            let positive = x.iter().fold(0.0, |max, v| f64::max(max, (*v).into()));
            // The zero is rounded too, and the value that this moves past the last is cut.
            whole(2.0 * (positive - negative) / 255.0, max(weight) / 127.0)
        }
    }
}

/// One CPU for each instruction set of this processor; three threads, so that work is shared.
fn cpus() -> impl Iterator<Item = Cpu> {
    let available = InstructionSet::ALL.into_iter().filter(|set| set.is_available());
    available.map(|set| Cpu::with_instructions(3, set).unwrap())
}

/// Random numbers in [-1, 1) of a fixed seed.
pub struct Numbers(fastrand::Rng);

impl Numbers {
    pub fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    pub fn one(&mut self) -> f32 {
        self.0.f32() * 2.0 - 1.0
    }

    pub fn some(&mut self, n: usize, scale: f32) -> Vec<f32> {
        (0..n).map(|_| self.one() * scale).collect()
    }

    pub fn rows(&mut self, n: usize, d: usize, scale: f32) -> Rows {
        Rows::new(self.some(n * d, scale), d)
    }
}

fn close(
    cpu: &Cpu,
    got: &[f32],
    want: impl IntoIterator<Item = f64>,
    tolerance: f64,
) -> TestCaseResult {
    let want: Vec<f64> = want.into_iter().collect();
    prop_assert_eq!(got.len(), want.len());
    for (i, (got, want)) in got.iter().zip(&want).enumerate() {
        let error = (f64::from(*got) - want).abs() / want.abs().max(1.0);
        prop_assert!(error < tolerance, "{}: value {i} is {got}, not {want}", cpu.name());
    }
    Ok(())
}

pub fn ends(lengths: &[usize]) -> Vec<u32> {
    let mut ends = vec![0];
    ends.extend(lengths.iter().scan(0, |sum, n| {
        *sum += *n as u32;
        Some(*sum)
    }));
    ends
}

/// Lengths of the sequences of a batch: none, empty ones, single tokens, and more than one task.
fn lengths() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(prop_oneof![Just(0), Just(1), 2..20usize, 60..140usize], 0..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn linear_agrees_with_f64(
        n in prop_oneof![Just(0), Just(1), 2..20usize, 90..300usize],
        (inputs, outputs) in prop_oneof![(1..80usize, 1..230usize), (190..400usize, 1..40usize)],
        kind in 0..Activation::ALL.len(),
        seed: u64,
    ) {
        let activation = Activation::ALL[kind];
        let mut numbers = Numbers::new(seed);
        let weight = numbers.some(outputs * inputs, 0.5);
        let bias = numbers.some(outputs, 1.0);
        let x = Rows::new(numbers.some(n * inputs, 1.0), inputs);
        let weight_row = |o: usize| &weight[o * inputs..(o + 1) * inputs];
        for dtype in Dtype::CPU {
            let layer = Linear::with_dtype(&weight, bias.clone(), inputs, dtype);
            let want: Vec<(f64, f64)> = (0..n * outputs).map(|i| {
                let (x, o) = (x.row(i / outputs), i % outputs);
                let sum = dot(x, weight_row(o)) + f64::from(bias[o]);
                // No activation is steeper than 1.13.
                let slack = 1.13 * rounding(dtype, x, weight_row(o), layer.activation_max());
                let size = products(x, weight_row(o)) + f64::from(bias[o].abs());
                (activate(activation, sum), slack + 3e-6 * size.max(1.0))
            }).collect();
            for cpu in cpus() {
                let mut out = Rows::default();
                cpu.install(|| linear(&cpu, &layer, &x, activation, &mut out));
                prop_assert_eq!((out.n(), out.d()), (n, outputs));
                for (i, (got, (want, slack))) in out.as_slice().iter().zip(&want).enumerate() {
                    let error = (f64::from(*got) - want).abs();
                    let at = format!("{} {}: value {i}", cpu.name(), dtype.as_str());
                    prop_assert!(error <= *slack, "{at} is {got}, not {want} to {slack:e}");
                }
            }
        }
    }

}

#[test]
fn any_number_of_threads_gives_the_same_bytes() {
    let mut numbers = Numbers::new(7);
    let (n, d, outputs) = (300, 96, 400);
    let layer = Linear::new(&numbers.some(outputs * d, 1.0), numbers.some(outputs, 1.0), d);
    let x = Rows::new(numbers.some(n * d, 1.0), d);
    let qkv = Rows::new(numbers.some(n * 3 * d, 1.0), 3 * d);
    let results: Vec<(Vec<f32>, Vec<f32>)> = [1, 2, 5]
        .into_iter()
        .map(|threads| {
            let cpu = Cpu::new(threads).unwrap();
            let (mut out, mut context) = (Rows::default(), Rows::default());
            cpu.install(|| {
                linear(&cpu, &layer, &x, Activation::Gelu, &mut out);
                let mask = Mask::CAUSAL;
                let shape = Attention { heads: 4, heads_kv: 4, head_dim: 24, scale: 0.2, mask };
                super::attention(&cpu, &shape, &qkv, &[0, 70, 300], None, &mut context);
            });
            (out.as_slice().to_vec(), context.as_slice().to_vec())
        })
        .collect();
    assert!(results.iter().all(|result| *result == results[0]));
}
