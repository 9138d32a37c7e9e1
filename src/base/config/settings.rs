//! The table of all settings: sections, defaults, ranges and help texts.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use super::environment::{Secret, user_folder};
use super::value::{
    BackendChoice, CaptureQuery, DenseDevice, DenseKind, DeviceChoice, DtypeChoice, FusionChoice,
    IndexNeed, InstructionsChoice, MetricsRoute, RerankMethod, SemconvCompat, Value, VllmMode,
};

/// The short name of one variable, kept from the Python version.
pub(super) const CAPTURE_QUERY: &str = "CODEINTEL_CAPTURE_QUERY";

/// One setting: its name, help text and default, and how it is read and written.
pub struct Key {
    /// Dotted, as in the file: `engine.threads`.
    pub name: &'static str,
    /// What it does, with its unit.
    pub help: &'static str,
    /// The default, formatted as in the file.
    pub default: fn() -> String,
    pub(super) get: fn(&Settings) -> String,
    pub(super) set: fn(&mut Settings, &str) -> std::result::Result<(), String>,
}

impl Key {
    /// The environment variable: `CODEINTEL_ENGINE_THREADS`.
    pub fn env(&self) -> String {
        variable(self.name)
    }

    /// The variables that set it; a later one takes precedence.
    pub(super) fn variables(&self) -> impl Iterator<Item = String> {
        let short = (self.name == "telemetry.capture_query").then(|| CAPTURE_QUERY.to_owned());
        short.into_iter().chain([self.env()])
    }

    /// Its value in `settings`, formatted as in the file.
    pub fn value(&self, settings: &Settings) -> String {
        (self.get)(settings)
    }
}

