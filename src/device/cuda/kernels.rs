//! The kernels of `kernels/`, loaded on a device.

use std::collections::HashMap;
use std::ffi::CString;
use std::sync::Arc;

use cudarc::driver::{CudaContext, result, sys};

use super::capture::between_records;
use super::element::Number;
use super::error::failed;
use crate::base::error::{Error, Result};
use crate::device::cpu::ops::Activation;

/// The dynamic shared memory that a kernel may use without opting in.
const SHARED_BYTES_DEFAULT: usize = 48 << 10;

/// A file of `kernels/` as build.rs compiled it.
struct Image {
    module: &'static str,
    /// Compute capability and machine code, ascending.
    cubins: &'static [(u32, &'static [u8])],
    /// For newer devices, whose driver compiles it.
    ptx: &'static str,
}

include!(concat!(env!("OUT_DIR"), "/kernels.rs"));

impl Image {
    /// The code that a device of compute capability `major`.`minor` can load: machine code runs on
    /// the same major version from its own minor version on.
    fn for_device(&self, major: u32, minor: u32) -> Vec<u8> {
        let fits = |arch: u32| arch / 10 == major && arch % 10 <= minor;
        match self.cubins.iter().rfind(|(arch, _)| fits(*arch)) {
            Some((_, code)) => code.to_vec(),
            None => self.ptx.bytes().chain([0]).collect(),
        }
    }
}

/// Which threads hold a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RowWidth {
    Warp,
    Block,
}

/// Queries of a tile of attention: `Long` ones on four warps, `Short` ones on a single warp.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TileWidth {
    Long,
    Short,
}

impl TileWidth {
    pub fn warps(self) -> u32 {
        match self {
            Self::Long => 4,
            Self::Short => 1,
        }
    }

    /// Keys of one step.
    fn keys(self) -> usize {
        match self {
            Self::Long => 64,
            Self::Short => 32,
        }
    }
}

/// A kernel in one of its variants. `Number` is the type of the activations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kernel {
    Activation(Activation, Number),
    AddNorm(RowWidth, Number),
    /// With the values of a head.
    Attention(TileWidth, usize, Number),
    Embed(RowWidth, Number),
    Glu(Activation, Number),
    NearestMerge,
    NearestScan,
    NormHeads(Number),
    Rotary(Number),
    /// With the type of the vectors.
    Tail(Number, Number),
}

/// The head sizes that attention has kernels for.
pub const HEAD_DIMS: [usize; 4] = [16, 32, 64, 128];

impl Kernel {
    fn all() -> Vec<Self> {
        use Number::{Bf16, F16, F32};
        let mut all = vec![Self::NearestMerge, Self::NearestScan];
        for number in [Bf16, F16] {
            all.extend([Self::NormHeads(number), Self::Rotary(number)]);
            for width in [RowWidth::Warp, RowWidth::Block] {
                all.extend([Self::AddNorm(width, number), Self::Embed(width, number)]);
            }
            for activation in Activation::ALL {
                let kernels =
                    [Self::Activation, Self::Glu].map(|kernel| kernel(activation, number));
                all.extend(kernels);
            }
            for head_dim in HEAD_DIMS {
                let widths = [TileWidth::Long, TileWidth::Short];
                all.extend(widths.map(|width| Self::Attention(width, head_dim, number)));
            }
            all.extend([F32, F16, Bf16].map(|vectors| Self::Tail(vectors, number)));
        }
        all
    }

