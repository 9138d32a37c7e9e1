//! The peak rate of the CPU: its tile loop on operands that stay in L1.

use std::hint::black_box;
use std::time::{Duration, Instant};

use super::tile::{Kernel, PANEL, ROWS_MAX, Step};
use crate::device::Cpu;

/// Words of an input row: with a panel of weights, 22 KiB at most, so that all stays in L1.
const STEPS: usize = 128;

/// How long each thread computes at a time, and how often: others use the machine too, and a burst
/// shorter than a time slice is sometimes not disturbed.
const BURST: Duration = Duration::from_millis(1);
const BURSTS: usize = 200;

/// Tiles between two looks at the clock: some microseconds.
const TILES: usize = 64;

/// 1 twice as bf16, about 1 as f32, whole numbers otherwise: none of them slow.
const WORD: u32 = 0x3f80_3f80;

/// The rate of the CPU's own tile loop in its type of numbers, on operands that stay in L1 and all
/// threads at once, the best burst of each: what linear layers would reach if nothing else cost
/// anything. In 10^9 operations a second, a multiply-add counted as two.
pub fn peak_gflops(cpu: &Cpu) -> f64 {
    let kernel = Kernel::new(cpu.instruction_set(), cpu.dtype());
    let rows = kernel.height(ROWS_MAX);
    let products = rows * PANEL * STEPS * cpu.dtype().per_word();
    let burst = || {
        let x = black_box(vec![WORD; rows * STEPS]);
        let panel = black_box(vec![Step([WORD; PANEL]); STEPS]);
        let mut sums = [Step::ZERO; ROWS_MAX];
        let (began, mut tiles) = (Instant::now(), 0);
        while began.elapsed() < BURST {
            for _ in 0..TILES {
                kernel.run(rows, &x, STEPS, &panel, &mut sums, 1, &[]);
                black_box(&mut sums);
            }
            tiles += TILES;
        }
        2e-9 * (tiles * products) as f64 / began.elapsed().as_secs_f64()
    };
    let best = |_: rayon::BroadcastContext<'_>| (0..BURSTS).map(|_| burst()).fold(0.0, f64::max);
    cpu.install(|| rayon::broadcast(best)).into_iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::config::DtypeChoice;

    #[test]
    fn every_type_has_a_peak() {
        for choice in [DtypeChoice::F32, DtypeChoice::Bf16, DtypeChoice::Int16, DtypeChoice::Int8] {
            let peak = peak_gflops(&Cpu::new(1).unwrap().with_dtype(choice).unwrap());
            assert!(peak.is_finite() && peak > 0.0, "{choice}: {peak}");
        }
    }
}
