//! The machine that is measured, without its name and without paths.

use super::report::Machine;
use crate::device::Device;

pub fn machine(device: &Device) -> Machine {
    Machine {
        cpu: cpu().unwrap_or_else(|| "unknown".to_owned()),
        cores: std::thread::available_parallelism().map_or(1, |n| n.get()),
        instruction_set: device.host().instruction_set().as_str(),
        os: std::env::consts::OS,
        arch: std::env::consts::ARCH,
        codeintel: env!("CARGO_PKG_VERSION"),
    }
}

/// The model name of the processor; only Linux has this file.
fn cpu() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    let words: Vec<&str> = line.split_once(':')?.1.split_whitespace().collect();
    Some(words.join(" "))
}
