//! Exporters of spans, metrics and logs, as the configuration selects them.

use std::time::Duration;

use opentelemetry_otlp::{
    ExporterBuildError, LogExporter, MetricExporter, SpanExporter, WithHttpConfig,
};
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::metrics::MeterProviderBuilder;
use opentelemetry_sdk::trace::BatchSpanProcessor;
use reqwest::blocking::Client;
use tokio::runtime::Runtime;

use super::config::{Exporter, TelemetryConfig};
use super::console::Console;
use super::resource;
use crate::base::error::{Error, Result};

/// Adds a reader to a provider under construction.
type AddReader = Box<dyn FnOnce(MeterProviderBuilder) -> MeterProviderBuilder>;

/// The configured exporters, ready for use.
#[derive(Default)]
pub(super) struct Outlets {
    pub spans: Vec<BatchSpanProcessor>,
    pub metrics: Vec<AddReader>,
    pub logs: Option<SdkLoggerProvider>,
    /// Present if anything is exported over OTLP, because gRPC needs a runtime.
    pub runtime: Option<Runtime>,
}

/// Opens the configured exporters. The SDK itself reads the variables for endpoint, protocol,
/// headers, compression and timeouts.
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
        move |error: ExporterBuildError| Error::Unavailable {
            what: format!("the OTLP exporter for {signal}"),
            remedy: format!("{error}; check the variables OTEL_EXPORTER_OTLP_*"),
        }
    };
    for exporter in &config.traces {
        outlets.spans.push(match exporter {
            Exporter::Otlp => {
                let build = |plain: Option<Client>| match plain {
                    None => SpanExporter::builder().build(),
                    Some(client) => {
                        SpanExporter::builder().with_http().with_http_client(client).build()
                    }
                };
                let built = within(&outlets.runtime, "TRACES", build).map_err(failed("traces"))?;
                BatchSpanProcessor::builder(built).build()
            }
            _ => BatchSpanProcessor::builder(Console).build(),
        });
    }
    for exporter in &config.metrics {
        let add: AddReader = match exporter {
            Exporter::Otlp => {
                let build = |plain: Option<Client>| match plain {
                    None => MetricExporter::builder().build(),
                    Some(client) => {
                        MetricExporter::builder().with_http().with_http_client(client).build()
                    }
                };
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
        let build = |plain: Option<Client>| match plain {
            None => LogExporter::builder().build(),
            Some(client) => LogExporter::builder().with_http().with_http_client(client).build(),
        };
        let built = within(&outlets.runtime, "LOGS", build).map_err(failed("logs"))?;
        let provider = SdkLoggerProvider::builder()
            .with_resource(resource::detect(&config.detectors))
            .with_batch_exporter(built);
        outlets.logs = Some(provider.build());
    }
    Ok(outlets)
}

/// The time limit of the SDK for an export.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs `build` inside the runtime if the protocol of `signal` is gRPC, which needs one, and
/// outside of it for HTTP, whose blocking client cannot be built inside a runtime. The argument of
/// `build` is the client to use instead of the SDK's, which cannot be built on a system without
/// certificates.
fn within<T>(
    runtime: &Option<Runtime>,
    signal: &str,
    build: impl FnOnce(Option<Client>) -> T,
) -> T {
    let own = format!("OTEL_EXPORTER_OTLP_{signal}_PROTOCOL");
    // The SDK ignores case and treats an unknown word as unset.
    let is_grpc = [&own, "OTEL_EXPORTER_OTLP_PROTOCOL"].into_iter().find_map(|name| {
        let word = crate::base::config::process_env(name)?.to_ascii_lowercase();
        ["grpc", "http/protobuf"].contains(&word.as_str()).then(|| word == "grpc")
    });
    if is_grpc == Some(true) {
        let _entered = runtime.as_ref().map(Runtime::enter);
        return build(None);
    }
    build(plain_client())
}

/// A client without TLS, if the system has no certificates. It is built on a thread of its own,
/// because the caller may be inside a runtime.
fn plain_client() -> Option<Client> {
    let build = || {
        Client::builder().build().err()?;
        Client::builder().tls_certs_only([]).timeout(EXPORT_TIMEOUT).build().ok()
    };
    std::thread::spawn(build).join().ok()?
}