    /// The file of `kernels/`, without its extension.
    fn module(self) -> &'static str {
        match self {
            Self::Activation(..) => "activation",
            Self::AddNorm(..) | Self::NormHeads(_) => "norm",
            Self::Attention(..) => "attention",
            Self::Embed(..) => "embed",
            Self::Glu(..) => "glu",
            Self::NearestMerge | Self::NearestScan => "nearest",
            Self::Rotary(_) => "rotary",
            Self::Tail(..) => "tail",
        }
    }

    /// The function in that file.
    fn function(self) -> String {
        let row = |width| match width {
            RowWidth::Warp => "warp",
            RowWidth::Block => "block",
        };
        let tile = |width| match width {
            TileWidth::Long => "long",
            TileWidth::Short => "short",
        };
        match self {
            Self::Activation(kind, n) => format!("activation_{}_{}", kind.as_str(), n.as_str()),
            Self::AddNorm(width, n) => format!("add_norm_{}_{}", row(width), n.as_str()),
            Self::Attention(width, head_dim, n) => {
                format!("attention_{}_{head_dim}_{}", tile(width), n.as_str())
            }
            Self::Embed(width, n) => format!("embed_{}_{}", row(width), n.as_str()),
            Self::Glu(kind, n) => format!("glu_{}_{}", kind.as_str(), n.as_str()),
            Self::NearestMerge => "nearest_merge".to_owned(),
            Self::NearestScan => "nearest_scan".to_owned(),
            Self::NormHeads(n) => format!("norm_heads_{}", n.as_str()),
            Self::Rotary(n) => format!("rotary_{}", n.as_str()),
            Self::Tail(vectors, n) => format!("tail_{}_{}", vectors.as_str(), n.as_str()),
        }
    }

    /// Dynamic shared memory of a block, beyond what the kernel declares itself.
    pub fn shared_bytes(self) -> usize {
        match self {
            // Two buffers of keys and of values, in 16 bits.
            Self::Attention(width, head_dim, _) => 4 * width.keys() * head_dim * size_of::<u16>(),
            _ => 0,
        }
    }
}

/// The loaded modules, and the function of each kernel.
pub struct Kernels {
    modules: HashMap<&'static str, sys::CUmodule>,
    functions: HashMap<Kernel, sys::CUfunction>,
    context: Arc<CudaContext>,
}

// SAFETY: modules and functions are handles that the driver lets any thread use.
unsafe impl Send for Kernels {}
// SAFETY: as above; they do not change.
unsafe impl Sync for Kernels {}

impl Kernels {
    /// Loads every kernel, so that one that this device cannot run is an error now.
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
            // SAFETY: it is machine code or text that ends with 0, as nvcc wrote it; the driver
            // copies it.
            let module = unsafe { result::module::load_data(code.as_ptr().cast()) };
            Ok((image.module, module.map_err(failed("load a kernel"))?))
        };
        let modules = IMAGES.iter().map(load).collect::<Result<_>>()?;
        let mut kernels = Self { modules, functions: HashMap::new(), context: context.clone() };
        for kernel in Kernel::all() {
            let function = kernels.find(kernel)?;
            kernels.functions.insert(kernel, function);
        }
        Ok(kernels)
    }

    pub fn function(&self, kernel: Kernel) -> sys::CUfunction {
        *self.functions.get(&kernel).expect("every kernel is loaded with the device")
    }

    fn find(&self, kernel: Kernel) -> Result<sys::CUfunction> {
        let name = CString::new(kernel.function()).expect("the name of a kernel contains no 0");
        // SAFETY: the module is loaded as long as `self` lives.
        let function = unsafe { result::module::get_function(self.modules[kernel.module()], name) }
            .map_err(failed("find a kernel"))?;
        if kernel.shared_bytes() > SHARED_BYTES_DEFAULT {
            let attribute =
                sys::CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            let bytes = kernel.shared_bytes() as i32;
            // SAFETY: the function was found a moment ago. The driver refuses what is too much.
            unsafe { result::function::set_function_attribute(function, attribute, bytes) }
                .map_err(failed("give a kernel its shared memory"))?;
        }
        Ok(function)
    }
}

impl Drop for Kernels {
    fn drop(&mut self) {
        let _ = self.context.bind_to_thread();
        let _alone = between_records();
        for &module in self.modules.values() {
            // SAFETY: loaded by `load`, and nobody has its functions any more. The driver waits for
            // kernels that still run.
            let _ = unsafe { result::module::unload(module) };
        }
    }
}

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

    #[test]
    fn the_kernels_are_those_of_the_files() {
        let mut named: Vec<(&str, String)> =
            Kernel::all().into_iter().map(|kernel| (kernel.module(), kernel.function())).collect();
        let of_image = |image: &'static Image| {
            let entries = image.ptx.split(".visible .entry ").skip(1);
            entries.map(|entry| (image.module, entry.split('(').next().unwrap().to_owned()))
        };
        let mut compiled: Vec<(&str, String)> = IMAGES.iter().flat_map(of_image).collect();
        named.sort_unstable();
        compiled.sort_unstable();
        assert_eq!(named, compiled);
    }
}