macro_rules! settings {
    ($(
        $(#[$doc:meta])*
        $section:ident: $Section:ident {
            $($field:ident: $type:ty = $default:expr $(, in $range:expr)?, $help:literal;)+
            $(+ $secret:ident, $secret_doc:literal;)?
        }
    )+) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq)]
            pub struct $Section {
                $(#[doc = $help] pub $field: $type,)+
                $(#[doc = $secret_doc] pub $secret: Secret,)?
            }

            impl Default for $Section {
                fn default() -> Self {
                    Self { $($field: $default,)+ $($secret: Secret::default(),)? }
                }
            }
        )+

        /// Every setting, checked: a value of this type cannot be out of range.
        #[derive(Debug, Clone, Default, PartialEq)]
        pub struct Settings {
            $($(#[$doc])* pub $section: $Section,)+
        }

        /// Every setting, in the order of the default file.
        pub const KEYS: &[Key] = &[$($(Key {
            name: concat!(stringify!($section), ".", stringify!($field)),
            help: $help,
            default: || { let value: $type = $default; value.toml() },
            get: |settings| settings.$section.$field.toml(),
            set: |settings, text| {
                let value = <$type as Value>::parse(text)?;
                $(check(&value, $range)?;)?
                settings.$section.$field = value;
                Ok(())
            },
        },)+)+];
    };
}

settings! {
    /// The folder of the index.
    data: DataSettings {
        dir: String = String::new(),
            "Folder of the index; empty: the nearest .codeintel in the current folder or above it";
        versions_kept: usize = 2, in 1..=100,
            "Number of published versions kept for `rollback`, including the current one";
    }
    /// The embedding model.
    model: ModelSettings {
        name: String = "all-MiniLM-L6-v2".to_owned(),
            "Embedding model: a name from `codeintel model list`, a repository of a model hub that was pulled (ORG/NAME), or a folder with config.json, tokenizer.json and the weights as safetensors files or pytorch_model.bin";
        dir: String = String::new(),
            "Folder of downloaded models; empty: codeintel/models in the user's data folder";
        allow_any_dimensions: bool = false,
            "Whether vectors may be cut to any number of dimensions, even if config.json of the model does not say that it was trained for it (is_matryoshka, matryoshka_dimensions)";
        calibration: String = String::new(),
            "NumPy file [n, d] of vectors of the model, or of their smallest and largest values: the range of each value for int8 and uint8 vectors; empty: none";
    }
    /// Embedding in this process.
    engine: EngineSettings {
        threads: usize = 0, in 0..=1024,
            "CPU threads for embedding and chunking; 0: one per core";
        device: DeviceChoice = DeviceChoice::Auto,
            "Device that runs the model: auto (a GPU if the build, the machine and the model allow it, otherwise the CPU), cpu, cuda (the first GPU), cuda:N or metal";
        backend: BackendChoice = BackendChoice::Auto,
            "What computes the networks: auto (our kernels; candle for families and devices that they do not have), native (our kernels alone) or candle (the operations of candle: portable, slower on a CPU)";
        verify: bool = true,
            "Whether a model that is loaded on a GPU embeds three texts there and with the CPU in f32, and is refused below a cosine of 0.999 (with engine.device = auto the CPU computes then)";
        gpu_memory_utilization: f32 = 0.9, in 0.01..=1.0,
            "Fraction of GPU memory that weights, activations and the index's vectors may use";
        dtype: DtypeChoice = DtypeChoice::Auto,
            "Number format of the linear layers. auto: on the CPU the fastest format whose vectors stay within cosine 0.9999 of f32, on a GPU bf16. Both: bf16. CPU only: f32, int16, int8. GPU only: f16";
        instructions: InstructionsChoice = InstructionsChoice::Auto,
            "Instructions that our kernels use on a CPU: auto (the best of the processor), avx512, avx2 or portable; for comparisons between processors";
        max_batch_tokens: usize = 0, in 0..=1_048_576,
            "Maximum tokens in one forward pass; engine.batch_ms and the memory may lower it; 0: 4096 on the CPU, 65536 on a GPU";
        max_batch_seqs: usize = 0, in 0..=65_536,
            "Maximum sequences in one forward pass; 0: 256 on the CPU, 4096 on a GPU";
        batch_ms: u64 = 200, in 0..=600_000,
            "Target for the duration of one forward pass in milliseconds, predicted from earlier passes, because a new query waits for the running pass; 0: no limit";
        queue_tokens_max: usize = 1_048_576, in 1024..=1_073_741_824,
            "Maximum tokens waiting in each lane of the queue; further requests are rejected with `overloaded`";
        cache_dir: String = String::new(),
            "Folder of the vector cache; empty: codeintel/vectors in the user's cache folder";
        cache_bytes_max: u64 = 2 << 30, in 0..=1 << 44,
            "Maximum bytes of the vector cache on disk; the oldest vectors are dropped first; 0: no cache";
    }
    /// Where embeddings are computed.
    vllm: VllmSettings {
        mode: VllmMode = VllmMode::Inproc,
            "Where embeddings are computed: inproc (in this process), http (by the endpoint endpoint.url), auto (in this process, by the endpoint if that fails)";
    }
    /// An OpenAI-compatible endpoint that embeds instead of this process.
    endpoint: EndpointSettings {
        url: String = String::new(),
            "Base URL of an OpenAI-compatible endpoint, such as http://127.0.0.1:8000 or https://embeddings.example; its API key is read only from CODEINTEL_ENDPOINT_API_KEY";
        ca_file: String = String::new(),
            "PEM file of the certificate authorities that are trusted for an https:// endpoint, besides those of the system; empty: only those of the system";
        model: String = String::new(),
            "Name of the model at the endpoint; empty: the value of model.name";
        timeout_ms: u64 = 30_000, in 1..=600_000,
            "Timeout of one request to the endpoint in milliseconds";
        retries_max: usize = 3, in 0..=20,
            "Retries when the endpoint is busy, fails or cannot be reached";
        batch_texts_max: usize = 64, in 1..=2048,
            "Maximum texts in one request to the endpoint";
        parallel_max: usize = 4, in 1..=64,
            "Maximum requests to the endpoint in flight at once";
        + api_key, "API key of the endpoint, read only from the environment.";
    }
    /// Selection of files.
    source: SourceSettings {
        file_bytes_max: u64 = 1 << 20, in 1..=1 << 30,
            "Maximum size of an indexed file in bytes; larger files are skipped and counted";
        hidden: bool = false,
            "Whether hidden files and folders are indexed";
        history: bool = true,
            "Whether the last commit of each file and the numbers of its commits and authors are read from git";
    }
    /// Chunking of files.
    chunk: ChunkSettings {
        tokens_max: usize = 256, in 32..=32_768,
            "Maximum tokens of a chunk including its header, counted by the model's tokenizer; limited by what the model accepts";
    }
    /// The vector index.
    index: IndexSettings {
        dense_kind: DenseKind = DenseKind::Auto,
            "Vector index: auto (by size), flat, ivf_flat, ivf_pq, hnsw";
        sparse_model: String = String::new(),
            "Model of the channel `sparse`: the folder of a SPLADE model (a masked-language-model head); empty: that of the index, and none in a new index";
        delta_ratio_max: f32 = 0.05, in 0.0..=1.0,
            "Fraction of rows that may be in the delta or deleted before the next run rebuilds the base index";
        skip: String = String::new(),
            "Globs of files that are not indexed, with commas between them, such as testdata/**,*.snap; before the other two lists";
        every_channel: String = String::new(),
            "Globs of files that are embedded although their kind says otherwise, such as data, generated and minified files; before index.words_only";
        words_only: String = String::new(),
            "Globs of files that are found by their words and names only, and not embedded";
    }
    /// Searches.
    search: SearchSettings {
        limit: usize = 10, in 1..=200,
            "Number of results of a search";
        query_bytes_max: usize = 16_384, in 1..=1 << 20,
            "Maximum length of a query in bytes";
        deadline_ms: u64 = 5_000, in 1..=600_000,
            "Deadline of a search in milliseconds; a channel that misses it is left out and reported";
        fusion: FusionChoice = FusionChoice::Convex,
            "How the channels' rankings are fused: convex (weighted sum of their scaled scores), rrf (weighted reciprocal ranks)";
        pool_max: usize = 1_000, in 200..=10_000,
            "Maximum chunks that the channels found together and that are ranked; those that every channel ranks low are dropped first";
        rm3: bool = false,
            "Whether the lexical channel searches again with words of its ten best chunks (RM3)";
        rerank: RerankMethod = RerankMethod::Off,
            "How the best chunks are ranked once more: off, exact (vectors in full precision, for what an approximate index missed), maxsim (token vectors of the embedding model), cross_encoder (search.rerank_model), listwise (a chat model at search.rerank_url)";
        rerank_top_k: usize = 20, in 1..=200,
            "Number of chunks that are ranked once more";
        rerank_budget_ms: u64 = 1_000, in 1..=600_000,
            "Maximum milliseconds of that; when they are over, the remaining chunks keep their order";
        rerank_weight: f64 = 0.0, in 0.0..=1.0,
            "Weight of that against the score before, 0 to 1, where 1 is its order alone; 0: the weight of the method (docs/searching.md)";
        rerank_model: String = String::new(),
            "Model of cross_encoder: a name, or a folder with a classifier of one label";
        rerank_url: String = String::new(),
            "Base URL of an OpenAI-compatible chat endpoint for listwise, which receives the texts of the chunks; its API key is read only from CODEINTEL_SEARCH_RERANK_API_KEY";
        rerank_chat_model: String = String::new(),
            "Name of the model at that endpoint";
        nprobe: usize = 32, in 1..=65_536,
            "Inverted lists visited by a search of an ivf index";
        ef_search: usize = 96, in 1..=65_536,
            "Candidates kept during a search of an hnsw index";
        k_factor: usize = 4, in 1..=1024,
            "Candidates for each result that a search of an ivf_pq index scores again in full precision, at least 128 in all";
        recency_boost_max: f64 = 0.15, in 0.0..=10.0,
            "How much a commit of now raises the score of its files, where recency is asked for: 0.15 is 15 percent; a question about recent changes asks for twice as much";
        recency_half_life_days: u64 = 30, in 1..=36_500,
            "Days after which that boost has halved";
        dense_device: DenseDevice = DenseDevice::Auto,
            "Where `serve` searches vectors: auto (in the memory of the GPU that embeds queries if there is one and they fit, otherwise on the CPU), cpu";
        + rerank_api_key, "API key of the chat endpoint, read only from the environment.";
    }
    /// The HTTP server.
    serve: ServeSettings {
        address: String = "127.0.0.1:8080".to_owned(),
            "Address and port that `serve` listens on";
        body_bytes_max: usize = 2 << 20, in 1024..=1 << 30,
            "Maximum size of a request body in bytes";
        requests_max: usize = 512, in 1..=8192,
            "Maximum requests of each tool at work at once; each holds a thread, and more are rejected as overloaded";
        items_max: usize = 2048, in 1..=65_536,
            "Maximum texts in one embedding request";
        tools: String = String::new(),
            "Tools offered over MCP, such as semantic_search,open_file; empty: all";
        allowed_origins: String = String::new(),
            "Origins of web pages that may call /mcp, such as https://app.example.com:443; empty: none";
        allowed_hosts: String = String::new(),
            "Host names by which /mcp may be reached, beside those of this machine, such as code.example.com";
        index: IndexNeed = IndexNeed::Auto,
            "Whether `serve` needs an index to be ready: auto (only if the data folder has one), required";
    }
    /// What telemetry records.
    telemetry: TelemetrySettings {
        capture_query: CaptureQuery = CaptureQuery::Hash,
            "How a query's text is recorded on spans: full, hash, none; also set by CODEINTEL_CAPTURE_QUERY";
        semconv_compat: SemconvCompat = SemconvCompat::None,
            "Whether spans also carry the older names of attributes: none, part2";
        trace_probes: bool = false,
            "Whether requests to /healthz, /readyz and /metrics are traced";
        runs_bytes_max: u64 = 64 << 20, in 0..=1 << 40,
            "Maximum bytes of run reports kept in the data folder; the oldest are dropped first; 0: none is kept";
    }
    /// The metrics route.
    metrics: MetricsSettings {
        route: MetricsRoute = MetricsRoute::On,
            "Whether `serve` answers /metrics on its own port: on, gone (410 with the address of the second listener)";
    }
}

fn check<T: PartialOrd + Display>(
    value: &T,
    range: RangeInclusive<T>,
) -> std::result::Result<(), String> {
    if range.contains(value) {
        Ok(())
    } else {
        Err(format!("{} to {}", range.start(), range.end()))
    }
}

/// The environment variable of setting `name`.
pub(super) fn variable(name: &str) -> String {
    format!("CODEINTEL_{}", name.replace('.', "_").to_uppercase())
}

/// The help text of setting `name`; flags that set it show the same words.
pub fn help(name: &str) -> &'static str {
    key(name).unwrap_or_else(|| panic!("no setting {name}")).help
}

