//! Where do spans go? One provider, made once, handed down.

use std::sync::OnceLock;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider, SpanExporter};

/// The process's telemetry. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Telemetry {
    provider: SdkTracerProvider,
    pub(super) tracer: SdkTracer,
}

static INSTALLED: OnceLock<Telemetry> = OnceLock::new();

impl Telemetry {
    /// The telemetry of this process; the second call returns the first one's.
    pub fn install() -> Self {
        INSTALLED.get_or_init(Self::detached).clone()
    }

    /// Telemetry of its own, for tests and for hosts that keep several.
    pub fn detached() -> Self {
        Self::from_provider(SdkTracerProvider::builder().with_resource(resource()).build())
    }

    /// Telemetry that hands every finished span to `exporter` at once.
    pub fn with_exporter(exporter: impl SpanExporter + 'static) -> Self {
        let builder = SdkTracerProvider::builder().with_resource(resource());
        Self::from_provider(builder.with_simple_exporter(exporter).build())
    }

    /// Uses the tracer provider of a host program that embeds this library.
    pub fn from_provider(provider: SdkTracerProvider) -> Self {
        let tracer = provider.tracer("codeintel");
        Self { provider, tracer }
    }

    /// Flushes and closes what was opened. Called last.
    pub fn shutdown(&self) {
        if let Err(error) = self.provider.shutdown() {
            tracing::debug!(%error, "telemetry was already shut down");
        }
    }
}

fn resource() -> Resource {
    Resource::builder()
        .with_service_name("codeintel-mcp")
        .with_attribute(opentelemetry::KeyValue::new("service.namespace", "kgfoundry"))
        .with_attribute(opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build()
}
