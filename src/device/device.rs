//! The device on which networks compute.

use super::cpu::ops;
#[cfg(feature = "cuda")]
use super::cuda::Gpu;
use super::{Candle, Cpu, Dtype};
use crate::base::error::Result;
use crate::base::telemetry::MemoryInfo;

/// Where networks compute. Each kind of device has a variant here, and a folder with its
/// implementation of [`super::Backend`]. Cloning shares the device.
#[derive(Clone)]
pub enum Device {
    Cpu(Cpu),
    Candle(Candle),
    #[cfg(feature = "cuda")]
    Cuda(Gpu),
}

impl Device {
    /// The CPU with `threads` threads (0: every core) and the best instructions it has, in f32.
    pub fn cpu(threads: usize) -> Result<Self> {
        Cpu::new(threads).map(Self::Cpu)
    }

    /// The CPU that tokenises, and that computes the heads of networks: the device itself, or the
    /// host of a GPU.
    pub fn host(&self) -> &Cpu {
        match self {
            Self::Cpu(cpu) => cpu,
            Self::Candle(candle) => &candle.host,
            #[cfg(feature = "cuda")]
            Self::Cuda(gpu) => &gpu.host,
        }
    }

    /// The GPU whose kernels are ours, if networks compute there.
    #[cfg(feature = "cuda")]
    pub fn gpu(&self) -> Option<&Gpu> {
        match self {
            Self::Cpu(_) | Self::Candle(_) => None,
            Self::Cuda(gpu) => Some(gpu),
        }
    }

    /// Whether networks compute on a GPU.
    pub fn is_gpu(&self) -> bool {
        match self {
            Self::Cpu(_) => false,
            Self::Candle(candle) => candle.is_gpu(),
            #[cfg(feature = "cuda")]
            Self::Cuda(_) => true,
        }
    }

    /// `cpu avx512`, or `cuda:0 NVIDIA H100 80GB HBM3`.
    pub fn name(&self) -> String {
        match self {
            Self::Cpu(cpu) => cpu.name(),
            Self::Candle(candle) => candle.name(),
            #[cfg(feature = "cuda")]
            Self::Cuda(gpu) => gpu.cuda.name(),
        }
    }

    /// The device's own memory, at most some moments ago; `None` for a CPU, which shares the
    /// process's, and for a GPU of candle, which does not tell.
    pub fn memory(&self) -> Option<MemoryInfo> {
        match self {
            Self::Cpu(_) | Self::Candle(_) => None,
            #[cfg(feature = "cuda")]
            Self::Cuda(gpu) => gpu.cuda.recent_memory(),
        }
    }

    /// What the linear layers of networks multiply.
    pub fn dtype(&self) -> Dtype {
        match self {
            Self::Cpu(cpu) => cpu.dtype(),
            Self::Candle(candle) => candle.dtype,
            #[cfg(feature = "cuda")]
            Self::Cuda(gpu) => gpu.dtype,
        }
    }

    /// The rate at which networks could multiply here if nothing else cost anything, in 10^9
    /// operations a second.
    pub fn peak_gflops(&self) -> Result<f64> {
        match self {
            Self::Cpu(cpu) => Ok(ops::peak_gflops(cpu)),
            Self::Candle(candle) => candle.peak_gflops(),
            #[cfg(feature = "cuda")]
            Self::Cuda(gpu) => gpu.peak_gflops(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cpu_is_its_own_host_and_has_no_memory_of_its_own() {
        let device = Device::cpu(2).unwrap();
        assert_eq!((device.name(), device.host().threads()), (device.host().name(), 2));
        assert!(!device.is_gpu() && device.memory().is_none());
    }
}
