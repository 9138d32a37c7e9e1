//! Reads the settings in layers: defaults, then the file, then the environment, then flags.

use std::path::Path;

use super::environment::Secret;
use super::settings::{KEYS, Key, Settings, key, variable};
use crate::base::error::{Error, Result, Warning};
use crate::base::text::without_byte_order_mark;

/// The name of the settings file looked for in the current folder.
pub const FILE_NAME: &str = "codeintel.toml";

/// The variable that holds the key of the endpoint.
const API_KEY: &str = "CODEINTEL_ENDPOINT_API_KEY";
/// The variable of the key of the chat endpoint that reranks.
const RERANK_API_KEY: &str = "CODEINTEL_SEARCH_RERANK_API_KEY";

/// The variable that held it before.
const API_KEY_OLD: &str = "CODEINTEL_VLLM_API_KEY";

/// Settings that were renamed, old and new name. The old name is still read, with a warning.
const RENAMED: [(&str, &str); 6] = [
    ("vllm.url", "endpoint.url"),
    ("vllm.model", "endpoint.model"),
    ("vllm.timeout_ms", "endpoint.timeout_ms"),
    ("vllm.retries_max", "endpoint.retries_max"),
    ("vllm.batch_texts_max", "endpoint.batch_texts_max"),
    ("vllm.parallel_max", "endpoint.parallel_max"),
];

/// One value as it was given.
struct Given {
    /// The name of the setting, which may be an old one.
    name: String,
    value: String,
    /// Where it was given, for messages.
    origin: String,
}

impl Settings {
    /// Layers the settings: `file` over the defaults, then `env`, then `flags` (name, value).
    ///
    /// `env` looks up one environment variable, so that tests never touch the process environment.
    /// The warnings name settings that were given by an old name.
    pub fn load(
        file: Option<&Path>,
        env: impl Fn(&str) -> Option<String>,
        flags: &[(String, String)],
    ) -> Result<(Self, Vec<Warning>)> {
        let mut settings = Self::default();
        let mut warnings = Warnings::default();
        if let Some(path) = file {
            settings.apply_layer(read_file(path)?, &mut warnings)?;
        }
        settings.apply_layer(read_variables(&env), &mut warnings)?;
        let flags = flags.iter().map(|(name, value)| Given {
            name: name.clone(),
            value: value.clone(),
            origin: "the command line".to_owned(),
        });
        settings.apply_layer(flags.collect(), &mut warnings)?;
        settings.endpoint.api_key = Secret::new(read_api_key(&env, &mut warnings)?);
        settings.search.rerank_api_key = Secret::new(env(RERANK_API_KEY));
        Ok((settings, warnings.0))
    }

    /// Sets what one layer gives.
    fn apply_layer(&mut self, layer: Vec<Given>, warnings: &mut Warnings) -> Result<()> {
        for given in &layer {
            let renamed = RENAMED.iter().find(|(old, _)| *old == given.name);
            if let Some((old, new)) = renamed {
                if let Some(other) = layer.iter().find(|other| other.name == *new) {
                    return Err(given_twice(old, new, &given.origin, &other.origin));
                }
                warnings.renamed(old, new, &given.origin);
            }
            let name = renamed.map_or(given.name.as_str(), |(_, new)| new);
            self.apply(name, given)?;
        }
        Ok(())
    }

    fn apply(&mut self, name: &str, given: &Given) -> Result<()> {
        let Some(key) = key(name) else {
            return Err(Error::ConfigUnknown {
                name: name.to_owned(),
                origin: given.origin.clone(),
                nearest: nearest(name),
            });
        };
        (key.set)(self, &given.value).map_err(|expected| Error::ConfigValue {
            name: given.name.clone(),
            value: given.value.clone(),
            origin: given.origin.clone(),
            expected,
        })
    }
}

/// Warnings about old names, one for each name.
#[derive(Default)]
struct Warnings(Vec<Warning>);

impl Warnings {
    fn renamed(&mut self, old: &str, new: &str, origin: &str) {
        let message = format!("{old} is now called {new}; rename it in {origin}");
        let begin = format!("{old} ");
        if !self.0.iter().any(|warning| warning.message.starts_with(&begin)) {
            self.0.push(Warning::new("setting-renamed", message));
        }
    }
}

