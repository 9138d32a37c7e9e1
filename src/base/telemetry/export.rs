//! How do signals leave the process?

use opentelemetry_otlp::{LogExporter, MetricExporter, SpanExporter};
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::metrics::MeterProviderBuilder;
use opentelemetry_sdk::trace::BatchSpanProcessor;
use tokio::runtime::Runtime;

use super::config::{Exporter, TelemetryConfig};
use super::console::Console;
use super::resource;
use crate::base::error::{Error, Result};

/// Adds a reader to the provider that is being built.
type AddReader = Box<dyn FnOnce(MeterProviderBuilder) -> MeterProviderBuilder>;

/// What was asked for, ready.
#[derive(Default)]
pub(super) struct Outlets {
    pub spans: Vec<BatchSpanProcessor>,
    pub metrics: Vec<AddReader>,
    pub logs: Option<SdkLoggerProvider>,
    /// There when something is exported over OTLP: gRPC needs a runtime around it.
    pub runtime: Option<Runtime>,
}

/// Opens every exporter that the configuration names. Endpoint, protocol, headers, compression and
/// timeouts are the SDK's own variables.
pub(super) fn outlets(config: &TelemetryConfig) -> Result<Outlets> {
    let mut outlets = Outlets::default();
    let all = [&config.traces, &config.metrics, &config.logs];
    if all.iter().any(|list| list.contains(&Exporter::Otlp)) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("otlp")
            .enable_all()
            .build();
        outlets.runtime = Some(runtime.map_err(Error::library("tokio", "start"))?);
    }
    let failed = |signal: &'static str| {
        move |error: opentelemetry_otlp::ExporterBuildError| Error::Unavailable {
            what: format!("the OTLP exporter of {signal}"),
            remedy: format!("{error}; check the variables OTEL_EXPORTER_OTLP_*"),
        }
    };
    for exporter in &config.traces {
        outlets.spans.push(match exporter {
            Exporter::Otlp => {
                // The guard lives only for the building: the blocking client of OTLP over HTTP
                // must be built outside of it.
                let build = || SpanExporter::builder().build();
                let built = within(&outlets.runtime, "TRACES", build).map_err(failed("traces"))?;
                BatchSpanProcessor::builder(built).build()
            }
            _ => BatchSpanProcessor::builder(Console).build(),
        });
    }
    for exporter in &config.metrics {
        let add: AddReader = match exporter {
            Exporter::Otlp => {
                let build = || MetricExporter::builder().build();
                let built =
                    within(&outlets.runtime, "METRICS", build).map_err(failed("metrics"))?;
                Box::new(|builder| builder.with_periodic_exporter(built))
            }
            Exporter::Console => Box::new(|builder| builder.with_periodic_exporter(Console)),
            Exporter::Prometheus => continue,
        };
        outlets.metrics.push(add);
    }
    if config.logs.contains(&Exporter::Otlp) {
        let build = || LogExporter::builder().build();
        let built = within(&outlets.runtime, "LOGS", build).map_err(failed("logs"))?;
        let provider = SdkLoggerProvider::builder()
            .with_resource(resource::detect(&config.detectors))
            .with_batch_exporter(built);
        outlets.logs = Some(provider.build());
    }
    Ok(outlets)
}

/// Runs `build` inside the runtime where the protocol of `signal` is gRPC, and outside of it where
/// it is HTTP: the one needs a runtime, the other's blocking client refuses to be built in one.
fn within<T>(runtime: &Option<Runtime>, signal: &str, build: impl FnOnce() -> T) -> T {
    let own = format!("OTEL_EXPORTER_OTLP_{signal}_PROTOCOL");
    // As the SDK reads them: in any case, and a word that it does not know counts as unset.
    let is_grpc = [&own, "OTEL_EXPORTER_OTLP_PROTOCOL"].into_iter().find_map(|name| {
        let word = crate::base::config::process_env(name)?.to_ascii_lowercase();
        ["grpc", "http/protobuf"].contains(&word.as_str()).then(|| word == "grpc")
    });
    let _entered = match is_grpc {
        Some(true) => runtime.as_ref().map(Runtime::enter),
        _ => None,
    };
    build()
}
