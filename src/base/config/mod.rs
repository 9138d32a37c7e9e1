//! Raw settings (defaults < `codeintel.toml` < `CODEINTEL_*` < flags) become checked settings.
//!
//! One table, [`KEYS`], gives the default file, the help texts and the checks.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

mod environment;
mod value;

use crate::base::error::{Error, Result};
use environment::user_folder;
pub use environment::{Secret, process_env};
use value::Value;
pub use value::{
    CaptureQuery, DenseDevice, DenseKind, DeviceChoice, DtypeChoice, MetricsRoute, SemconvCompat,
    VllmMode,
};

/// The name of the settings file looked for in the current folder.
pub const FILE_NAME: &str = "codeintel.toml";

/// The name that the Python original gave to one variable.
const CAPTURE_QUERY: &str = "CODEINTEL_CAPTURE_QUERY";

/// The variable that holds the key of the endpoint `vllm.url`.
const VLLM_API_KEY: &str = "CODEINTEL_VLLM_API_KEY";

/// One setting as people see it.
pub struct Key {
    /// Dotted, as in the file: `engine.threads`.
    pub name: &'static str,
    /// What it does and its unit.
    pub help: &'static str,
    /// The default, as the file would spell it.
    pub default: fn() -> String,
    get: fn(&Settings) -> String,
    set: fn(&mut Settings, &str) -> std::result::Result<(), String>,
}

impl Key {
    /// The environment variable: `CODEINTEL_ENGINE_THREADS`.
    pub fn env(&self) -> String {
        format!("CODEINTEL_{}", self.name.replace('.', "_").to_uppercase())
    }

    /// The variables that set it, the one that wins last.
    fn variables(&self) -> impl Iterator<Item = String> {
        let short = (self.name == "telemetry.capture_query").then(|| CAPTURE_QUERY.to_owned());
        short.into_iter().chain([self.env()])
    }

    /// Its value in `settings`, as the file would spell it.
    pub fn value(&self, settings: &Settings) -> String {
        (self.get)(settings)
    }
}

