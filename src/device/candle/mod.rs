//! How do networks compute on a device of candle: a CPU, an Apple GPU or an NVIDIA GPU?
//!
//! The operations are those of candle-core and candle-nn. They are the portable way to compute, and
//! an implementation that shares no code with our kernels.

mod attention;
mod backend;

pub use backend::CandleBatch;

use std::time::Instant;

use candle_core::utils::{cuda_is_available, metal_is_available};
use candle_core::{DType, Tensor};

use super::{Cpu, Dtype, Rows};
use crate::base::config::{DeviceChoice, DtypeChoice, EngineSettings};
use crate::base::error::{Error, Result};

/// The rows and the columns of the matrices whose product measures the peak rate, and how often it
/// is computed.
const PEAK_SIDE: usize = 1024;
const PEAK_ROUNDS: usize = 5;

/// A device of candle, the numbers in which networks compute there, and the CPU that feeds it.
#[derive(Clone)]
pub struct Candle {
    pub device: candle_core::Device,
    pub dtype: Dtype,
    pub host: Cpu,
}

impl Candle {
    /// The device that the settings ask for; `auto` is a GPU if this build and this machine have
    /// one.
    pub fn open(settings: &EngineSettings) -> Result<Self> {
        let choice = match settings.device {
            DeviceChoice::Auto if metal_is_available() => DeviceChoice::Metal,
            DeviceChoice::Auto if cuda_is_available() => DeviceChoice::Cuda(0),
            DeviceChoice::Auto => DeviceChoice::Cpu,
            choice => choice,
        };
        let opened = match choice {
            DeviceChoice::Metal => candle_core::Device::new_metal(0),
            DeviceChoice::Cuda(ordinal) => candle_core::Device::new_cuda(ordinal),
            DeviceChoice::Auto | DeviceChoice::Cpu => Ok(candle_core::Device::Cpu),
        };
        let device = opened.map_err(|error| Error::Unavailable {
            what: format!("the device {choice} of candle ({})", first_line(&error)),
            remedy: "build with `--features metal` on an Apple processor or `--features \
                     candle-cuda` for an NVIDIA GPU, or use engine.device = cpu"
                .to_owned(),
        })?;
        let dtype = dtype(settings.dtype, device.is_cpu())?;
        Ok(Self { device, dtype, host: Cpu::new(settings.threads)? })
    }

    /// Whether this build has a GPU of candle.
    pub fn has_gpu() -> bool {
        metal_is_available() || cuda_is_available()
    }

    /// The CPU as a device of candle, in f32.
    pub fn on_cpu(host: Cpu) -> Self {
        Self { device: candle_core::Device::Cpu, dtype: Dtype::F32, host }
    }

    /// `candle cpu`, `candle metal` or `candle cuda`.
    pub fn name(&self) -> String {
        let kind = match self.device {
            candle_core::Device::Cpu => "cpu",
            candle_core::Device::Cuda(_) => "cuda",
            candle_core::Device::Metal(_) => "metal",
        };
        format!("candle {kind}")
    }

    pub fn is_gpu(&self) -> bool {
        !self.device.is_cpu()
    }

    /// The best rate of a matrix product, in 10^9 operations a second.
    pub fn peak_gflops(&self) -> Result<f64> {
        let values = vec![0.5; PEAK_SIDE * PEAK_SIDE];
        let square = self.upload(values, (PEAK_SIDE, PEAK_SIDE))?;
        let product = || {
            let begun = Instant::now();
            square.matmul(&square)?.device().synchronize()?;
            Ok(begun.elapsed().as_secs_f64())
        };
        let mut best = f64::INFINITY;
        for _ in 0..PEAK_ROUNDS {
            best = best.min(self.host.install(product).map_err(failed)?);
        }
        Ok(2.0 * (PEAK_SIDE as f64).powi(3) / best / 1e9)
    }

    /// candle's name for the type of all values.
    pub fn value_type(&self) -> DType {
        match self.dtype {
            Dtype::F16 => DType::F16,
            Dtype::Bf16 => DType::BF16,
            Dtype::F32 | Dtype::Int16 | Dtype::Int8 => DType::F32,
        }
    }

    /// values: `shape`, row-major.
    pub fn upload<S: candle_core::shape::ShapeWithOneHole>(
        &self,
        values: Vec<f32>,
        shape: S,
    ) -> Result<Tensor> {
        let placed = Tensor::from_vec(values, shape, &self.device);
        placed.and_then(|tensor| tensor.to_dtype(self.value_type())).map_err(failed)
    }

    /// rows: `[n, d]`.
    pub fn download(&self, rows: &Tensor) -> Result<Rows> {
        let read = || rows.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>();
        let d = rows.dim(1).map_err(failed)?;
        Ok(Rows::new(read().map_err(failed)?, d))
    }
}

/// The error for an operation of candle that failed.
pub fn failed(source: candle_core::Error) -> Error {
    Error::library("candle", "compute a network")(source)
}

fn dtype(choice: DtypeChoice, on_cpu: bool) -> Result<Dtype> {
    match choice {
        DtypeChoice::Auto | DtypeChoice::F32 => Ok(Dtype::F32),
        DtypeChoice::Bf16 if !on_cpu => Ok(Dtype::Bf16),
        DtypeChoice::F16 if !on_cpu => Ok(Dtype::F16),
        other => Err(Error::Argument {
            name: "engine.dtype",
            value: other.to_string(),
            expected: "auto or f32 with engine.backend = candle, on a GPU also bf16 and f16"
                .to_owned(),
        }),
    }
}

/// The message of a failure, without the backtrace that candle appends.
fn first_line(error: &candle_core::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_build_does_not_have_is_named_with_the_remedy() {
        let open = |device, dtype| {
            Candle::open(&EngineSettings { device, dtype, threads: 1, ..Default::default() })
        };
        let cpu = open(DeviceChoice::Cpu, DtypeChoice::Auto).unwrap();
        assert_eq!((cpu.name().as_str(), cpu.is_gpu()), ("candle cpu", false));
        let error = open(DeviceChoice::Cpu, DtypeChoice::Int8).err().unwrap().to_string();
        assert!(error.contains("int8") && error.contains("engine.backend"), "{error}");
        if !metal_is_available() {
            let error = open(DeviceChoice::Metal, DtypeChoice::Auto).err().unwrap().to_string();
            assert!(error.contains("metal") && error.contains("--features"), "{error}");
        }
    }
}
