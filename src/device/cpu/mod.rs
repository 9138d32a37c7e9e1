//! Who computes: which threads of the CPU with which instructions, or which GPU?

#[macro_use]
mod isa;
mod clock;
mod dtype;
pub mod ops;

pub use clock::process_cpu_time;
pub use dtype::Dtype;
pub use isa::InstructionSet;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::base::config::DtypeChoice;
use crate::base::error::{Error, Result};
use crate::base::telemetry::MemoryInfo;

/// How long a thread that is kept awake waits for its next part: some times as long as what one
/// thread does alone between two operations on a short text.
const IDLE_MAX: Duration = Duration::from_micros(100);

/// Threads of the CPU and the instructions they use, and the GPU on which networks compute, if they
/// do. Cloning shares both.
#[derive(Clone)]
pub struct Device {
    pool: Arc<rayon::ThreadPool>,
    set: InstructionSet,
    /// What linear layers on the CPU multiply.
    cpu_dtype: Dtype,
    #[cfg(feature = "cuda")]
    gpu: Option<super::open::Gpu>,
    /// Why networks compute here.
    why: String,
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
        Ok(Self {
            pool: Arc::new(pool),
            set,
            cpu_dtype: Dtype::F32,
            #[cfg(feature = "cuda")]
            gpu: None,
            why: String::new(),
        })
    }

    /// The same threads for networks whose linear layers multiply as `choice` says.
    pub fn with_dtype(self, choice: DtypeChoice) -> Result<Self> {
        let cpu_dtype = match choice {
            // Elsewhere 16-bit integers take two instructions, and gain nothing over f32.
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
        Ok(Self { cpu_dtype, ..self })
    }

    /// The same, chosen for this reason.
    pub(super) fn because(self, why: String) -> Self {
        Self { why, ..self }
    }

    /// The same threads, and a GPU for networks.
    #[cfg(feature = "cuda")]
    pub(super) fn with_gpu(self, gpu: super::open::Gpu) -> Self {
        Self { gpu: Some(gpu), ..self }
    }

    /// Where networks compute, if not on the CPU.
    #[cfg(feature = "cuda")]
    pub fn gpu(&self) -> Option<&super::open::Gpu> {
        self.gpu.as_ref()
    }

    /// Whether networks compute on a GPU.
    pub fn is_gpu(&self) -> bool {
        #[cfg(feature = "cuda")]
        return self.gpu.is_some();
        #[cfg(not(feature = "cuda"))]
        false
    }

    /// `cpu avx512`, or `cuda:0 NVIDIA H100 80GB HBM3`.
    pub fn name(&self) -> String {
        #[cfg(feature = "cuda")]
        if let Some(gpu) = &self.gpu {
            return gpu.cuda.name();
        }
        format!("cpu {}", self.set.as_str())
    }

    /// Why networks compute here and not elsewhere; empty where nobody asked.
    pub fn why(&self) -> &str {
        &self.why
    }

    /// The device's own memory, as it was some moments ago; `None` for a CPU, which shares the
    /// process's.
    pub fn memory(&self) -> Option<MemoryInfo> {
        #[cfg(feature = "cuda")]
        if let Some(gpu) = &self.gpu {
            return gpu.cuda.recent_memory();
        }
        None
    }

    pub fn threads(&self) -> usize {
        self.pool.current_num_threads()
    }

    /// What the linear layers of networks multiply.
    pub fn dtype(&self) -> Dtype {
        #[cfg(feature = "cuda")]
        if let Some(gpu) = &self.gpu {
            return gpu.dtype;
        }
        self.cpu_dtype
    }

    pub(super) fn cpu_dtype(&self) -> Dtype {
        self.cpu_dtype
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

    #[test]
    fn what_only_a_gpu_has_is_refused_with_what_the_cpu_has() {
        let error = Device::cpu(1).unwrap().with_dtype(DtypeChoice::F16).err().unwrap();
        let error = error.to_string();
        assert!(error.contains("f16") && error.contains("int16 or int8 on the CPU"), "{error}");
    }

    #[test]
    #[cfg(not(feature = "cuda"))]
    fn a_build_without_gpu_support_says_how_to_make_one_and_auto_takes_the_cpu() {
        use crate::base::config::{DeviceChoice, Settings};
        let open = |device| Device::open(&Settings { device, threads: 1, ..Settings::default() });
        let error = open(DeviceChoice::Cuda(1)).err().unwrap().to_string();
        assert!(error.contains("cuda:1") && error.contains("--features cuda"), "{error}");
        let device = open(DeviceChoice::Auto).unwrap();
        assert!(!device.is_gpu() && device.why().contains("no GPU support"), "{}", device.why());
    }
}
