//! How does the CPU compute: on which threads, with which instructions, in which numbers?

#[macro_use]
mod isa;
mod backend;
mod dtype;
pub mod ops;
mod process_time;

pub use backend::CpuBatch;
pub use dtype::Dtype;
pub use isa::InstructionSet;
pub use process_time::process_cpu_time;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::base::config::DtypeChoice;
use crate::base::error::{Error, Result};

/// How long a thread that is kept awake waits for its next part: some times as long as what one
/// thread does alone between two operations on a short text.
const IDLE_MAX: Duration = Duration::from_micros(100);

/// Threads of the CPU, the instructions they use and the numbers they multiply. Cloning shares the
/// threads.
#[derive(Clone)]
pub struct Cpu {
    pool: Arc<rayon::ThreadPool>,
    set: InstructionSet,
    dtype: Dtype,
}

impl Cpu {
    /// `threads` threads (0: every core) and the best instructions of this processor, in f32.
    pub fn new(threads: usize) -> Result<Self> {
        Self::with_instructions(threads, InstructionSet::detect())
    }

    /// As [`Cpu::new`], with instructions that a test forces; an error if this processor lacks
    /// them.
    pub fn with_instructions(threads: usize, set: InstructionSet) -> Result<Self> {
        if !set.is_available() {
            return Err(Error::Unavailable {
                what: format!("the instruction set {}", set.as_str()),
                remedy: "this processor does not have it; use another".to_owned(),
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
    pub fn with_dtype(self, choice: DtypeChoice) -> Result<Self> {
        let dtype = match choice {
            // On other processors 16-bit integers take two instructions and are no faster than f32.
            DtypeChoice::Auto if ops::int16_is_fast(self.set) => Dtype::Int16,
            DtypeChoice::Auto | DtypeChoice::F32 => Dtype::F32,
            DtypeChoice::Bf16 => Dtype::Bf16,
            DtypeChoice::Int16 => Dtype::Int16,
            DtypeChoice::Int8 => Dtype::Int8,
            DtypeChoice::F16 => {
                return Err(Error::Argument {
                    name: "engine.dtype",
                    value: choice.to_string(),
                    expected: "auto, f32, bf16, int16 or int8 on the CPU; f16 is for a GPU (engine.device)"
                        .to_owned(),
                });
            }
        };
        Ok(Self { dtype, ..self })
    }

    /// `cpu avx512`.
    pub fn name(&self) -> String {
        format!("cpu {}", self.set.as_str())
    }

    pub fn threads(&self) -> usize {
        self.pool.current_num_threads()
    }

    /// What the linear layers of networks multiply.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// The instructions that its loops use.
    pub fn instruction_set(&self) -> InstructionSet {
        self.set
    }

    /// Runs `f` on these threads, so that rayon inside `f` uses them and no others.
    pub fn install<R: Send>(&self, f: impl FnOnce() -> R + Send) -> R {
        self.pool.install(f)
    }

    /// As [`Cpu::install`], and keeps all threads awake until `f` is done: for short work in many
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
    fn it_names_its_instructions_and_runs_work_on_its_own_threads() {
        let cpu = Cpu::with_instructions(3, InstructionSet::Portable).unwrap();
        assert_eq!((cpu.name().as_str(), cpu.threads()), ("cpu portable", 3));
        assert_eq!(cpu.install(rayon::current_num_threads), 3);
    }

    #[test]
    fn threads_that_are_kept_awake_do_their_part_and_go_to_sleep_even_if_it_fails() {
        use rayon::prelude::*;
        let cpu = Cpu::with_instructions(3, InstructionSet::Portable).unwrap();
        for _ in 0..200 {
            let sum: usize = cpu.install_awake(|| (0..100_usize).into_par_iter().sum());
            assert_eq!(sum, 4950);
        }
        let fails = std::panic::AssertUnwindSafe(|| cpu.install_awake(|| panic!("a part")));
        assert!(std::panic::catch_unwind(fails).is_err());
        assert_eq!(cpu.install_awake(|| 7), 7);
    }

    #[test]
    fn what_only_a_gpu_has_is_refused_with_what_the_cpu_has() {
        let error = Cpu::new(1).unwrap().with_dtype(DtypeChoice::F16).err().unwrap();
        let error = error.to_string();
        assert!(error.contains("f16") && error.contains("int16 or int8 on the CPU"), "{error}");
    }
}