fn given_twice(old: &str, new: &str, old_origin: &str, new_origin: &str) -> Error {
    Error::ConfigTwice {
        old: old.to_owned(),
        new: new.to_owned(),
        old_origin: old_origin.to_owned(),
        new_origin: new_origin.to_owned(),
    }
}

/// The values in a settings file.
fn read_file(path: &Path) -> Result<Vec<Given>> {
    let bytes = std::fs::read(path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => Error::PathNotFound { path: path.to_path_buf() },
        _ => Error::PathUnreadable { path: path.to_path_buf(), source },
    })?;
    let syntax = |detail: String| Error::ConfigSyntax { path: path.to_path_buf(), detail };
    let text = without_byte_order_mark(&bytes).map_err(syntax)?;
    let text = std::str::from_utf8(text).map_err(|e| syntax(format!("{e}; save it as UTF-8")))?;
    let table: toml::Table = text
        .parse()
        .map_err(|error: toml::de::Error| syntax(error.to_string().trim().to_owned()))?;
    let origin = path.display().to_string();
    let given = |(name, value)| Given { name, value, origin: origin.clone() };
    Ok(flatten("", table).into_iter().map(given).collect())
}

/// The values in the environment, under old names and new ones.
fn read_variables(env: impl Fn(&str) -> Option<String>) -> Vec<Given> {
    let current = KEYS.iter().flat_map(|key| key.variables().map(|variable| (key.name, variable)));
    let old = RENAMED.iter().map(|(name, _)| (*name, variable(name)));
    current
        .chain(old)
        .filter_map(|(name, variable)| {
            let value = env(&variable)?;
            Some(Given { name: name.to_owned(), value, origin: format!("the variable {variable}") })
        })
        .collect()
}

