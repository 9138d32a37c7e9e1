//! Which device is used, by the settings and by what the machine has.

#[cfg(feature = "cuda")]
use super::cuda::Gpu;
use super::{Candle, Cpu, Device, InstructionSet};
use crate::base::config::{BackendChoice, DeviceChoice, EngineSettings};
use crate::base::error::{Error, Result};

/// A device, and why it is this one.
pub struct Selection {
    pub device: Device,
    /// A few words for the log and for `codeintel doctor`.
    pub reason: String,
}

impl Selection {
    /// What `engine.device` and `engine.backend` ask for; an error if it is not available. `auto`
    /// takes a GPU if there is one, unless `engine.dtype` names numbers that only the CPU
    /// multiplies.
    pub fn open(settings: &EngineSettings) -> Result<Self> {
        match (settings.backend, settings.device) {
            (BackendChoice::Candle, _) | (BackendChoice::Auto, DeviceChoice::Metal) => {
                Self::candle(settings)
            }
            (BackendChoice::Native, DeviceChoice::Metal) => Err(Error::Argument {
                name: "engine.backend",
                value: BackendChoice::Native.to_string(),
                expected: "auto or candle with engine.device = metal".to_owned(),
            }),
            (_, DeviceChoice::Cpu) => Self::cpu(settings, "engine.device = cpu"),
            (_, DeviceChoice::Cuda(ordinal)) => Self::cuda(settings, ordinal),
            (backend, DeviceChoice::Auto) => Self::auto(settings, backend),
        }
    }

    /// The CPU with our kernels, whatever `engine.device` asks for.
    pub fn cpu(settings: &EngineSettings, reason: &str) -> Result<Self> {
        let set = InstructionSet::choose(settings.instructions);
        let cpu = Cpu::with_instructions(settings.threads, set)?.with_dtype(settings.dtype)?;
        Ok(Self { device: Device::Cpu(cpu), reason: reason.to_owned() })
    }

    /// The CPU with the operations of candle, whatever `engine.device` asks for.
    pub fn candle_cpu(settings: &EngineSettings, reason: &str) -> Result<Self> {
        let candle = Candle::on_cpu(Cpu::new(settings.threads)?);
        Ok(Self { device: Device::Candle(candle), reason: reason.to_owned() })
    }

    /// The first GPU that can be used, by our kernels or by candle, or else the CPU.
    fn auto(settings: &EngineSettings, backend: BackendChoice) -> Result<Self> {
        let native = if cfg!(feature = "cuda") {
            Self::cuda(settings, 0).map_err(|error| format!("auto: {error}"))
        } else {
            Err("this build has no GPU support".to_owned())
        };
        native.or_else(|why| match backend {
            BackendChoice::Auto if Candle::has_gpu() => Self::candle(settings)
                .or_else(|error| Self::cpu(settings, &format!("auto: {error}"))),
            _ => Self::cpu(settings, &why),
        })
    }

    /// The device of candle that the settings ask for.
    pub fn candle(settings: &EngineSettings) -> Result<Self> {
        let device = Device::Candle(Candle::open(settings)?);
        let EngineSettings { backend, device: asked, .. } = settings;
        Ok(Self { device, reason: format!("engine.backend = {backend}, engine.device = {asked}") })
    }

    #[cfg(feature = "cuda")]
    fn cuda(settings: &EngineSettings, ordinal: usize) -> Result<Self> {
        let device = Device::Cuda(Gpu::open(settings, ordinal)?);
        Ok(Self { device, reason: format!("engine.device = {}", settings.device) })
    }

    #[cfg(not(feature = "cuda"))]
    fn cuda(settings: &EngineSettings, ordinal: usize) -> Result<Self> {
        if Candle::has_gpu() && settings.backend == BackendChoice::Auto {
            return Self::candle(settings);
        }
        Err(Error::Unavailable {
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
    use crate::base::config::InstructionsChoice;

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
    #[test]
    fn settings_choose_the_instructions_and_candle() {
        let settings = EngineSettings { threads: 1, ..Default::default() };
        let instructions = InstructionsChoice::Portable;
        let portable = Selection::open(&EngineSettings { instructions, ..settings.clone() });
        assert_eq!(portable.unwrap().device.name(), "cpu portable");
        let backend = BackendChoice::Candle;
        let candle = Selection::open(&EngineSettings { backend, ..settings.clone() }).unwrap();
        assert_eq!(candle.device.name(), "candle cpu");
        let (backend, device) = (BackendChoice::Native, DeviceChoice::Metal);
        let error = Selection::open(&EngineSettings { backend, device, ..settings }).err().unwrap();
        assert!(error.to_string().contains("auto or candle"), "{error}");
    }
}
