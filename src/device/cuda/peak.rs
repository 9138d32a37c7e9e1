//! The peak rate of a GPU: cuBLASLt on large matrices.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cudarc::driver::sys::CUevent_flags;

use super::context::Cuda;
use super::element::Element;
use super::error::failed;
use super::matmul::linear;
use super::memory::{Arena, DeviceRows};
use super::staging::Staging;
use super::weights::DeviceLinear;
use crate::base::error::Result;
use crate::device::Rows;
use crate::device::cpu::ops::Activation;

/// Sides of the matrices, ascending.
const SIDES: [usize; 4] = [512, 2048, 4096, 8192];
/// Products between two readings of the clock.
const PRODUCTS: usize = 8;
/// The minimum time for each side, since an idle device takes time to reach its clock rate. If one
/// round takes longer, larger sides are not tried.
const MIN_TIME: Duration = Duration::from_millis(150);
const STAGING_BYTES: usize = 16 << 20;

/// The best rate at which cuBLASLt multiplies square matrices in `T`, in 10^9 operations a second,
/// a multiply-add counted as two.
pub fn peak_gflops<T: Element>(cuda: &Arc<Cuda>) -> Result<f64> {
    let event = || cuda.context().new_event(Some(CUevent_flags::CU_EVENT_DEFAULT));
    let (from, to) = (event().map_err(failed(CLOCK))?, event().map_err(failed(CLOCK))?);
    let mut staging = Staging::new(cuda, STAGING_BYTES)?;
    let mut best = 0.0_f64;
    for n in SIDES {
        let values = (0..n * n).map(|i| (i % 251) as f32 / 251.0 - 0.5).collect();
        let values = Rows::new(values, n);
        let bytes = n * n * size_of::<T>();
        let mut arena = Arena::new(cuda, Arena::bytes_of(&[bytes, bytes]))?;
        let weight = DeviceLinear::<T>::place(cuda, &mut staging, &mut arena, &values, None)?;
        let x = staging.place_rows::<T>(cuda, &mut arena, &values)?;
        let mut out = DeviceRows::default();
        out.reserve(cuda, n, n)?;
        out.resize(n, n);
        let mut multiply = || linear(cuda, &weight, &x, Activation::None, &mut out);
        // The first product chooses an algorithm.
        multiply()?;
        let began = Instant::now();
        let mut ms = 0.0;
        while began.elapsed() < MIN_TIME {
            from.record(&cuda.stream).map_err(failed(CLOCK))?;
            (0..PRODUCTS).try_for_each(|_| multiply())?;
            to.record(&cuda.stream).map_err(failed(CLOCK))?;
            ms = from.elapsed_ms(&to).map_err(failed(CLOCK))?;
            let gflops = 2e-6 * (PRODUCTS * n * n * n) as f64 / f64::from(ms);
            best = best.max(if gflops.is_finite() { gflops } else { 0.0 });
        }
        if Duration::from_secs_f32(1e-3 * ms) > MIN_TIME {
            break;
        }
    }
    Ok(best)
}

const CLOCK: &str = "read the device's clock";
