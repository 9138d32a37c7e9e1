//! Which threads compute, and with which instructions?

use std::sync::Arc;

use super::{Dtype, InstructionSet, ops};
use crate::config::DtypeChoice;
use crate::error::{Error, Result};

/// Threads of the CPU and the instructions they use. Cloning shares the threads.
#[derive(Clone)]
pub struct Device {
    pool: Arc<rayon::ThreadPool>,
    set: InstructionSet,
    dtype: Dtype,
}

/// The memory of a device that has its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryInfo {
    pub used_bytes: u64,
    pub total_bytes: u64,
}

impl Device {
    /// The CPU with `threads` threads (0: every core) and the best instructions it has.
    pub fn cpu(threads: usize) -> Result<Self> {
        Self::cpu_with(threads, InstructionSet::detect())
    }

    /// The CPU with instructions that a test forces; an error where it has not got them.
    pub fn cpu_with(threads: usize, set: InstructionSet) -> Result<Self> {
        if !set.is_available() {
            return Err(Error::Unavailable {
                what: format!("the instruction set {}", set.as_str()),
                remedy: "this processor has not got it; use another".to_owned(),
            });
        }
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|i| format!("cpu-{i}"))
            .build()
            .map_err(Error::library("rayon", "start the threads of the CPU"))?;
        Ok(Self { pool: Arc::new(pool), set, dtype: Dtype::F32 })
    }

    /// The same threads for networks whose linear layers multiply as `choice` says.
    pub fn with_dtype(self, choice: DtypeChoice) -> Self {
        let dtype = match choice {
            // Elsewhere 16-bit integers take two instructions, and gain nothing over f32.
            DtypeChoice::Auto if ops::int16_is_fast(self.set) => Dtype::Int16,
            DtypeChoice::Auto | DtypeChoice::F32 => Dtype::F32,
            DtypeChoice::Bf16 => Dtype::Bf16,
            DtypeChoice::Int16 => Dtype::Int16,
            DtypeChoice::Int8 => Dtype::Int8,
        };
        Self { dtype, ..self }
    }

    /// `cpu avx512`.
    pub fn name(&self) -> String {
        format!("cpu {}", self.set.as_str())
    }

    /// The device's own memory; `None` for a CPU, which shares the process's.
    pub fn memory(&self) -> Option<MemoryInfo> {
        None
    }

    pub fn threads(&self) -> usize {
        self.pool.current_num_threads()
    }

    /// What linear layers multiply.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// The instructions that its loops use.
    pub fn instruction_set(&self) -> InstructionSet {
        self.set
    }

    /// Runs `f` on the device's threads, so that rayon inside `f` uses them and no others.
    pub fn install<R: Send>(&self, f: impl FnOnce() -> R + Send) -> R {
        self.pool.install(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_says_what_it_is_and_runs_work_on_its_own_threads() {
        let device = Device::cpu_with(3, InstructionSet::Portable).unwrap();
        assert_eq!((device.name().as_str(), device.threads()), ("cpu portable", 3));
        assert_eq!(device.install(rayon::current_num_threads), 3);
        assert_eq!(device.memory(), None);
    }
}
