//! On which device do networks compute, as the settings ask and the machine allows?

use super::Device;

use crate::base::config::{DeviceChoice, Settings};
use crate::base::error::{Error, Result};
use crate::device::cpu::ops;
#[cfg(feature = "cuda")]
use crate::device::{
    Dtype,
    cuda::{Cuda, peak_gflops},
};

/// A GPU, and the numbers in which networks compute there.
#[cfg(feature = "cuda")]
#[derive(Clone)]
pub struct Gpu {
    pub cuda: std::sync::Arc<Cuda>,
    pub dtype: Dtype,
}

impl Device {
    /// What `engine.device` asks for: an error where that is not there. `auto` takes a GPU that is,
    /// unless `engine.dtype` names what only the CPU multiplies.
    pub fn open(settings: &Settings) -> Result<Self> {
        match settings.device {
            DeviceChoice::Cpu => Self::cpu_instead(settings, "engine.device = cpu"),
            DeviceChoice::Cuda(ordinal) => Self::open_gpu(settings, ordinal),
            DeviceChoice::Auto if cfg!(not(feature = "cuda")) => {
                Self::cpu_instead(settings, "this build has no GPU support")
            }
            DeviceChoice::Auto => Self::open_gpu(settings, 0)
                .or_else(|error| Self::cpu_instead(settings, &format!("auto: {error}"))),
        }
    }

    /// The CPU, since `why`.
    pub fn cpu_instead(settings: &Settings, why: &str) -> Result<Self> {
        let device = Self::cpu(settings.threads)?.with_dtype(settings.dtype)?;
        Ok(device.because(why.to_owned()))
    }

    /// How fast networks could multiply here if nothing else cost anything, in 10^9 operations a second.
    pub fn peak_gflops(&self) -> Result<f64> {
        #[cfg(feature = "cuda")]
        if let Some(gpu) = self.gpu() {
            return match gpu.dtype {
                Dtype::F16 => peak_gflops::<half::f16>(&gpu.cuda),
                _ => peak_gflops::<half::bf16>(&gpu.cuda),
            };
        }
        Ok(ops::peak_gflops(self))
    }

    #[cfg(not(feature = "cuda"))]
    fn open_gpu(_: &Settings, ordinal: usize) -> Result<Self> {
        Err(Error::Unavailable {
            what: format!("cuda:{ordinal}"),
            remedy: "this build has no GPU support; build one with `cargo build --release \
                     --features cuda`, or use engine.device = cpu"
                .to_owned(),
        })
    }

    #[cfg(feature = "cuda")]
    fn open_gpu(settings: &Settings, ordinal: usize) -> Result<Self> {
        use crate::base::config::DtypeChoice;
        let dtype = match settings.dtype {
            DtypeChoice::Auto | DtypeChoice::Bf16 => Dtype::Bf16,
            DtypeChoice::F16 => Dtype::F16,
            choice @ (DtypeChoice::F32 | DtypeChoice::Int16 | DtypeChoice::Int8) => {
                return Err(Error::Argument {
                    name: "engine.dtype",
                    value: choice.to_string(),
                    expected: "auto, bf16 or f16 on a GPU; the CPU has the others (engine.device)"
                        .to_owned(),
                });
            }
        };
        let cuda = Cuda::open(ordinal, settings.gpu_memory_utilization)?;
        let gpu = Gpu { cuda: std::sync::Arc::new(cuda), dtype };
        let why = format!("engine.device = {}", settings.device);
        Ok(Self::cpu(settings.threads)?.with_gpu(gpu).because(why))
    }
}
