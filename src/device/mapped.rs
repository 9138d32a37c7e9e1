//! How do weights come from a file into memory?

use std::path::Path;

use candle_core::safetensors::MmapedSafetensors;

/// Maps one safetensors file and reads its header; the values are read when they are asked for.
pub fn map_safetensors(path: &Path) -> candle_core::Result<MmapedSafetensors> {
    // SAFETY: the map is read only while weights are loaded. Model files are written under another
    // name and renamed, never changed in place; if somebody truncates one during those moments the
    // process ends with SIGBUS, it does not compute with wrong memory.
    unsafe { MmapedSafetensors::new(path) }
}