pub(super) fn key(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// The documented default file, as `codeintel config --defaults` prints it.
pub fn default_file() -> String {
    let mut text = String::from(
        "# Every setting of codeintel with its default. Each can also be set by the environment\n\
         # (engine.threads: CODEINTEL_ENGINE_THREADS) and by `--set engine.threads=4`.\n",
    );
    let mut section = "";
    for key in KEYS {
        let (head, tail) = key.name.split_once('.').expect("names have a section");
        if head != section {
            section = head;
            text += &format!("\n[{section}]\n");
        }
        text += &format!("# {}.\n{tail} = {}\n", key.help, (key.default)());
    }
    text
}

impl DataSettings {
    /// The folder of the index: the one set, else the nearest `.codeintel` at or above `from`.
    pub fn folder(&self, from: &Path) -> PathBuf {
        if !self.dir.is_empty() {
            return PathBuf::from(&self.dir);
        }
        let nearest = from.ancestors().map(|folder| folder.join(".codeintel")).find(|p| p.is_dir());
        nearest.unwrap_or_else(|| from.join(".codeintel"))
    }
}

/// The folder of the clones of repositories elsewhere.
pub fn clone_folder(env: impl Fn(&str) -> Option<String>) -> PathBuf {
    user_folder(env, "XDG_CACHE_HOME", ".cache").join("codeintel/repositories")
}

impl ModelSettings {
    /// The folder of downloaded models.
    pub fn folder(&self, env: impl Fn(&str) -> Option<String>) -> PathBuf {
        if self.dir.is_empty() {
            user_folder(env, "XDG_DATA_HOME", ".local/share").join("codeintel/models")
        } else {
            PathBuf::from(&self.dir)
        }
    }
}

impl EngineSettings {
    /// The folder of the vector cache; none when it may hold no bytes.
    pub fn cache_folder(&self, env: impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
        let folder = if self.cache_dir.is_empty() {
            user_folder(env, "XDG_CACHE_HOME", ".cache").join("codeintel/vectors")
        } else {
            PathBuf::from(&self.cache_dir)
        };
        (self.cache_bytes_max > 0).then_some(folder)
    }

    /// The number of worker threads that `threads` stands for.
    pub fn thread_count(&self) -> usize {
        if self.threads == 0 {
            std::thread::available_parallelism().map_or(1, |n| n.get())
        } else {
            self.threads
        }
    }
}
