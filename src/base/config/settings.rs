//! The table of all settings: sections, defaults, ranges and help texts.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use super::environment::{Secret, user_folder};
use super::value::{
    CaptureQuery, DenseDevice, DenseKind, DeviceChoice, DtypeChoice, MetricsRoute, SemconvCompat,
    Value, VllmMode,
};

/// The name that the Python original gave to one variable.
pub(super) const CAPTURE_QUERY: &str = "CODEINTEL_CAPTURE_QUERY";

/// One setting as people see it.
pub struct Key {
    /// Dotted, as in the file: `engine.threads`.
    pub name: &'static str,
    /// What it does and its unit.
    pub help: &'static str,
    /// The default, as the file would spell it.
    pub default: fn() -> String,
    pub(super) get: fn(&Settings) -> String,
    pub(super) set: fn(&mut Settings, &str) -> std::result::Result<(), String>,
}

impl Key {
    /// The environment variable: `CODEINTEL_ENGINE_THREADS`.
    pub fn env(&self) -> String {
        format!("CODEINTEL_{}", self.name.replace('.', "_").to_uppercase())
    }

    /// The variables that set it, the one that wins last.
    pub(super) fn variables(&self) -> impl Iterator<Item = String> {
        let short = (self.name == "telemetry.capture_query").then(|| CAPTURE_QUERY.to_owned());
        short.into_iter().chain([self.env()])
    }

    /// Its value in `settings`, as the file would spell it.
    pub fn value(&self, settings: &Settings) -> String {
        (self.get)(settings)
    }
}

