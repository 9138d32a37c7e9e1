//! A collector for tests: it receives OTLP over gRPC and over HTTP, on two local ports.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{
    LogsService, LogsServiceServer,
};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::{Metric, metric::Data};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::net::TcpSocket;
use tokio::runtime::Runtime;
use tonic::codec::CompressionEncoding;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

/// The protocol of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Grpc,
    Http,
}

impl Protocol {
    pub const BOTH: [Self; 2] = [Self::Grpc, Self::Http];

    /// The value of OTEL_EXPORTER_OTLP_PROTOCOL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Http => "http/protobuf",
        }
    }
}

/// One export that was received.
pub struct Got {
    pub protocol: Protocol,
    pub headers: HeaderMap,
    pub signal: Signal,
}

pub enum Signal {
    Traces(ExportTraceServiceRequest),
    Metrics(ExportMetricsServiceRequest),
    Logs(ExportLogsServiceRequest),
}

/// Everything that was received, in order.
#[derive(Clone, Default)]
struct Inbox(Arc<Mutex<Vec<Got>>>);

impl Inbox {
    fn put(&self, protocol: Protocol, headers: HeaderMap, signal: Signal) {
        self.0.lock().unwrap().push(Got { protocol, headers, signal });
    }

    /// Keeps a request over gRPC and answers with the default.
    fn called<M, A: Default>(
        &self,
        request: Request<M>,
        signal: fn(M) -> Signal,
    ) -> Result<Response<A>, Status> {
        let (metadata, _, message) = request.into_parts();
        self.put(Protocol::Grpc, metadata.into_headers(), signal(message));
        Ok(Response::new(A::default()))
    }

    /// Keeps a request over HTTP and answers with an empty message.
    fn posted<M: Message + Default>(
        &self,
        headers: HeaderMap,
        body: &[u8],
        signal: fn(M) -> Signal,
    ) -> [(HeaderName, &'static str); 1] {
        let message = M::decode(body).expect("the body is the message of its route");
        self.put(Protocol::Http, headers, signal(message));
        [(CONTENT_TYPE, "application/x-protobuf")]
    }
}

#[tonic::async_trait]
impl TraceService for Inbox {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.called(request, Signal::Traces)
    }
}

#[tonic::async_trait]
impl MetricsService for Inbox {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.called(request, Signal::Metrics)
    }
}

#[tonic::async_trait]
impl LogsService for Inbox {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        self.called(request, Signal::Logs)
    }
}

fn grpc(inbox: Inbox) -> Router {
    let gzip = CompressionEncoding::Gzip;
    Routes::new(TraceServiceServer::new(inbox.clone()).accept_compressed(gzip))
        .add_service(MetricsServiceServer::new(inbox.clone()).accept_compressed(gzip))
        .add_service(LogsServiceServer::new(inbox).accept_compressed(gzip))
        .into_axum_router()
}

fn http(inbox: Inbox) -> Router {
    let traces = |State(inbox): State<Inbox>, headers: HeaderMap, body: Bytes| async move {
        inbox.posted(headers, &body, Signal::Traces)
    };
    let metrics = |State(inbox): State<Inbox>, headers: HeaderMap, body: Bytes| async move {
        inbox.posted(headers, &body, Signal::Metrics)
    };
    let logs = |State(inbox): State<Inbox>, headers: HeaderMap, body: Bytes| async move {
        inbox.posted(headers, &body, Signal::Logs)
    };
    Router::new()
        .route("/v1/traces", post(traces))
        .route("/v1/metrics", post(metrics))
        .route("/v1/logs", post(logs))
        .with_state(inbox)
}

/// A collector that answers, until it is dropped.
pub struct Receiver {
    inbox: Inbox,
    grpc: SocketAddr,
    http: SocketAddr,
    _runtime: Runtime,
}

