//! An OpenAI-compatible chat endpoint: one question, one answer, no retries.

use std::io::Read;
use std::time::{Duration, Instant};

use reqwest::Url;
use reqwest::blocking::Client as Http;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use serde::Deserialize;
use serde_json::json;

use super::address::{Names, address, authorization};
use super::failure::clip;
use super::tls;
use crate::base::config::Settings;
use crate::base::error::{Error, Result};
use crate::base::telemetry::RunContext;

/// Maximum bytes of an answer.
const ANSWER_BYTES_MAX: u64 = 1 << 20;
/// Maximum tokens of an answer.
const ANSWER_TOKENS_MAX: usize = 2048;

/// The client of `search.rerank_url`.
pub struct Chat {
    http: Http,
    url: Url,
    /// The address without the route, for messages.
    base: String,
    model: String,
    authorization: Option<HeaderValue>,
}

/// The part of a response that is read.
#[derive(Deserialize)]
struct Response {
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    message: Message,
}

#[derive(Deserialize)]
struct Message {
    content: String,
}

impl Chat {
    /// Checks the settings without sending anything.
    pub fn new(settings: &Settings) -> Result<Self> {
        let search = &settings.search;
        let (base, url) = address(Names::CHAT, &search.rerank_url, "chat/completions")?;
        let own = tls::own(&settings.endpoint.ca_file)?;
        // A redirect is not followed, so the key reaches no other server.
        let http = Http::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        let http = match url.scheme() {
            "https" => http.tls_certs_merge(own),
            _ => http.tls_certs_only([]),
        };
        let http = http.build().map_err(Error::library("reqwest", "start a client"))?;
        let key = search.rerank_api_key.reveal();
        let authorization = key.map(|key| authorization(Names::CHAT, key)).transpose()?;
        Ok(Self { http, url, base, model: search.rerank_chat_model.clone(), authorization })
    }

    /// The text that the model answers to `user` under the instructions of `system`, before the
    /// deadline of the run. It must not be called on a thread of an asynchronous runtime.
    pub fn complete(&self, system: &str, user: &str, cx: &RunContext) -> Result<String> {
        cx.check_wanted("the chat endpoint")?;
        let message = |role, content| json!({ "role": role, "content": content });
        let body = json!({
            "model": self.model,
            "messages": [message("system", system), message("user", user)],
            "temperature": 0,
            "max_tokens": ANSWER_TOKENS_MAX,
        });
        let left = cx.deadline().map(|at| at.saturating_duration_since(Instant::now()));
        let left = left.unwrap_or(Duration::from_secs(600));
        let request = self.http.post(self.url.clone()).timeout(left).body(body.to_string());
        let mut request = request.header(CONTENT_TYPE, "application/json");
        if let Some(value) = &self.authorization {
            request = request.header(AUTHORIZATION, value.clone());
        }
        for (name, value) in cx.headers() {
            request = request.header(name, value);
        }
        let response = request.send().map_err(|error| self.not_sent(error, cx))?;
        let status = response.status();
        let mut bytes = Vec::new();
        let read = response.take(ANSWER_BYTES_MAX).read_to_end(&mut bytes);
        if let Err(error) = read {
            cx.check_wanted("the chat endpoint")?;
            return Err(self.unavailable(format!("its answer broke off: {error}")));
        }
        if !status.is_success() {
            let why = format!("it answered {}: {}", status.as_u16(), clip(&bytes));
            return Err(self.unavailable(why));
        }
        let answer: Response = serde_json::from_slice(&bytes).map_err(|error| {
            self.unavailable(format!("its answer is no chat completion: {error}"))
        })?;
        let choice = answer.choices.into_iter().next();
        let choice = choice.ok_or_else(|| self.unavailable("its answer has no choices".into()))?;
        Ok(choice.message.content)
    }

    fn not_sent(&self, error: reqwest::Error, cx: &RunContext) -> Error {
        if error.is_timeout() {
            return cx.late("the chat endpoint");
        }
        self.unavailable(tls::chain(&error.without_url()))
    }

    fn unavailable(&self, why: String) -> Error {
        let (base, model) = (&self.base, &self.model);
        let what = format!("the chat endpoint {base} (search.rerank_url, model {model:?})");
        Error::Unavailable { what, remedy: why }
    }
}