macro_rules! settings {
    ($($field:ident: $type:ty = $default:expr, $name:literal $(, in $range:expr)?, $help:literal;)+) => {
        /// Every setting, checked: a value of this type cannot be out of range.
        #[derive(Debug, Clone, PartialEq)]
        pub struct Settings {
            $(#[doc = $help] pub $field: $type,)+
            /// The endpoint's key, of the environment alone.
            pub vllm_api_key: Secret,
        }

        impl Default for Settings {
            fn default() -> Self {
                Self { $($field: $default,)+ vllm_api_key: Secret::default() }
            }
        }

        /// Every setting, in the order of the default file.
        pub const KEYS: &[Key] = &[$(Key {
            name: $name,
            help: $help,
            default: || { let value: $type = $default; value.toml() },
            get: |settings| settings.$field.toml(),
            set: |settings, text| {
                let value = <$type as Value>::parse(text)?;
                $(check(&value, $range)?;)?
                settings.$field = value;
                Ok(())
            },
        },)+];
    };
}

settings! {
    data_dir: String = String::new(), "data.dir",
        "Folder of the index; empty: the nearest .codeintel in this folder or above it";
    versions_kept: usize = 2, "data.versions_kept", in 1..=100,
        "Published versions kept for `rollback`, the current one included";
    model_name: String = "all-MiniLM-L6-v2".to_owned(), "model.name",
        "Embedding model: a name of `codeintel model list`, or a folder with config.json, tokenizer.json and safetensors";
    model_dir: String = String::new(), "model.dir",
        "Folder of downloaded models; empty: codeintel/models in the user's data folder";
    threads: usize = 0, "engine.threads", in 0..=1024,
        "CPU threads for embedding and chunking; 0: every core";
    device: DeviceChoice = DeviceChoice::Auto, "engine.device",
        "Where networks compute: auto (a GPU where the build, the machine and the model allow one, else the CPU), cpu, cuda (the first GPU), cuda:N";
    gpu_memory_utilization: f32 = 0.9, "engine.gpu_memory_utilization", in 0.01..=1.0,
        "Share of a GPU's memory that weights, activations and the vectors of the index may take";
    dtype: DtypeChoice = DtypeChoice::Auto, "engine.dtype",
        "Numbers that linear layers multiply: auto (on the CPU the fastest whose vectors keep a cosine of .9999 to those of f32, on a GPU bf16), bf16, on the CPU also f32, int16 and int8, on a GPU also f16";
    max_batch_tokens: usize = 0, "engine.max_batch_tokens", in 0..=1_048_576,
        "Tokens in one forward pass; engine.batch_ms and the memory may allow fewer; 0: 4096 on the CPU, 65536 on a GPU";
    max_batch_seqs: usize = 0, "engine.max_batch_seqs", in 0..=65_536,
        "Sequences in one forward pass; 0: 256 on the CPU, 4096 on a GPU";
    batch_ms: u64 = 200, "engine.batch_ms", in 0..=600_000,
        "Milliseconds that a forward pass may take, as far as earlier ones tell: a query that arrives waits for it; 0: no limit";
    queue_tokens_max: usize = 1_048_576, "engine.queue_tokens_max", in 1024..=1_073_741_824,
        "Tokens waiting in each lane; a request beyond it is answered `overloaded`";
    cache_dir: String = String::new(), "engine.cache_dir",
        "Folder of the vector cache; empty: codeintel/vectors in the user's cache folder";
    cache_bytes_max: u64 = 2 << 30, "engine.cache_bytes_max", in 0..=1 << 44,
        "Bytes of the vector cache on disk; the oldest vectors are dropped beyond it; 0: no cache";
    vllm_mode: VllmMode = VllmMode::Inproc, "vllm.mode",
        "Who embeds: inproc (this process), http (the endpoint vllm.url), auto (this process, the endpoint where that fails)";
    vllm_url: String = String::new(), "vllm.url",
        "Base URL of an OpenAI-compatible endpoint, such as http://127.0.0.1:8000; its key comes from CODEINTEL_VLLM_API_KEY alone";
    vllm_model: String = String::new(), "vllm.model",
        "Name by which the endpoint knows the model; empty: that of model.name";
    vllm_timeout_ms: u64 = 30_000, "vllm.timeout_ms", in 1..=600_000,
        "Milliseconds in which the endpoint must answer one request";
    vllm_retries_max: usize = 3, "vllm.retries_max", in 0..=20,
        "Tries after the first where the endpoint is busy, fails or cannot be reached";
    vllm_batch_texts_max: usize = 64, "vllm.batch_texts_max", in 1..=2048,
        "Texts in one request to the endpoint";
    vllm_parallel_max: usize = 4, "vllm.parallel_max", in 1..=64,
        "Requests that the endpoint is sent at once";
    file_bytes_max: u64 = 1 << 20, "source.file_bytes_max", in 1..=1 << 30,
        "Bytes of the largest file indexed; larger ones are skipped and counted";
    hidden: bool = false, "source.hidden",
        "Whether hidden files and folders are indexed";
    history: bool = true, "source.history",
        "Whether the time and author of each file's last commit are read from git";
    chunk_tokens_max: usize = 256, "chunk.tokens_max", in 32..=32_768,
        "Tokens of a chunk with its header, in the model's own tokens; never more than the model takes";
    dense_kind: DenseKind = DenseKind::Auto, "index.dense_kind",
        "Vector index: auto (by size), flat, ivf_flat, ivf_pq, hnsw";
    delta_ratio_max: f32 = 0.05, "index.delta_ratio_max", in 0.0..=1.0,
        "Share of a version that may lie in its delta or be deleted before the index is compacted";
    limit: usize = 10, "search.limit", in 1..=200,
        "Results of a search";
    query_bytes_max: usize = 16_384, "search.query_bytes_max", in 1..=1 << 20,
        "Bytes of the longest query";
    deadline_ms: u64 = 5_000, "search.deadline_ms", in 1..=600_000,
        "Milliseconds in which the channels must answer; a late channel is dropped and reported";
    nprobe: usize = 32, "search.nprobe", in 1..=65_536,
        "Inverted lists visited by an ivf index";
    ef_search: usize = 96, "search.ef_search", in 1..=65_536,
        "Candidates kept while an hnsw index is searched";
    dense_device: DenseDevice = DenseDevice::Auto, "search.dense_device",
        "Where the vectors lie that `serve` searches: auto (in the memory of the GPU that embeds queries, where there is one and they fit, else on the CPU), cpu";
    address: String = "127.0.0.1:8080".to_owned(), "serve.address",
        "Address and port that `serve` listens on";
    body_bytes_max: usize = 2 << 20, "serve.body_bytes_max", in 1024..=1 << 30,
        "Bytes of the largest request body";
    items_max: usize = 2048, "serve.items_max", in 1..=65_536,
        "Texts in one embedding request";
    capture_query: CaptureQuery = CaptureQuery::Hash, "telemetry.capture_query",
        "Whether a query's text goes onto spans: full, hash, none; also as CODEINTEL_CAPTURE_QUERY";
    semconv_compat: SemconvCompat = SemconvCompat::None, "telemetry.semconv_compat",
        "Whether older names of attributes go onto spans too: none, part2";
    runs_bytes_max: u64 = 64 << 20, "telemetry.runs_bytes_max", in 0..=1 << 40,
        "Bytes of the run reports kept in the data folder; the oldest are dropped beyond it; 0: none is kept";
    metrics_route: MetricsRoute = MetricsRoute::On, "metrics.route",
        "Whether `serve` answers /metrics on its own port: on, gone (410, with the address of the second listener)";
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

fn key(name: &str) -> Option<&'static Key> {
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

impl Settings {
    /// Layers the settings: `file` over the defaults, then `env`, then `flags` (name, value).
    ///
    /// `env` looks up one environment variable, so that tests never touch the process environment.
    pub fn load(
        file: Option<&Path>,
        env: impl Fn(&str) -> Option<String>,
        flags: &[(String, String)],
    ) -> Result<Self> {
        let mut settings = Self::default();
        if let Some(path) = file {
            settings.apply_file(path)?;
        }
        for key in KEYS {
            for name in key.variables() {
                if let Some(value) = env(&name) {
                    settings.apply(key.name, &value, &format!("the variable {name}"))?;
                }
            }
        }
        for (name, value) in flags {
            settings.apply(name, value, "the command line")?;
        }
        settings.vllm_api_key = Secret::new(env(VLLM_API_KEY));
        Ok(settings)
    }

    fn apply_file(&mut self, path: &Path) -> Result<()> {
        let text = std::fs::read_to_string(path).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => Error::PathNotFound { path: path.to_path_buf() },
            _ => Error::PathUnreadable { path: path.to_path_buf(), source },
        })?;
        let table: toml::Table =
            text.parse().map_err(|error: toml::de::Error| Error::ConfigSyntax {
                path: path.to_path_buf(),
                detail: error.to_string().trim().to_owned(),
            })?;
        let origin = path.display().to_string();
        for (name, value) in flatten("", table) {
            self.apply(&name, &value, &origin)?;
        }
        Ok(())
    }

    fn apply(&mut self, name: &str, value: &str, origin: &str) -> Result<()> {
        let Some(key) = key(name) else {
            return Err(Error::ConfigUnknown {
                name: name.to_owned(),
                origin: origin.to_owned(),
                nearest: nearest(name),
            });
        };
        (key.set)(self, value).map_err(|expected| Error::ConfigValue {
            name: name.to_owned(),
            value: value.to_owned(),
            origin: origin.to_owned(),
            expected,
        })
    }

    /// The folder of downloaded models.
    pub fn models_folder(&self, env: impl Fn(&str) -> Option<String>) -> PathBuf {
        match self.model_dir.is_empty() {
            true => user_folder(env, "XDG_DATA_HOME", ".local/share").join("codeintel/models"),
            false => PathBuf::from(&self.model_dir),
        }
    }

    /// The folder of the vector cache; none when it may hold no bytes.
    pub fn cache_folder(&self, env: impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
        let folder = match self.cache_dir.is_empty() {
            true => user_folder(env, "XDG_CACHE_HOME", ".cache").join("codeintel/vectors"),
            false => PathBuf::from(&self.cache_dir),
        };
        (self.cache_bytes_max > 0).then_some(folder)
    }

    /// The folder of the index: the one set, else the nearest `.codeintel` at or above `from`.
    pub fn data_folder(&self, from: &Path) -> PathBuf {
        if !self.data_dir.is_empty() {
            return PathBuf::from(&self.data_dir);
        }
        let near = from.ancestors().map(|folder| folder.join(".codeintel")).find(|p| p.is_dir());
        near.unwrap_or_else(|| from.join(".codeintel"))
    }

    /// The worker threads that `threads` asks for.
    pub fn thread_count(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(1, |n| n.get()),
            n => n,
        }
    }
}

