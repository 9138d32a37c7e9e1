//! Labels of metrics, as enumerations, so that no path or query can become a label value.

use opentelemetry::KeyValue;

use super::attrs::{self, Attr};

/// One label of a metric: a name and a closed list of values.
pub trait Label: Copy + 'static {
    const NAME: &'static str;
    const ALL: &'static [Self];

    /// The value in a scrape.
    fn value(self) -> &'static str;

    /// Its index in [`Label::ALL`].
    fn place(self) -> usize;
}

macro_rules! labels {
    ($($(#[$doc:meta])* $label:ident: $name:literal { $($variant:ident = $value:literal),+ $(,)? })+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $label { $($variant),+ }

        impl Label for $label {
            const NAME: &'static str = $name;
            const ALL: &'static [Self] = &[$(Self::$variant),+];

            fn value(self) -> &'static str {
                self.as_str()
            }

            fn place(self) -> usize {
                self as usize
            }
        }

        impl $label {
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $value),+ }
            }
        }
    )+};
}

labels! {
    /// The tool of a run.
    Tool: "tool" {
        Search = "search:semantic",
        SearchPro = "search:semantic_pro",
        DeepSearch = "search:deep",
        Fetch = "search:fetch",
        FindRelated = "search:related",
        SearchText = "search:text",
        ListPaths = "files:list",
        OpenFile = "files:open",
        Outline = "symbols:outline",
        RepoMap = "facts:map",
        RepoFacts = "facts:table",
        SymbolSearch = "symbols:search",
        DefinitionAt = "symbols:definition",
        ReferencesAt = "symbols:references",
        Impact = "symbols:impact",
        BlameRange = "git:blame",
        FileHistory = "git:file_history",
        SetScope = "scope:set",
        IndexStatus = "index:status",
        Reindex = "index:reindex",
        LatestRun = "report:latest_run",
        Ingest = "ingest",
        Embed = "embed",
        Embeddings = "embeddings",
        Rerank = "rerank",
        Bench = "bench",
        Eval = "eval",
    }
    /// How a run ended.
    RunStatus: "status" { Ok = "ok", Error = "error", Cancelled = "cancelled" }
    /// How a stage ended.
    Outcome: "outcome" { Run = "run", Error = "error" }
    /// Kind of a FAISS index; `+sec` if it has a delta beside its base.
    IndexKind: "index_kind" {
        Flat = "Flat",
        FlatSec = "Flat+sec",
        IvfFlat = "IVFFlat",
        IvfFlatSec = "IVFFlat+sec",
        IvfPq = "IVF-PQ",
        IvfPqSec = "IVF-PQ+sec",
        Hnsw = "HNSW",
        HnswSec = "HNSW+sec",
    }
    /// Whether the index is in GPU memory.
    OnGpu: "gpu" { No = "false", Yes = "true" }
    /// A route of the HTTP interface.
    Route: "route" {
        Alive = "/healthz",
        Ready = "/readyz",
        Metrics = "/metrics",
        Run = "/v1/runs/{run_id}",
        Trace = "/v1/traces/{trace_id}",
        Embeddings = "/v1/embeddings",
        Search = "/v1/search",
        Tools = "/v1/tools",
        Tool = "/v1/tools/{name}",
        Mcp = "/mcp",
        Unmatched = "unmatched",
    }
    /// Class of an HTTP status; `aborted` if the caller disconnected.
    StatusClass: "status" { C2xx = "2xx", C3xx = "3xx", C4xx = "4xx", C5xx = "5xx", Aborted = "aborted" }
    /// Where embeddings are computed: in this process, or by an endpoint over HTTP.
    Mode: "mode" { Inproc = "inproc", Http = "http" }
    /// The kind of device that computed a batch.
    DeviceKind: "device" { Cpu = "cpu", Cuda = "cuda", Endpoint = "endpoint" }
    /// Queue lane of an embedding request: interactive for queries, bulk for ingest and large
    /// requests.
    Lane: "lane" { Interactive = "interactive", Bulk = "bulk" }
    /// Why an endpoint computed a request that the settings would rather compute in this process:
    /// the model could not be loaded, the device failed on this request, or the device is not used
    /// for a while because it failed before.
    FallbackReason: "reason" { Load = "load", Device = "device", CoolDown = "cool_down" }
    /// How an embedding request ended.
    EmbedOutcome: "outcome" {
        Ok = "ok",
        Overloaded = "overloaded",
        Timeout = "timeout",
        Cancelled = "cancelled",
        Failed = "failed",
    }
}

