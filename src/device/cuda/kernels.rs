//! Which machine code runs on this device, and how is it started?

use std::collections::HashMap;
use std::ffi::{CString, c_void};
use std::sync::{Arc, Mutex, PoisonError};

use cudarc::driver::{CudaContext, result, sys};

use super::context::{Cuda, failed};
use super::graph::between_records;
use crate::base::error::{Error, Result};

/// What a kernel may take of shared memory without being asked twice.
const SHARED_BYTES_PLAIN: u32 = 48 << 10;

/// A file of `kernels/` as build.rs compiled it.
struct Image {
    module: &'static str,
    /// Compute capability and machine code, ascending.
    cubins: &'static [(u32, &'static [u8])],
    /// For newer devices, whose driver makes machine code of it.
    ptx: &'static str,
}

include!(concat!(env!("OUT_DIR"), "/kernels.rs"));

impl Image {
    /// What a device of compute capability `major`.`minor` can load: machine code runs on the same
    /// major version from its own minor version on.
    fn for_device(&self, major: u32, minor: u32) -> Vec<u8> {
        let fits = |arch: u32| arch / 10 == major && arch % 10 <= minor;
        match self.cubins.iter().rfind(|(arch, _)| fits(*arch)) {
            Some((_, code)) => code.to_vec(),
            None => self.ptx.bytes().chain([0]).collect(),
        }
    }
}

/// The loaded modules and the kernels that were asked for so far, as many as there are names.
pub struct Kernels {
    modules: HashMap<&'static str, sys::CUmodule>,
    functions: Mutex<HashMap<String, sys::CUfunction>>,
    context: Arc<CudaContext>,
}

// SAFETY: modules and functions are handles that the driver lets any thread use.
unsafe impl Send for Kernels {}
// SAFETY: as above; the map of functions has a lock.
unsafe impl Sync for Kernels {}

/// One start of a kernel.
pub struct Launch<'a> {
    /// The file of `kernels/`, without its end.
    pub module: &'static str,
    pub name: &'a str,
    pub blocks: (usize, usize),
    pub threads: u32,
    /// Beyond what the kernel declares itself.
    pub shared_bytes: u32,
}

impl Kernels {
    /// Loads every module, so that one that this device cannot run is told now.
    pub fn load(context: &Arc<CudaContext>) -> Result<Self> {
        let (major, minor) =
            context.compute_capability().map_err(failed("ask the compute capability"))?;
        let lowest = IMAGES[0].cubins[0].0;
        let (major, minor) = (major as u32, minor as u32);
        if 10 * major + minor < lowest {
            return Err(Error::Unavailable {
                what: format!("the code for a GPU of compute capability {major}.{minor}"),
                remedy: format!(
                    "this binary was built for {}.{} and newer; build it with \
                     CODEINTEL_CUDA_ARCHS={major}{minor}",
                    lowest / 10,
                    lowest % 10
                ),
            });
        }
        context.bind_to_thread().map_err(failed("use the device"))?;
        let _alone = between_records();
        let load = |image: &Image| {
            let code = image.for_device(major, minor);
            // SAFETY: it is machine code or text that ends with 0, as nvcc made it; the driver
            // copies it.
            let module = unsafe { result::module::load_data(code.as_ptr().cast()) };
            Ok((image.module, module.map_err(failed("load a kernel"))?))
        };
        let modules = IMAGES.iter().map(load).collect::<Result<_>>()?;
        Ok(Self { modules, functions: Mutex::default(), context: context.clone() })
    }

    fn function(&self, launch: &Launch<'_>) -> Result<sys::CUfunction> {
        let mut functions = self.functions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(&function) = functions.get(launch.name) {
            return Ok(function);
        }
        let module = self.modules[launch.module];
        let name = CString::new(launch.name).expect("a kernel's name holds no 0");
        // SAFETY: the module is loaded as long as `self` lives.
        let function = unsafe { result::module::get_function(module, name) };
        let function = function.map_err(failed("find a kernel"))?;
        if launch.shared_bytes > SHARED_BYTES_PLAIN {
            let most =
                sys::CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            // SAFETY: the function was found a moment ago. The driver refuses what is too much.
            unsafe {
                result::function::set_function_attribute(function, most, launch.shared_bytes as i32)
            }
            .map_err(failed("give a kernel its shared memory"))?;
        }
        functions.insert(launch.name.to_owned(), function);
        Ok(function)
    }
}

impl Drop for Kernels {
    fn drop(&mut self) {
        let _ = self.context.bind_to_thread();
        let _alone = between_records();
        for &module in self.modules.values() {
            // SAFETY: loaded by `load`, and nobody has its functions any more. The driver waits for
            // what still runs.
            let _ = unsafe { result::module::unload(module) };
        }
    }
}

impl Cuda {
    /// Enqueues a kernel; without blocks it does nothing.
    ///
    /// # Safety
    /// `arguments` point to values of the types and in the order of the kernel's parameters, and
    /// every pointer among those values leads to as many elements as the kernel reads or writes.
    pub(crate) unsafe fn launch(
        &self,
        launch: &Launch<'_>,
        arguments: &mut [*mut c_void],
    ) -> Result<()> {
        let (x, y) = launch.blocks;
        if x == 0 || y == 0 {
            return Ok(());
        }
        let fits = |n: usize| u32::try_from(n).expect("a grid of less than 2^32 blocks");
        let function = self.kernels.function(launch)?;
        self.bind()?;
        // SAFETY: the caller vouches for the arguments; the function is of a loaded module.
        unsafe {
            result::launch_kernel(
                function,
                (fits(x), fits(y), 1),
                (launch.threads, 1, 1),
                launch.shared_bytes,
                self.queue(),
                arguments,
            )
        }
        .map_err(failed("launch a kernel"))
    }
}

/// The arguments of a kernel: a pointer to each of these variables.
macro_rules! arguments {
    ($($value:ident),* $(,)?) => {
        &mut [$((&raw const $value).cast_mut().cast::<std::ffi::c_void>()),*]
    };
}
pub(crate) use arguments;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_gets_its_own_machine_code_or_ptx() {
        let image =
            Image { module: "x", cubins: &[(80, b"80"), (86, b"86"), (90, b"90")], ptx: "p" };
        let code = |major, minor| image.for_device(major, minor);
        assert_eq!((code(8, 0), code(8, 9)), (b"80".to_vec(), b"86".to_vec()));
        assert_eq!((code(9, 0), code(10, 0)), (b"90".to_vec(), b"p\0".to_vec()));
    }

    #[test]
    fn every_kernel_has_machine_code_and_ptx() {
        for image in &IMAGES {
            assert!(image.ptx.contains(".visible .entry"), "{}", image.module);
            // An ELF file for CUDA.
            let elf = |(_, code): &(u32, &[u8])| code.starts_with(b"\x7fELF");
            assert!(!image.cubins.is_empty() && image.cubins.iter().all(elf), "{}", image.module);
        }
    }
}
