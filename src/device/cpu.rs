//! Which threads compute, and with which instructions?

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::{Dtype, InstructionSet, ops};
use crate::config::DtypeChoice;
use crate::error::{Error, Result};

/// How long a thread that is kept awake waits for its next part: some times as long as what one
/// thread does alone between two operations on a short text.
const IDLE_MAX: Duration = Duration::from_micros(100);

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

    /// As [`Device::install`], and keeps all threads awake until `f` is done: for short work in many
    /// small parts, each of which is over before a thread that sleeps is awake.
    pub fn install_awake<R: Send>(&self, f: impl FnOnce() -> R + Send) -> R {
        let done = AtomicBool::new(false);
        self.pool.in_place_scope(|scope| {
            scope.spawn_broadcast(|_, _| {
                // A thread may come here in the midst of a part, which others then wait for.
                let mut busy = Instant::now();
                while !done.load(Ordering::Acquire) && busy.elapsed() < IDLE_MAX {
                    match rayon::yield_now() {
                        Some(rayon::Yield::Executed) => busy = Instant::now(),
                        _ => std::hint::spin_loop(),
                    }
                }
            });
            let result = self.pool.install(f);
            done.store(true, Ordering::Release);
            result
        })
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

    #[test]
    fn threads_that_are_kept_awake_do_their_part_and_go_to_sleep_even_if_it_fails() {
        use rayon::prelude::*;
        let device = Device::cpu_with(3, InstructionSet::Portable).unwrap();
        for _ in 0..200 {
            let sum: usize = device.install_awake(|| (0..100_usize).into_par_iter().sum());
            assert_eq!(sum, 4950);
        }
        let fails = std::panic::AssertUnwindSafe(|| device.install_awake(|| panic!("a part")));
        assert!(std::panic::catch_unwind(fails).is_err());
        assert_eq!(device.install_awake(|| 7), 7);
    }
}