/// Labels with one value that the conventions for generative AI require.
macro_rules! constant_labels {
    ($($(#[$doc:meta])* $label:ident: $attr:ident = $value:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        pub struct $label;

        impl Label for $label {
            const NAME: &'static str = Attr::key(attrs::$attr);
            const ALL: &'static [Self] = &[Self];

            fn value(self) -> &'static str {
                $value
            }

            fn place(self) -> usize {
                0
            }
        }
    )+};
}

constant_labels! {
    /// The operation that a search is.
    Retrieval: GEN_AI_OPERATION = "retrieval";
    /// Who answers it.
    Provider: GEN_AI_PROVIDER = "codeintel";
}

impl Route {
    /// The route registered as `path`.
    pub fn of(path: Option<&str>) -> Self {
        let known = |path: &str| Self::ALL.iter().copied().find(|route| route.value() == path);
        path.and_then(known).unwrap_or(Self::Unmatched)
    }

    /// Whether it is asked at an interval, by probes and scrapers.
    pub fn is_probe(self) -> bool {
        matches!(self, Self::Alive | Self::Ready | Self::Metrics)
    }
}

impl StatusClass {
    pub fn of(status: u16) -> Self {
        match status {
            499 => Self::Aborted,
            500.. => Self::C5xx,
            400.. => Self::C4xx,
            300.. => Self::C3xx,
            _ => Self::C2xx,
        }
    }
}

/// All labels of one metric.
pub trait LabelSet: Copy {
    /// The names of the labels.
    fn names() -> Vec<&'static str>;
    /// Every combination, in the order of [`LabelSet::place`].
    fn combinations() -> Vec<Vec<KeyValue>>;
    /// The index of this combination.
    fn place(self) -> usize;
}

macro_rules! label_set {
    ($($label:ident $field:tt),+) => {
        impl<$($label: Label),+> LabelSet for ($($label,)+) {
            fn names() -> Vec<&'static str> {
                vec![$($label::NAME),+]
            }

            fn combinations() -> Vec<Vec<KeyValue>> {
                let mut rows: Vec<Vec<KeyValue>> = vec![Vec::new()];
                $(
                    rows = rows.iter().flat_map(|row| $label::ALL.iter().map(move |label| {
                        let one = KeyValue::new($label::NAME, label.value());
                        row.iter().cloned().chain([one]).collect()
                    })).collect();
                )+
                rows
            }

            fn place(self) -> usize {
                let mut place = 0;
                $(place = place * $label::ALL.len() + self.$field.place();)+
                place
            }
        }
    };
}
label_set!(A 0);
label_set!(A 0, B 1);
label_set!(A 0, B 1, C 2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_has_a_place_of_its_own() {
        let combinations = <(Mode, DeviceKind, Lane)>::combinations();
        assert_eq!(<(Mode, DeviceKind, Lane)>::names(), ["mode", "device", "lane"]);
        let distinct = Mode::ALL.len() * DeviceKind::ALL.len() * Lane::ALL.len();
        assert_eq!(combinations.len(), distinct);
        let labels =
            |row: &[KeyValue]| row.iter().map(|kv| kv.value.to_string()).collect::<Vec<_>>();
        let place = (Mode::Inproc, DeviceKind::Cpu, Lane::Bulk).place();
        assert_eq!(labels(&combinations[place]), ["inproc", "cpu", "bulk"]);
        for &kind in IndexKind::ALL {
            let row = &<(IndexKind, OnGpu)>::combinations()[(kind, OnGpu::Yes).place()];
            assert_eq!(labels(row), [kind.value(), "true"]);
        }
    }

    #[test]
    fn a_status_has_its_class() {
        let classes = [200, 304, 404, 499, 503].map(|status| StatusClass::of(status).value());
        assert_eq!(classes, ["2xx", "3xx", "4xx", "aborted", "5xx"]);
    }
}