impl Receiver {
    pub fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        let inbox = Inbox::default();
        let serve = |router: Router| {
            let bound = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
            let address = bound.local_addr().unwrap();
            runtime.spawn(async { axum::serve(bound, router).await.unwrap() });
            address
        };
        let grpc = serve(grpc(inbox.clone()));
        let http = serve(http(inbox.clone()));
        Self { inbox, grpc, http, _runtime: runtime }
    }

    pub fn endpoint(&self, protocol: Protocol) -> String {
        match protocol {
            Protocol::Grpc => format!("http://{}", self.grpc),
            Protocol::Http => format!("http://{}", self.http),
        }
    }

    /// What was received since the last call.
    pub fn take(&self) -> Vec<Got> {
        std::mem::take(&mut self.inbox.0.lock().unwrap())
    }
}

/// The spans among `got`.
pub fn spans(got: &[Got]) -> Vec<&Span> {
    let requests = got.iter().filter_map(|got| match &got.signal {
        Signal::Traces(request) => Some(request),
        _ => None,
    });
    let scopes = requests.flat_map(|r| &r.resource_spans).flat_map(|r| &r.scope_spans);
    scopes.flat_map(|scope| &scope.spans).collect()
}

pub fn logs(got: &[Got]) -> Vec<&LogRecord> {
    let requests = got.iter().filter_map(|got| match &got.signal {
        Signal::Logs(request) => Some(request),
        _ => None,
    });
    let scopes = requests.flat_map(|r| &r.resource_logs).flat_map(|r| &r.scope_logs);
    scopes.flat_map(|scope| &scope.log_records).collect()
}

pub fn metrics(got: &[Got]) -> Vec<&Metric> {
    let requests = got.iter().filter_map(|got| match &got.signal {
        Signal::Metrics(request) => Some(request),
        _ => None,
    });
    let scopes = requests.flat_map(|r| &r.resource_metrics).flat_map(|r| &r.scope_metrics);
    scopes.flat_map(|scope| &scope.metrics).collect()
}

/// The number of measurements in the newest points of a histogram, or of points of another metric.
pub fn measured(got: &[Got], name: &str) -> u64 {
    let newest = metrics(got).into_iter().rfind(|metric| metric.name == name);
    match newest.and_then(|metric| metric.data.as_ref()) {
        Some(Data::Histogram(histogram)) => histogram.data_points.iter().map(|p| p.count).sum(),
        Some(Data::Sum(sum)) => sum.data_points.len() as u64,
        Some(Data::Gauge(gauge)) => gauge.data_points.len() as u64,
        _ => 0,
    }
}

/// The attributes whose values are strings.
pub fn texts(attributes: &[KeyValue]) -> BTreeMap<&str, &str> {
    fn text(value: &AnyValue) -> Option<&str> {
        match &value.value {
            Some(Value::StringValue(text)) => Some(text),
            _ => None,
        }
    }
    let texts = attributes.iter().filter_map(|kv| Some((&*kv.key, text(kv.value.as_ref()?)?)));
    texts.collect()
}

fn resource(got: &Got) -> Option<&Resource> {
    match &got.signal {
        Signal::Traces(request) => request.resource_spans[0].resource.as_ref(),
        Signal::Metrics(request) => request.resource_metrics[0].resource.as_ref(),
        Signal::Logs(request) => request.resource_logs[0].resource.as_ref(),
    }
}

/// The resources that `got` names, one for each request.
pub fn resources(got: &[Got]) -> Vec<BTreeMap<&str, &str>> {
    got.iter().map(|got| texts(&resource(got).expect("a resource").attributes)).collect()
}

/// A collector that accepts connections and never answers.
pub struct Hanging {
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Hanging {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        std::thread::spawn(move || {
            let mut held = Vec::new();
            for stream in listener.incoming() {
                held.push(stream);
                count.store(held.len(), Ordering::Relaxed);
            }
        });
        Self { address, connections }
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

/// A local port on which nobody listens, reserved while the socket lives.
pub fn refusing() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}
