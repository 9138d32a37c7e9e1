//! Which device is used, by the settings and by what the machine has.

#[cfg(feature = "cuda")]
use super::cuda::Gpu;
use super::{Cpu, Device};
use crate::base::config::{DeviceChoice, EngineSettings};
use crate::base::error::Result;

/// A device, and why it is this one.
pub struct Selection {
    pub device: Device,
    /// A few words for the log and for `codeintel doctor`.
    pub reason: String,
}

impl Selection {
    /// What `engine.device` asks for; an error if it is not available. `auto` takes a GPU if there
    /// is one, unless `engine.dtype` names numbers that only the CPU multiplies.
    pub fn open(settings: &EngineSettings) -> Result<Self> {
        match settings.device {
            DeviceChoice::Cpu => Self::cpu(settings, "engine.device = cpu"),
            DeviceChoice::Cuda(ordinal) => Self::cuda(settings, ordinal),
            DeviceChoice::Auto if cfg!(not(feature = "cuda")) => {
                Self::cpu(settings, "this build has no GPU support")
            }
            DeviceChoice::Auto => Self::cuda(settings, 0)
                .or_else(|error| Self::cpu(settings, &format!("auto: {error}"))),
        }
    }

    /// The CPU, whatever `engine.device` asks for.
    pub fn cpu(settings: &EngineSettings, reason: &str) -> Result<Self> {
        let cpu = Cpu::new(settings.threads)?.with_dtype(settings.dtype)?;
        Ok(Self { device: Device::Cpu(cpu), reason: reason.to_owned() })
    }

    #[cfg(feature = "cuda")]
    fn cuda(settings: &EngineSettings, ordinal: usize) -> Result<Self> {
        let device = Device::Cuda(Gpu::open(settings, ordinal)?);
        Ok(Self { device, reason: format!("engine.device = {}", settings.device) })
    }

    #[cfg(not(feature = "cuda"))]
    fn cuda(_: &EngineSettings, ordinal: usize) -> Result<Self> {
        Err(crate::base::error::Error::Unavailable {
            what: format!("cuda:{ordinal}"),
            remedy: "this build has no GPU support; build one with `cargo build --release \
                     --features cuda`, or use engine.device = cpu"
                .to_owned(),
        })
    }
}

#[cfg(all(test, not(feature = "cuda")))]
mod tests {
    use super::*;

    #[test]
    fn a_build_without_gpu_support_says_how_to_make_one_and_auto_takes_the_cpu() {
        let open =
            |device| Selection::open(&EngineSettings { device, threads: 1, ..Default::default() });
        let error = open(DeviceChoice::Cuda(1)).err().unwrap().to_string();
        assert!(error.contains("cuda:1") && error.contains("--features cuda"), "{error}");
        let selection = open(DeviceChoice::Auto).unwrap();
        assert!(!selection.device.is_gpu(), "{}", selection.device.name());
        assert!(selection.reason.contains("no GPU support"), "{}", selection.reason);
    }
}
