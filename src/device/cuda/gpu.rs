//! A GPU with its host, as a device for networks.

use std::sync::Arc;

use half::{bf16, f16};

use super::context::Cuda;
use super::peak::peak_gflops;
use crate::base::config::{DtypeChoice, EngineSettings};
use crate::base::error::{Error, Result};
use crate::device::{Cpu, Dtype};

/// A GPU, the numbers in which networks compute there, and the CPU that feeds it. Cloning shares
/// both.
#[derive(Clone)]
pub struct Gpu {
    pub cuda: Arc<Cuda>,
    pub dtype: Dtype,
    pub host: Cpu,
}

impl Gpu {
    /// Device `ordinal`, as the settings ask for it.
    pub fn open(settings: &EngineSettings, ordinal: usize) -> Result<Self> {
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
        let cuda = Arc::new(Cuda::open(ordinal, settings.gpu_memory_utilization)?);
        Ok(Self { cuda, dtype, host: Cpu::new(settings.threads)? })
    }

    /// The best rate of cuBLASLt in these numbers, in 10^9 operations a second.
    pub fn peak_gflops(&self) -> Result<f64> {
        if self.dtype == Dtype::F16 {
            peak_gflops::<f16>(&self.cuda)
        } else {
            peak_gflops::<bf16>(&self.cuda)
        }
    }
}