macro_rules! settings {
    ($(
        $(#[$doc:meta])*
        $section:ident, $head:literal: $Section:ident {
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
            name: concat!($head, ".", stringify!($field)),
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
    /// Where the index is and how much of its past is kept.
    data, "data": DataSettings {
        dir: String = String::new(),
            "Folder of the index; empty: the nearest .codeintel in this folder or above it";
        versions_kept: usize = 2, in 1..=100,
            "Published versions kept for `rollback`, the current one included";
    }
    /// Which embedding model, and where downloaded models are.
    model, "model": ModelSettings {
        name: String = "all-MiniLM-L6-v2".to_owned(),
            "Embedding model: a name of `codeintel model list`, or a folder with config.json, tokenizer.json and safetensors";
        dir: String = String::new(),
            "Folder of downloaded models; empty: codeintel/models in the user's data folder";
    }
    /// How this process embeds.
    engine, "engine": EngineSettings {
        threads: usize = 0, in 0..=1024,
            "CPU threads for embedding and chunking; 0: every core";
        device: DeviceChoice = DeviceChoice::Auto,
            "Where networks compute: auto (a GPU where the build, the machine and the model allow one, else the CPU), cpu, cuda (the first GPU), cuda:N";
        gpu_memory_utilization: f32 = 0.9, in 0.01..=1.0,
            "Share of a GPU's memory that weights, activations and the vectors of the index may take";
        dtype: DtypeChoice = DtypeChoice::Auto,
            "Numbers that linear layers multiply: auto (on the CPU the fastest whose vectors keep a cosine of .9999 to those of f32, on a GPU bf16), bf16, on the CPU also f32, int16 and int8, on a GPU also f16";
        max_batch_tokens: usize = 0, in 0..=1_048_576,
            "Tokens in one forward pass; engine.batch_ms and the memory may allow fewer; 0: 4096 on the CPU, 65536 on a GPU";
        max_batch_seqs: usize = 0, in 0..=65_536,
            "Sequences in one forward pass; 0: 256 on the CPU, 4096 on a GPU";
        batch_ms: u64 = 200, in 0..=600_000,
            "Milliseconds that a forward pass may take, as far as earlier ones tell: a query that arrives waits for it; 0: no limit";
        queue_tokens_max: usize = 1_048_576, in 1024..=1_073_741_824,
            "Tokens waiting in each lane; a request beyond it is answered `overloaded`";
        cache_dir: String = String::new(),
            "Folder of the vector cache; empty: codeintel/vectors in the user's cache folder";
        cache_bytes_max: u64 = 2 << 30, in 0..=1 << 44,
            "Bytes of the vector cache on disk; the oldest vectors are dropped beyond it; 0: no cache";
    }
    /// Who embeds.
    vllm, "vllm": VllmSettings {
        mode: VllmMode = VllmMode::Inproc,
            "Who embeds: inproc (this process), http (the endpoint vllm.url), auto (this process, the endpoint where that fails)";
    }
    /// The endpoint that embeds instead of this process.
    endpoint, "vllm": EndpointSettings {
        url: String = String::new(),
            "Base URL of an OpenAI-compatible endpoint, such as http://127.0.0.1:8000; its key comes from CODEINTEL_VLLM_API_KEY alone";
        model: String = String::new(),
            "Name by which the endpoint knows the model; empty: that of model.name";
        timeout_ms: u64 = 30_000, in 1..=600_000,
            "Milliseconds in which the endpoint must answer one request";
        retries_max: usize = 3, in 0..=20,
            "Tries after the first where the endpoint is busy, fails or cannot be reached";
        batch_texts_max: usize = 64, in 1..=2048,
            "Texts in one request to the endpoint";
        parallel_max: usize = 4, in 1..=64,
            "Requests that the endpoint is sent at once";
        + api_key, "The key of the endpoint; read from the environment alone.";
    }
    /// Which files are indexed.
    source, "source": SourceSettings {
        file_bytes_max: u64 = 1 << 20, in 1..=1 << 30,
            "Bytes of the largest file indexed; larger ones are skipped and counted";
        hidden: bool = false,
            "Whether hidden files and folders are indexed";
        history: bool = true,
            "Whether the time and author of each file's last commit are read from git";
    }
    /// How files are cut into chunks.
    chunk, "chunk": ChunkSettings {
        tokens_max: usize = 256, in 32..=32_768,
            "Tokens of a chunk with its header, in the model's own tokens; never more than the model takes";
    }
    /// How vectors are indexed.
    index, "index": IndexSettings {
        dense_kind: DenseKind = DenseKind::Auto,
            "Vector index: auto (by size), flat, ivf_flat, ivf_pq, hnsw";
        delta_ratio_max: f32 = 0.05, in 0.0..=1.0,
            "Share of a version that may lie in its delta or be deleted before the index is compacted";
    }
    /// What a search may take and return.
    search, "search": SearchSettings {
        limit: usize = 10, in 1..=200,
            "Results of a search";
        query_bytes_max: usize = 16_384, in 1..=1 << 20,
            "Bytes of the longest query";
        deadline_ms: u64 = 5_000, in 1..=600_000,
            "Milliseconds in which the channels must answer; a late channel is dropped and reported";
        nprobe: usize = 32, in 1..=65_536,
            "Inverted lists visited by an ivf index";
        ef_search: usize = 96, in 1..=65_536,
            "Candidates kept while an hnsw index is searched";
        dense_device: DenseDevice = DenseDevice::Auto,
            "Where the vectors lie that `serve` searches: auto (in the memory of the GPU that embeds queries, where there is one and they fit, else on the CPU), cpu";
    }
    /// What the server accepts.
    serve, "serve": ServeSettings {
        address: String = "127.0.0.1:8080".to_owned(),
            "Address and port that `serve` listens on";
        body_bytes_max: usize = 2 << 20, in 1024..=1 << 30,
            "Bytes of the largest request body";
        items_max: usize = 2048, in 1..=65_536,
            "Texts in one embedding request";
    }
    /// What telemetry records.
    telemetry, "telemetry": TelemetrySettings {
        capture_query: CaptureQuery = CaptureQuery::Hash,
            "Whether a query's text goes onto spans: full, hash, none; also as CODEINTEL_CAPTURE_QUERY";
        semconv_compat: SemconvCompat = SemconvCompat::None,
            "Whether older names of attributes go onto spans too: none, part2";
        runs_bytes_max: u64 = 64 << 20, in 0..=1 << 40,
            "Bytes of the run reports kept in the data folder; the oldest are dropped beyond it; 0: none is kept";
    }
    /// Where metrics are served.
    metrics, "metrics": MetricsSettings {
        route: MetricsRoute = MetricsRoute::On,
            "Whether `serve` answers /metrics on its own port: on, gone (410, with the address of the second listener)";
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
