//! Metrics of the process and of the GPUs, read only when they are collected.

use std::fs;
use std::sync::Arc;
use std::time::Instant;

use nvml_wrapper::Nvml;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Meter};

use super::attrs;
use super::instruments::{HTTP_SECONDS, Metric, MetricKind};

const fn row(
    name: &'static str,
    kind: MetricKind,
    unit: &'static str,
    scraped: &'static str,
    labels: fn() -> Vec<&'static str>,
    what: &'static str,
) -> Metric {
    Metric { name, kind, unit, scraped, labels, what, bounds: &[] }
}

/// The metric of the OpenTelemetry HTTP conventions. A series appears with its first request.
pub(super) const HTTP_DURATION: Metric = Metric {
    name: "http.server.request.duration",
    kind: MetricKind::Histogram,
    unit: "s",
    scraped: "http_server_request_duration_seconds",
    labels: || vec!["http_request_method", "http_route", "http_response_status_code"],
    what: "Duration of an HTTP request in seconds",
    bounds: HTTP_SECONDS,
};

const CPU: Metric = row(
    "process.cpu.time",
    MetricKind::Counter,
    "s",
    "process_cpu_time_seconds_total",
    || vec!["cpu_mode"],
    "CPU time of the process in seconds",
);
const MEMORY: Metric = row(
    "process.memory.usage",
    MetricKind::Gauge,
    "By",
    "process_memory_usage_bytes",
    Vec::new,
    "Physical memory of the process in bytes",
);
const VIRTUAL: Metric = row(
    "process.memory.virtual",
    MetricKind::Gauge,
    "By",
    "process_memory_virtual_bytes",
    Vec::new,
    "Address space of the process in bytes",
);
const THREADS: Metric = row(
    "process.thread.count",
    MetricKind::Gauge,
    "{thread}",
    "process_thread_count",
    Vec::new,
    "Threads of the process",
);
const FILES: Metric = row(
    "process.unix.file_descriptor.count",
    MetricKind::Gauge,
    "{file_descriptor}",
    "process_unix_file_descriptor_count",
    Vec::new,
    "Open file descriptors",
);
const UPTIME: Metric = row(
    "process.uptime",
    MetricKind::Gauge,
    "s",
    "process_uptime_seconds",
    Vec::new,
    "Seconds since the process started",
);
const GPU_USED: Metric = row(
    "hw.gpu.memory.usage",
    MetricKind::Gauge,
    "By",
    "hw_gpu_memory_usage_bytes",
    || vec!["hw_id"],
    "Used GPU memory in bytes; absent without a GPU",
);
const GPU_LIMIT: Metric = row(
    "hw.gpu.memory.limit",
    MetricKind::Gauge,
    "By",
    "hw_gpu_memory_limit_bytes",
    || vec!["hw_id"],
    "Total GPU memory in bytes; absent without a GPU",
);
const GPU_BUSY: Metric = row(
    "hw.gpu.utilization",
    MetricKind::Gauge,
    "1",
    "hw_gpu_utilization_ratio",
    || vec!["hw_id"],
    "Fraction of time that the GPU was busy; absent without a GPU",
);

/// The metrics read at collection, and the metric of the HTTP conventions.
pub const OBSERVED: &[Metric] =
    &[HTTP_DURATION, CPU, MEMORY, VIRTUAL, THREADS, FILES, UPTIME, GPU_USED, GPU_LIMIT, GPU_BUSY];