/// The key of the endpoint, which only the environment can hold.
fn read_api_key(
    env: impl Fn(&str) -> Option<String>,
    warnings: &mut Warnings,
) -> Result<Option<String>> {
    let origin = "the environment";
    match (env(API_KEY_OLD), env(API_KEY)) {
        (Some(_), Some(_)) => Err(given_twice(API_KEY_OLD, API_KEY, origin, origin)),
        (Some(old), None) => {
            warnings.renamed(API_KEY_OLD, API_KEY, origin);
            Ok(Some(old))
        }
        (None, key) => Ok(key),
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
    use super::super::settings::{CAPTURE_QUERY, default_file};
    use super::super::value::{CaptureQuery, DeviceChoice};
    use super::*;

    fn load(text: &str, env: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Settings> {
        load_with_warnings(text, env, flags).map(|(settings, _)| settings)
    }

    fn load_with_warnings(
        text: &str,
        env: &[(&str, &str)],
        flags: &[(&str, &str)],
    ) -> Result<(Settings, Vec<Warning>)> {
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
        assert_eq!(
            (settings.engine.threads, settings.engine.max_batch_tokens, settings.search.limit),
            (3, 64, 7)
        );
    }

    #[test]
    fn the_short_name_of_a_variable_sets_it_too_and_the_long_one_wins() {
        let long = "CODEINTEL_TELEMETRY_CAPTURE_QUERY";
        let capture = |env: &[(&str, &str)]| load("", env, &[]).unwrap().telemetry.capture_query;
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
            assert_eq!(device(text).unwrap().engine.device, want);
        }
        for text in ["gpu", "cuda:", "cuda:x", "cuda:-1"] {
            let message = device(text).unwrap_err().to_string();
            assert!(message.contains(text) && message.contains("such as cuda:0"), "{message}");
        }
    }

    #[test]
    fn the_keys_of_endpoints_come_from_the_environment_and_are_never_shown() {
        let variables = ["CODEINTEL_ENDPOINT_API_KEY", "CODEINTEL_SEARCH_RERANK_API_KEY"]
            .map(|v| (v, "sesame"));
        let settings = load("", &variables, &[]).unwrap();
        assert_eq!(settings.endpoint.api_key.reveal(), Some("sesame"));
        assert_eq!(settings.search.rerank_api_key.reveal(), Some("sesame"));
        assert!(!format!("{settings:?}").contains("sesame"));
        assert!(KEYS.iter().all(|key| !key.value(&settings).contains("sesame")));
    }

    #[test]
    fn an_old_name_still_sets_its_setting_and_one_warning_names_the_new_one() {
        let (settings, warnings) = load_with_warnings(
            "[vllm]\nurl = \"http://a\"\nmodel = \"file\"\n",
            &[("CODEINTEL_VLLM_MODEL", "variable"), ("CODEINTEL_VLLM_API_KEY", "sesame")],
            &[("vllm.timeout_ms", "7"), ("vllm.retries_max", "0"), ("vllm.batch_texts_max", "8")],
        )
        .unwrap();
        let endpoint = &settings.endpoint;
        assert_eq!((endpoint.url.as_str(), endpoint.model.as_str()), ("http://a", "variable"));
        let numbers = (endpoint.timeout_ms, endpoint.retries_max, endpoint.batch_texts_max);
        assert_eq!((numbers, endpoint.api_key.reveal()), ((7, 0, 8), Some("sesame")));
        let messages: Vec<_> = warnings.iter().map(|warning| warning.message.as_str()).collect();
        assert_eq!(messages.len(), 6, "{messages:?}");
        for (message, new) in messages.iter().zip([
            "endpoint.model",
            "endpoint.url",
            "endpoint.timeout_ms",
            "endpoint.retries_max",
            "endpoint.batch_texts_max",
            "CODEINTEL_ENDPOINT_API_KEY",
        ]) {
            assert!(message.contains(new), "{message}");
        }
        let (_, none) = load_with_warnings("[endpoint]\nurl = \"http://a\"", &[], &[]).unwrap();
        assert!(none.is_empty(), "{none:?}");
    }

    #[test]
    fn an_old_name_beside_the_new_one_is_an_error_that_names_both() {
        let file = "[vllm]\nurl = \"http://a\"\n[endpoint]\nurl = \"http://b\"";
        let variables = [("CODEINTEL_VLLM_URL", "x"), ("CODEINTEL_ENDPOINT_URL", "y")];
        let keys = [("CODEINTEL_VLLM_API_KEY", "x"), ("CODEINTEL_ENDPOINT_API_KEY", "y")];
        let flags = [("vllm.url", "x"), ("endpoint.url", "y")];
        for (text, env, flags, names) in [
            (file, &[][..], &[][..], ["vllm.url", "endpoint.url"]),
            ("", &variables, &[], ["CODEINTEL_VLLM_URL", "CODEINTEL_ENDPOINT_URL"]),
            ("", &keys, &[], ["CODEINTEL_VLLM_API_KEY", "CODEINTEL_ENDPOINT_API_KEY"]),
            ("", &[], &flags, ["vllm.url", "endpoint.url"]),
        ] {
            let message = load(text, env, flags).unwrap_err().to_string();
            assert!(names.iter().all(|name| message.contains(name)), "{message}");
        }
        // A later layer wins over an earlier one, by whichever name.
        let settings = load(file.split_once("\n[").unwrap().0, &variables[1..], &[]).unwrap();
        assert_eq!(settings.endpoint.url, "y");
    }

    #[test]
    fn a_byte_order_mark_is_skipped_and_another_encoding_is_named() {
        let settings = load("\u{feff}[engine]\nthreads = 2\n", &[], &[]).unwrap();
        assert_eq!(settings.engine.threads, 2);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(FILE_NAME);
        for (bytes, part) in [
            (&b"\xFF\xFE[\0e\0"[..], "UTF-16 (little-endian); convert it to UTF-8"),
            (b"[data]\ndir = \"caf\xe9\"", "index 17; save it as UTF-8"),
        ] {
            std::fs::write(&file, bytes).unwrap();
            let error = Settings::load(Some(&file), |_| None, &[]).unwrap_err().to_string();
            assert!(error.contains(FILE_NAME) && error.contains(part), "{error}");
        }
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
