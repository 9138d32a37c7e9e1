//! The console exporter: spans and measurements as lines on standard error.

use std::fmt::Write;
use std::time::Duration;

use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::metrics::data::{AggregatedMetrics, MetricData, ResourceMetrics};
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};

/// Prints a line for each span and for each series that has a measurement.
#[derive(Debug)]
pub(super) struct Console;

fn print(lines: &str) {
    use std::io::Write;
    // Standard error may be closed, and nothing depends on it.
    let _ = std::io::stderr().lock().write_all(lines.as_bytes());
}

impl SpanExporter for Console {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let mut lines = String::new();
        for span in batch {
            let took = span.end_time.duration_since(span.start_time).unwrap_or_default();
            let (context, ms) = (&span.span_context, took.as_secs_f64() * 1e3);
            let (trace, id, parent) = (context.trace_id(), context.span_id(), span.parent_span_id);
            let _ = write!(
                lines,
                "span {} {ms:.3} ms trace={trace} id={id} parent={parent}",
                span.name
            );
            for kv in &span.attributes {
                let _ = write!(lines, " {}={}", kv.key, kv.value);
            }
            lines.push('\n');
        }
        print(&lines);
        Ok(())
    }
}

impl PushMetricExporter for Console {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let mut lines = String::new();
        for metric in metrics.scope_metrics().flat_map(|scope| scope.metrics()) {
            match metric.data() {
                AggregatedMetrics::F64(data) => series(&mut lines, metric.name(), data),
                AggregatedMetrics::U64(data) => series(&mut lines, metric.name(), data),
                AggregatedMetrics::I64(data) => series(&mut lines, metric.name(), data),
            }
        }
        print(&lines);
        Ok(())
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }

    fn temporality(&self) -> Temporality {
        Temporality::Cumulative
    }
}

fn series<T: std::fmt::Display + Copy + PartialEq + Default>(
    lines: &mut String,
    name: &str,
    data: &MetricData<T>,
) {
    let mut line = |labels: String, value: String| {
        let _ = writeln!(lines, "metric {name}{labels} {value}");
    };
    match data {
        MetricData::Gauge(gauge) => {
            gauge.data_points().for_each(|p| line(labels(p.attributes()), p.value().to_string()));
        }
        MetricData::Sum(sum) => sum
            .data_points()
            .filter(|p| p.value() != T::default())
            .for_each(|p| line(labels(p.attributes()), p.value().to_string())),
        MetricData::Histogram(histogram) => {
            histogram.data_points().filter(|p| p.count() > 0).for_each(|p| {
                line(labels(p.attributes()), format!("count={} sum={}", p.count(), p.sum()))
            })
        }
        MetricData::ExponentialHistogram(_) => {}
    }
}

fn labels<'a>(attributes: impl Iterator<Item = &'a opentelemetry::KeyValue>) -> String {
    attributes.map(|kv| format!(" {}={}", kv.key, kv.value)).collect()
}