/// Registers all of them and returns the number of GPUs. A reading that fails is left out, because
/// a panic in a callback would end the collecting thread.
pub(super) fn register(meter: &Meter) -> usize {
    let started = Instant::now();
    meter
        .f64_observable_counter(CPU.name)
        .with_unit(CPU.unit)
        .with_description(CPU.what)
        .with_callback(|observer| {
            let Some([user, system]) = cpu_seconds() else { return };
            observer.observe(user, &[KeyValue::new(attrs::CPU_MODE.key(), "user")]);
            observer.observe(system, &[KeyValue::new(attrs::CPU_MODE.key(), "system")]);
        })
        .build();
    gauge(meter, &MEMORY, || status("VmRSS:").map(|kib| kib * 1024));
    gauge(meter, &VIRTUAL, || status("VmSize:").map(|kib| kib * 1024));
    gauge(meter, &THREADS, || status("Threads:"));
    gauge(meter, &FILES, || Some(fs::read_dir("/proc/self/fd").ok()?.count() as u64));
    gauge(meter, &UPTIME, move || Some(started.elapsed().as_secs()));
    gpus(meter)
}

fn gauge(meter: &Meter, metric: &Metric, read: impl Fn() -> Option<u64> + Send + Sync + 'static) {
    meter
        .u64_observable_gauge(metric.name)
        .with_unit(metric.unit)
        .with_description(metric.what)
        .with_callback(move |observer| {
            if let Some(value) = read() {
                observer.observe(value, &[]);
            }
        })
        .build();
}

/// Registers the GPUs that the driver's library (NVML) reports; there are none without a driver.
fn gpus(meter: &Meter) -> usize {
    let Ok(nvml) = Nvml::init() else { return 0 };
    let nvml = Arc::new(nvml);
    let count = nvml.device_count().unwrap_or(0);
    let each =
        move |nvml: &Nvml, observe: &mut dyn FnMut(&nvml_wrapper::Device<'_>, &[KeyValue])| {
            for device in (0..count).filter_map(|i| nvml.device_by_index(i).ok()) {
                let id = device.uuid().unwrap_or_default();
                observe(&device, &[KeyValue::new(attrs::HW_ID.key(), id)]);
            }
        };
    for (metric, used) in [(&GPU_USED, true), (&GPU_LIMIT, false)] {
        let nvml = nvml.clone();
        let read = move |observer: &dyn AsyncInstrument<u64>| {
            each(&nvml, &mut |device, labels| {
                if let Ok(memory) = device.memory_info() {
                    observer.observe(if used { memory.used } else { memory.total }, labels);
                }
            });
        };
        let gauge = meter.u64_observable_gauge(metric.name).with_unit(metric.unit);
        gauge.with_description(metric.what).with_callback(read).build();
    }
    let read = move |observer: &dyn AsyncInstrument<f64>| {
        each(&nvml, &mut |device, labels| {
            if let Ok(busy) = device.utilization_rates() {
                observer.observe(f64::from(busy.gpu) / 100.0, labels);
            }
        });
    };
    let gauge = meter.f64_observable_gauge(GPU_BUSY.name).with_unit(GPU_BUSY.unit);
    gauge.with_description(GPU_BUSY.what).with_callback(read).build();
    count as usize
}

/// A number from /proc/self/status.
fn status(name: &str) -> Option<u64> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// User and system seconds: fields 14 and 15 of /proc/self/stat, in clock ticks. Field 2, the name
/// of the process, may contain spaces; it ends at the last parenthesis.
fn cpu_seconds() -> Option<[f64; 2]> {
    let text = fs::read_to_string("/proc/self/stat").ok()?;
    let mut fields = text.rsplit(')').next()?.split_whitespace().skip(11);
    let ticks = rustix::param::clock_ticks_per_second() as f64;
    let mut next = || Some(fields.next()?.parse::<f64>().ok()? / ticks);
    Some([next()?, next()?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_memory_threads_and_time() {
        assert!(status("VmRSS:").unwrap() > 1000);
        assert!(status("Threads:").unwrap() >= 1);
        assert_eq!(status("NoSuchField:"), None);
        let before = cpu_seconds().unwrap();
        // The time advances by clock ticks, however slow the machine is.
        let mut after = before;
        while after == before {
            after = cpu_seconds().unwrap();
        }
        assert!(after[0] >= before[0] && after[1] >= before[1], "{before:?} {after:?}");
    }
}
