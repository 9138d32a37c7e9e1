//! Reads the settings in layers: defaults, then the file, then the environment, then flags.

use std::path::Path;

use super::environment::Secret;
use super::settings::{KEYS, Key, Settings, key};
use crate::base::error::{Error, Result};

/// The name of the settings file looked for in the current folder.
pub const FILE_NAME: &str = "codeintel.toml";

/// The variable that holds the key of the endpoint `vllm.url`.
const VLLM_API_KEY: &str = "CODEINTEL_VLLM_API_KEY";

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
        settings.endpoint.api_key = Secret::new(env(VLLM_API_KEY));
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
    fn the_endpoint_s_key_comes_from_the_environment_and_is_never_shown() {
        let settings = load("", &[("CODEINTEL_VLLM_API_KEY", "sesame")], &[]).unwrap();
        assert_eq!(settings.endpoint.api_key.reveal(), Some("sesame"));
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
