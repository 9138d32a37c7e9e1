//! Every build of the loop against the portable one.

use proptest::prelude::*;

use super::*;

/// Every build that this processor can run, not only the one that it would choose.
fn builds(dtype: Dtype) -> Vec<(&'static str, Kernel)> {
    let mut builds = vec![("portable", portable::kernel(dtype))];
    #[cfg(target_arch = "x86_64")]
    {
        if InstructionSet::Avx2.is_available() {
            builds.extend(avx2::builds(dtype));
        }
        if InstructionSet::Avx512.is_available() {
            builds.extend(avx512::builds(dtype));
        }
    }
    builds
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whole numbers to the last bit; f32 to what the order of additions may change.
    #[test]
    fn every_build_gives_the_same_sums(
        rows in 1..=ROWS_MAX, steps in 0..70usize, more in 0..3usize, seed in any::<u64>(),
    ) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut word = || rng.u32(..);
        let stride = steps + more;
        for dtype in Dtype::CPU {
            // Floats in [1, 2), so that their sums keep 20 bits whatever the order.
            let mut value = || match dtype {
                Dtype::F32 => word() >> 9 | 0x3f80_0000,
                Dtype::Bf16 => word() & 0x007f_007f | 0x3f80_3f80,
                Dtype::F16 => unreachable!("f16 is a GPU's"),
                // Not -2^15: the sum of two of its squares overflows.
                Dtype::Int16 => word() & 0x7fff_7fff,
                Dtype::Int8 => word(),
            };
            let x: Vec<u32> = (0..rows * stride).map(|_| value()).collect();
            let panel: Vec<Step> =
                (0..steps).map(|_| Step(std::array::from_fn(|_| value()))).collect();
            let mut want: Option<Vec<u32>> = None;
            for (name, kernel) in builds(dtype) {
                let height = kernel.height(rows);
                let mut got = Vec::new();
                for row in (0..rows).step_by(height) {
                    let height = height.min(rows - row);
                    let mut sums = [Step([7; PANEL]); 2 * ROWS_MAX];
                    kernel.run(height, &x[row * stride..], stride, &panel, &mut sums, 2, &panel);
                    got.extend(sums.iter().step_by(2).take(height).flat_map(|step| step.0));
                }
                let want = want.get_or_insert_with(|| got.clone());
                prop_assert_eq!(got.len(), want.len());
                for (got, want) in got.iter().zip(want.iter()) {
                    let same = match dtype {
                        Dtype::Int16 | Dtype::Int8 => got == want,
                        _ => {
                            let (got, want) = (f32::from_bits(*got), f32::from_bits(*want));
                            (got - want).abs() <= 1e-5 * want.abs()
                        }
                    };
                    prop_assert!(same, "{name} {}: {got:x} is not {want:x}", dtype.as_str());
                }
            }
        }
    }
}

#[test]
fn rows_are_cut_into_few_tiles_of_almost_one_height() {
    let kernel = Kernel { rows_max: 12, ..portable::kernel(Dtype::F32) };
    let heights: Vec<usize> =
        [1, 11, 12, 13, 24, 25, 96].into_iter().map(|n| kernel.height(n)).collect();
    assert_eq!(heights, [1, 11, 12, 7, 12, 9, 12]);
}