fn nearest(name: &str) -> Option<String> {
    let close = |key: &&Key| strsim::normalized_damerau_levenshtein(name, key.name);
    let best = KEYS.iter().max_by(|a, b| close(a).total_cmp(&close(b)))?;
    let tail = |n: &str| n.rsplit('.').next().unwrap_or_default().to_owned();
    let same_tail = KEYS.iter().find(|key| tail(key.name) == tail(name));
    same_tail.or_else(|| (close(&best) > 0.5).then_some(best)).map(|key| key.name.to_owned())
}

fn flatten(prefix: &str, table: toml::Table) -> Vec<(String, String)> {
    let join =
        |name: &str| if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") };
    let mut flat = Vec::new();
    for (name, value) in table {
        match value {
            toml::Value::Table(inner) => flat.extend(flatten(&join(&name), inner)),
            toml::Value::String(text) => flat.push((join(&name), text)),
            other => flat.push((join(&name), other.to_string())),
        }
    }
    flat
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str, env: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Settings> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(FILE_NAME);
        std::fs::write(&file, text).unwrap();
        let flags: Vec<_> = flags.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let env = |name: &str| env.iter().find(|(k, _)| *k == name).map(|(_, v)| v.to_string());
        Settings::load(Some(&file), env, &flags)
    }

    #[test]
    fn each_layer_wins_over_the_one_before() {
        let file = "[engine]\nthreads = 2\nmax_batch_tokens = 64\n[search]\nlimit = 5\n";
        let settings = load(
            file,
            &[("CODEINTEL_ENGINE_THREADS", "3"), ("CODEINTEL_SEARCH_LIMIT", "6")],
            &[("search.limit", "7")],
        )
        .unwrap();
        assert_eq!((settings.threads, settings.max_batch_tokens, settings.limit), (3, 64, 7));
    }

    #[test]
    fn the_short_name_of_a_variable_sets_it_too_and_the_long_one_wins() {
        let long = "CODEINTEL_TELEMETRY_CAPTURE_QUERY";
        let capture = |env: &[(&str, &str)]| load("", env, &[]).unwrap().capture_query;
        assert_eq!(capture(&[(CAPTURE_QUERY, "full")]), CaptureQuery::Full);
        assert_eq!(capture(&[(CAPTURE_QUERY, "full"), (long, "none")]), CaptureQuery::None);
    }

    #[test]
    fn an_unknown_key_names_the_nearest_known_one() {
        for (text, near) in
            [("[engine]\nthread = 2", "engine.threads"), ("threads = 2", "engine.threads")]
        {
            let message = load(text, &[], &[]).unwrap_err().to_string();
            assert!(message.contains(near), "{message}");
        }
    }

    #[test]
    fn a_value_out_of_range_names_itself_and_the_range() {
        let message = load("", &[("CODEINTEL_SEARCH_LIMIT", "0")], &[]).unwrap_err().to_string();
        for part in ["search.limit", "\"0\"", "1 to 200", "CODEINTEL_SEARCH_LIMIT"] {
            assert!(message.contains(part), "{message}");
        }
        let message = load("[index]\ndense_kind = \"tree\"", &[], &[]).unwrap_err().to_string();
        assert!(message.contains("ivf_flat"), "{message}");
    }

    #[test]
    fn a_device_is_a_word_or_a_gpu_with_its_number() {
        let device = |text: &str| load("", &[("CODEINTEL_ENGINE_DEVICE", text)], &[]);
        for (text, want) in [
            ("auto", DeviceChoice::Auto),
            ("cpu", DeviceChoice::Cpu),
            ("cuda", DeviceChoice::Cuda(0)),
            ("cuda:3", DeviceChoice::Cuda(3)),
        ] {
            assert_eq!(device(text).unwrap().device, want);
        }
        for text in ["gpu", "cuda:", "cuda:x", "cuda:-1"] {
            let message = device(text).unwrap_err().to_string();
            assert!(message.contains(text) && message.contains("such as cuda:0"), "{message}");
        }
    }

    #[test]
    fn the_endpoint_s_key_comes_from_the_environment_and_is_never_shown() {
        let settings = load("", &[("CODEINTEL_VLLM_API_KEY", "sesame")], &[]).unwrap();
        assert_eq!(settings.vllm_api_key.reveal(), Some("sesame"));
        assert!(!format!("{settings:?}").contains("sesame"));
        assert!(KEYS.iter().all(|key| !key.value(&settings).contains("sesame")));
    }

    #[test]
    fn the_default_file_in_the_tree_is_the_table() {
        assert_eq!(load(&default_file(), &[], &[]).unwrap(), Settings::default());
        assert_eq!(
            include_str!("../../../codeintel.toml"),
            default_file(),
            "run: codeintel config --defaults > codeintel.toml"
        );
    }
}
