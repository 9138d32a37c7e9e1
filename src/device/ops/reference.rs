//! What would each operation give in f64, written as plainly as can be? Every build of every
//! operation is held against it here, on random shapes.

use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use super::*;
use crate::device::{Device, InstructionSet, Rows};

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

const ACTIVATIONS: [Activation; 6] = [
    Activation::None,
    Activation::Gelu,
    Activation::GeluTanh,
    Activation::Relu,
    Activation::Silu,
    Activation::Tanh,
];

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

/// One device for each instruction set of this processor; three threads, so that work is shared.
fn devices() -> impl Iterator<Item = Device> {
    let available = InstructionSet::ALL.into_iter().filter(|set| set.is_available());
    available.map(|set| Device::cpu_with(3, set).unwrap())
}

/// Numbers in [-1, 1] that a seed decides (Knuth's 64-bit congruential generator).
struct Numbers(u64);

impl Numbers {
    fn one(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    fn some(&mut self, n: usize, scale: f32) -> Vec<f32> {
        (0..n).map(|_| self.one() * scale).collect()
    }

    fn rows(&mut self, n: usize, d: usize, scale: f32) -> Rows {
        Rows::new(self.some(n * d, scale), d)
    }
}

fn close(
    device: &Device,
    got: &[f32],
    want: impl IntoIterator<Item = f64>,
    tolerance: f64,
) -> TestCaseResult {
    let want: Vec<f64> = want.into_iter().collect();
    prop_assert_eq!(got.len(), want.len());
    for (i, (got, want)) in got.iter().zip(&want).enumerate() {
        let error = (f64::from(*got) - want).abs() / want.abs().max(1.0);
        prop_assert!(error < tolerance, "{}: value {i} is {got}, not {want}", device.name());
    }
    Ok(())
}

fn ends(lengths: &[usize]) -> Vec<u32> {
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
        n in prop_oneof![Just(0), Just(1), 2..20usize, 120..300usize],
        (inputs, outputs) in (1..80usize, 1..230usize),
        kind in 0..ACTIVATIONS.len(),
        seed: u64,
    ) {
        let activation = ACTIVATIONS[kind];
        let mut numbers = Numbers(seed);
        let weight = numbers.some(outputs * inputs, 0.5);
        let bias = numbers.some(outputs, 1.0);
        let x = Rows::new(numbers.some(n * inputs, 1.0), inputs);
        let layer = Linear::new(&weight, bias.clone(), inputs);
        let want: Vec<f64> = (0..n * outputs).map(|i| {
            let (row, o) = (i / outputs, i % outputs);
            let sum = dot(x.row(row), &weight[o * inputs..(o + 1) * inputs]);
            activate(activation, sum + f64::from(bias[o]))
        }).collect();
        for device in devices() {
            let mut out = Rows::default();
            device.install(|| linear(&device, &layer, &x, activation, &mut out));
            prop_assert_eq!((out.n(), out.d()), (n, outputs));
            close(&device, out.as_slice(), want.iter().copied(), 3e-6)?;
        }
    }

}

#[test]
fn any_number_of_threads_gives_the_same_bytes() {
    let mut numbers = Numbers(7);
    let (n, d, wide) = (300, 96, 400);
    let layer = Linear::new(&numbers.some(wide * d, 1.0), numbers.some(wide, 1.0), d);
    let x = Rows::new(numbers.some(n * d, 1.0), d);
    let qkv = Rows::new(numbers.some(n * 3 * d, 1.0), 3 * d);
    let results: Vec<(Vec<f32>, Vec<f32>)> = [1, 2, 5]
        .into_iter()
        .map(|threads| {
            let device = Device::cpu(threads).unwrap();
            let (mut out, mut context) = (Rows::default(), Rows::default());
            device.install(|| {
                linear(&device, &layer, &x, Activation::Gelu, &mut out);
                let mask = Mask::CAUSAL;
                let shape = Attention { heads: 4, heads_kv: 4, head_dim: 24, scale: 0.2, mask };
                super::attention(&device, &shape, &qkv, &[0, 70, 300], None, &mut context);
            });
            (out.as_slice().to_vec(), context.as_slice().to_vec())
        })
        .collect();
    assert!(results.iter().all(|result| *result == results[0]));
}
