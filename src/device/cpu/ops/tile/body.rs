//! The loop of every vector build.

/// A build of the loop: a function of the type `Run` that takes 1 to `$rows` rows.
///
/// `$dot` is `sum + x * w` over the words of one register, where x is one word in every lane.
macro_rules! tile_build {
    (
        $(#[$doc:meta])*
        fn $name:ident, $features:literal, rows [$($rows:literal)+], lanes $lanes:literal of $vector:ty,
        zero $zero:ident, load $load:ident, spread $spread:ident, store $store:ident,
        |$sum:ident, $x:ident, $w:ident| $dot:expr
    ) => {
        $(#[$doc])*
        ///
        /// x: `[rows, stride]`; panel: `[steps, 32]`; sums: `[rows, across]`; ahead: `[any]`.
        ///
        /// # Safety
        /// The processor has the instructions; x holds `(rows - 1) * stride + panel.len()` words.
        #[target_feature(enable = $features)]
        pub unsafe fn $name(
            rows: usize, x: &[u32], stride: usize, panel: &[Step], sums: &mut [Step], across: usize,
            ahead: &[Step],
        ) {
            /// # Safety
            /// As for the function around it, with ROWS rows.
            #[target_feature(enable = $features)]
            unsafe fn tile<const ROWS: usize>(
                x: &[u32], stride: usize, panel: &[Step], sums: &mut [Step], across: usize,
                ahead: &[Step],
            ) {
                let ahead_per_step = size_of_val(ahead).div_ceil(panel.len().max(1));
                let ahead = ahead.as_ptr().cast::<i8>();
                // Two registers of outputs at a time: the whole panel on AVX-512.
                for column in (0..PANEL).step_by(2 * $lanes) {
                    assert!(column + 2 * $lanes <= PANEL);
                    let mut left: [$vector; ROWS] = [$zero(); ROWS];
                    let mut right: [$vector; ROWS] = [$zero(); ROWS];
                    for (s, step) in panel.iter().enumerate() {
                        let weights = step.0[column..column + 2 * $lanes].as_ptr();
                        // SAFETY: both loads lie in the slice just taken.
                        let (w0, w1) = unsafe {
                            ($load(weights.cast()), $load(weights.add($lanes).cast()))
                        };
                        let line = ahead.wrapping_add(s * ahead_per_step);
                        _mm_prefetch::<_MM_HINT_T1>(line);
                        _mm_prefetch::<_MM_HINT_T1>(line.wrapping_add(64));
                        for r in 0..ROWS {
                            // SAFETY: s < panel.len() and r < ROWS, so the caller promises the
                            // word.
                            let word = unsafe { *x.get_unchecked(r * stride + s) };
                            let $x = $spread(word as i32);
                            left[r] = { let ($sum, $w) = (left[r], w0); $dot };
                            right[r] = { let ($sum, $w) = (right[r], w1); $dot };
                        }
                    }
                    for r in 0..ROWS {
                        let row = sums[r * across].0[column..column + 2 * $lanes].as_mut_ptr();
                        // SAFETY: both stores lie in the slice just taken.
                        unsafe {
                            $store(row.cast(), left[r]);
                            $store(row.add($lanes).cast(), right[r]);
                        }
                    }
                }
            }
            match rows {
                // SAFETY: passed on from the caller.
                $($rows => unsafe { tile::<$rows>(x, stride, panel, sums, across, ahead) },)+
                _ => unreachable!("a tile of {rows} rows"),
            }
        }
    };
}
