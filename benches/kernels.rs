//! The rate of the CPU kernels, compared with the processor's peak.
//!
//! Measured: the linear layers and the attention of all-MiniLM-L6-v2 on 256 rows of noise, on one
//! thread, in each type. A table gives billions of operations a second (a multiplication and an
//! addition are two) and the share of the instruction peak: a loop of nothing but the instruction,
//! on registers, timed in the same rounds. Rounds of all rows alternate and the best of each is
//! kept, so that a busy machine disturbs all alike; then divan's times.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used
)]

use std::time::{Duration, Instant};

use codeintel::device::cpu::ops::{Activation, Attention, Linear, Mask, attention, linear};
use codeintel::device::{Cpu, Dtype, InstructionSet, Rows};
use divan::Bencher;

use support::{size, smoke};

mod support;

/// Rows of a product: a group of sequences that the encoder computes at once.
const ROWS: usize = 256;

/// The linear layers of MiniLM: name, inputs, outputs, activation.
const LAYERS: [(&str, usize, usize, Activation); 4] = [
    ("qkv", 384, 1152, Activation::None),
    ("o_proj", 384, 384, Activation::None),
    ("up_proj and gelu", 384, 1536, Activation::Gelu),
    ("down_proj", 1536, 384, Activation::None),
];

/// The attention of MiniLM.
const ATTENTION: Attention = Attention {
    heads: 12,
    heads_kv: 12,
    head_dim: 32,
    scale: 0.176_776_7, // 1 / sqrt(32)
    mask: Mask::FULL,
};

fn main() {
    if !smoke() && !std::env::args().any(|arg| arg == "--list") {
        table();
    }
    divan::main();
}

/// Numbers in [-1, 1) that a seed decides.
fn noise(count: usize, seed: u64) -> Vec<f32> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..count).map(|_| random.f32() * 2.0 - 1.0).collect()
}

fn layer(inputs: usize, outputs: usize, dtype: Dtype) -> Linear {
    let weight = noise(inputs * outputs, 1);
    // Of such a size that the outputs are those of a network: within some units of 0.
    let weight: Vec<f32> = weight.iter().map(|w| w / (inputs as f32).sqrt()).collect();
    Linear::with_dtype(&weight, noise(outputs, 2), inputs, dtype)
}

fn cpu() -> Cpu {
    Cpu::new(1).expect("a thread starts")
}

/// One line of the table: what is timed, its operations, and the best time so far.
struct Line<'a> {
    name: String,
    dtype: Dtype,
    operations: f64,
    work: Box<dyn FnMut() + Send + 'a>,
    best: Duration,
}

impl Line<'_> {
    /// Billions of operations a second.
    fn rate(&self) -> f64 {
        self.operations / self.best.as_secs_f64() / 1e9
    }
}

fn table() {
    let cpu = &cpu();
    println!("{}, {ROWS} rows, one thread", cpu.name());
    let mut lines = Vec::new();
    for dtype in Dtype::CPU {
        lines.extend(peak::line(dtype, cpu.instruction_set()));
        for (name, inputs, outputs, activation) in LAYERS {
            let (layer, x) =
                (layer(inputs, outputs, dtype), Rows::new(noise(ROWS * inputs, 3), inputs));
            let mut out = Rows::default();
            lines.push(Line {
                name: format!("{name} {inputs} -> {outputs}"),
                dtype,
                operations: 2.0 * (ROWS * inputs * outputs) as f64,
                work: Box::new(move || linear(cpu, &layer, &x, activation, &mut out)),
                best: Duration::MAX,
            });
        }
    }
    let (qkv, mut out) = (qkv(ROWS), Rows::default());
    lines.push(Line {
        name: format!("attention, one sequence of {ROWS}"),
        dtype: Dtype::F32,
        operations: 4.0 * (ROWS * ROWS * ATTENTION.heads * ATTENTION.head_dim) as f64,
        work: Box::new(move || {
            attention(cpu, &ATTENTION, &qkv, &[0, ROWS as u32], None, &mut out);
        }),
        best: Duration::MAX,
    });
    cpu.install(|| measure(&mut lines));
    println!("{:<34} {:>6} {:>8} {:>14}", "kernel", "type", "GFLOP/s", "of the peak");
    let mut peaks = Vec::new();
    for line in &lines {
        if line.name == peak::NAME {
            peaks.push((line.dtype, line.rate()));
        }
        let peak = peaks.iter().find(|(dtype, _)| *dtype == line.dtype);
        let share =
            peak.map_or("-".to_owned(), |(_, peak)| format!("{:.0} %", 100.0 * line.rate() / peak));
        let (name, dtype) = (&line.name, line.dtype.as_str());
        println!("{name:<34} {dtype:>6} {:>8.0} {share:>14}", line.rate());
    }
}

