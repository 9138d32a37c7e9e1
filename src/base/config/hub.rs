//! Where models are: the folder of downloaded models, and the hub with its cache.

use std::path::PathBuf;

use super::ModelSettings;
use super::environment::{Secret, user_folder};

/// The places in which a model is looked for, in this order.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelPlaces {
    /// The folder of models from wheels, and of the records of all others.
    pub models: PathBuf,
    pub hub: Hub,
}

/// A hub of models, by the variables that `huggingface_hub` reads.
#[derive(Debug, Clone, PartialEq)]
pub struct Hub {
    /// `HF_ENDPOINT`, without a slash at its end.
    pub endpoint: String,
    /// `HF_HUB_CACHE`, or `hub` in `HF_HOME`.
    pub cache: PathBuf,
    /// `HF_TOKEN`.
    pub token: Secret,
    /// `HF_TOKEN_PATH`, or `token` in `HF_HOME`; read only if there is no `HF_TOKEN`.
    pub token_file: PathBuf,
    /// `HF_HUB_OFFLINE`.
    pub offline: bool,
}

impl ModelSettings {
    /// Every place of models.
    pub fn places(&self, env: impl Fn(&str) -> Option<String>) -> ModelPlaces {
        ModelPlaces { models: self.folder(&env), hub: Hub::new(env) }
    }
}

impl Hub {
    fn new(env: impl Fn(&str) -> Option<String>) -> Self {
        let path = |name: &str| env(name).map(PathBuf::from);
        let home = path("HF_HOME")
            .unwrap_or_else(|| user_folder(&env, "XDG_CACHE_HOME", ".cache").join("huggingface"));
        let endpoint = env("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_owned());
        let is_true =
            |value: String| ["1", "on", "yes", "true"].contains(&value.to_lowercase().as_str());
        Self {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            cache: path("HF_HUB_CACHE")
                .or_else(|| path("HUGGINGFACE_HUB_CACHE"))
                .unwrap_or_else(|| home.join("hub")),
            token: Secret::new(env("HF_TOKEN")),
            token_file: path("HF_TOKEN_PATH").unwrap_or_else(|| home.join("token")),
            offline: env("HF_HUB_OFFLINE").is_some_and(is_true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variables_of_the_hubs_own_client_decide() {
        let hub = |set: &[(&str, &str)]| {
            let set: Vec<_> = set.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            Hub::new(move |name| set.iter().find(|(k, _)| k == name).map(|(_, v)| v.clone()))
        };
        let plain = hub(&[("HOME", "/users/a")]);
        assert_eq!(plain.endpoint, "https://huggingface.co");
        assert_eq!(plain.cache, PathBuf::from("/users/a/.cache/huggingface/hub"));
        assert!(!plain.offline && plain.token.reveal().is_none());

        let set = hub(&[
            ("HF_HOME", "/hf"),
            ("HF_ENDPOINT", "https://mirror.example/"),
            ("HF_TOKEN", "hf_secret"),
            ("HF_HUB_OFFLINE", "1"),
        ]);
        assert_eq!(set.endpoint, "https://mirror.example");
        assert_eq!(
            (set.cache.to_str(), set.token_file.to_str()),
            (Some("/hf/hub"), Some("/hf/token"))
        );
        assert!(set.offline && !format!("{set:?}").contains("hf_secret"));
        assert_eq!(hub(&[("HF_HUB_CACHE", "/c")]).cache, PathBuf::from("/c"));
    }
}
