//! The address of an endpoint, and its key.

use reqwest::Url;
use reqwest::header::HeaderValue;

use crate::base::error::{Error, Result};

/// The setting of an endpoint's URL, and the variable of its key.
#[derive(Debug, Clone, Copy)]
pub struct Names {
    pub url: &'static str,
    pub key: &'static str,
}

impl Names {
    pub const EMBEDDINGS: Self = Self { url: "endpoint.url", key: "CODEINTEL_ENDPOINT_API_KEY" };
    pub const CHAT: Self =
        Self { url: "search.rerank_url", key: "CODEINTEL_SEARCH_RERANK_API_KEY" };
}

/// The address for messages, and the URL of `route`, such as `embeddings`.
pub fn address(names: Names, base: &str, route: &str) -> Result<(String, Url)> {
    let wrong = |expected: &str| Error::ConfigValue {
        name: names.url.to_owned(),
        value: base.to_owned(),
        origin: "the settings".to_owned(),
        expected: expected.to_owned(),
    };
    const EXAMPLE: &str = "the base URL of an endpoint, such as http://127.0.0.1:8000";
    let mut url = Url::parse(base.trim()).map_err(|_| wrong(EXAMPLE))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Error::ConfigValue {
            name: names.url.to_owned(),
            value: "(not shown)".to_owned(),
            origin: "the settings".to_owned(),
            expected: format!("no password in it; put a key into {}", names.key),
        });
    }
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong(EXAMPLE));
    }
    url.set_query(None);
    url.set_fragment(None);
    let shown = url.as_str().trim_end_matches('/').to_owned();
    let path = url.path().trim_end_matches('/');
    let route = if path.ends_with("/v1") {
        format!("{path}/{route}")
    } else {
        format!("{path}/v1/{route}")
    };
    url.set_path(&route);
    Ok((shown, url))
}

/// The header that carries the key.
pub fn authorization(names: Names, key: &str) -> Result<HeaderValue> {
    let value = HeaderValue::from_str(&format!("Bearer {key}"));
    let mut value = value.map_err(|_| Error::ConfigValue {
        name: names.key.to_owned(),
        value: "(not shown)".to_owned(),
        origin: "the environment".to_owned(),
        expected: "a key without line breaks and control characters".to_owned(),
    })?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_address_becomes_that_of_the_route() {
        for (base, shown, route) in [
            ("http://h:8000", "http://h:8000", "http://h:8000/v1/embeddings"),
            ("http://h:8000/v1/", "http://h:8000/v1", "http://h:8000/v1/embeddings"),
            (" http://h/a/ ", "http://h/a", "http://h/a/v1/embeddings"),
            ("https://h", "https://h", "https://h/v1/embeddings"),
        ] {
            let (people, url) = address(Names::EMBEDDINGS, base, "embeddings").unwrap();
            assert_eq!((people.as_str(), url.as_str()), (shown, route));
        }
        for bad in ["", "localhost:8000", "ftp://h", "http://"] {
            let error = address(Names::EMBEDDINGS, bad, "embeddings").unwrap_err().to_string();
            assert!(error.contains("endpoint.url") && error.contains("http://"), "{error}");
        }
        let error = address(Names::CHAT, "http://me:sesame@h", "chat").unwrap_err().to_string();
        assert!(
            error.contains("CODEINTEL_SEARCH_RERANK_API_KEY") && !error.contains("sesame"),
            "{error}"
        );
    }
}