fn measure(lines: &mut [Line<'_>]) {
    for _ in 0..size(200, 1) {
        for line in &mut *lines {
            let began = Instant::now();
            (line.work)();
            line.best = line.best.min(began.elapsed());
        }
    }
}

fn qkv(rows: usize) -> Rows {
    Rows::new(noise(rows * ATTENTION.row_dim(), 4), ATTENTION.row_dim())
}

#[divan::bench(args = [12, 256])]
fn attention_of_one_sequence(bencher: Bencher<'_, '_>, rows: usize) {
    let (cpu, qkv, mut out) = (cpu(), qkv(rows), Rows::default());
    bencher.bench_local(|| {
        cpu.install(|| attention(&cpu, &ATTENTION, &qkv, &[0, rows as u32], None, &mut out));
    });
}

#[divan::bench(args = [("f32", 12), ("f32", 256), ("bf16", 256), ("int16", 256), ("int8", 256)])]
fn up_and_gelu(bencher: Bencher<'_, '_>, (dtype, rows): (&str, usize)) {
    let dtype = Dtype::parse(dtype).expect("a type of ours");
    let (_, inputs, outputs, activation) = LAYERS[2];
    let (layer, x) = (layer(inputs, outputs, dtype), Rows::new(noise(rows * inputs, 3), inputs));
    let (cpu, mut out) = (cpu(), Rows::default());
    bencher.bench_local(|| cpu.install(|| linear(&cpu, &layer, &x, activation, &mut out)));
}

/// The loops of nothing but one instruction.
mod peak {
    use super::*;

    pub const NAME: &str = "instruction peak";

    /// The peak of `dtype`, where the processor has an instruction for it.
    #[cfg(not(target_arch = "x86_64"))]
    pub fn line(_: Dtype, _: InstructionSet) -> Option<Line<'static>> {
        None
    }

    #[cfg(target_arch = "x86_64")]
    pub fn line(dtype: Dtype, set: InstructionSet) -> Option<Line<'static>> {
        const ROUNDS: usize = 20_000;
        let work: unsafe fn(usize) = match dtype {
            _ if set != InstructionSet::Avx512 => return None,
            Dtype::F32 => x86::f32,
            Dtype::Bf16 if is_x86_feature_detected!("avx512bf16") => x86::bf16,
            Dtype::Int16 if is_x86_feature_detected!("avx512vnni") => x86::int16,
            Dtype::Int8 if is_x86_feature_detected!("avx512vnni") => x86::int8,
            _ => return None,
        };
        let per_lane = match dtype {
            Dtype::F32 => 2,
            Dtype::Bf16 | Dtype::F16 | Dtype::Int16 => 4,
            Dtype::Int8 => 8,
        };
        Some(Line {
            name: NAME.to_owned(),
            dtype,
            operations: (ROUNDS * x86::SUMS * 16 * per_lane) as f64,
            // SAFETY: the processor has the instruction, as was just asked.
            work: Box::new(move || unsafe { work(ROUNDS) }),
            best: Duration::MAX,
        })
    }

    #[cfg(target_arch = "x86_64")]
    mod x86 {
        use std::arch::asm;
        use std::arch::x86_64::{__m512i, _mm512_set1_epi32, _mm512_setzero_si512};
        use std::hint::black_box;

        /// Sums that do not wait for each other: as many as a tile has.
        pub const SUMS: usize = 24;

        macro_rules! peak {
            ($name:ident, $instruction:literal) => {
                /// # Safety
                /// The processor has the instruction.
                #[target_feature(enable = "avx512f")]
                pub unsafe fn $name(rounds: usize) {
                    let mut sums: [__m512i; SUMS] = [_mm512_setzero_si512(); SUMS];
                    // 1 as f32, and about 1 in each half as bf16.
                    let x = _mm512_set1_epi32(black_box(0x3f80_3f80));
                    for _ in 0..rounds {
                        for sum in &mut sums {
                            // SAFETY: one instruction from registers to a register.
                            unsafe {
                                asm!(concat!($instruction, " {0}, {1}, {1}"),
                                    inout(zmm_reg) *sum, in(zmm_reg) x,
                                    options(pure, nomem, nostack, preserves_flags));
                            }
                        }
                    }
                    black_box(sums);
                }
            };
        }
        peak!(f32, "vfmadd231ps");
        peak!(bf16, "vdpbf16ps");
        peak!(int16, "vpdpwssd");
        peak!(int8, "vpdpbusd");
    }
}
