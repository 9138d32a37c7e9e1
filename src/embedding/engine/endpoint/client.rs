//! The HTTP client of an endpoint, with retries, halving and a circuit breaker.
//!
//! It runs on a thread of the pool, where it may block. A request whose response is no longer needed is
//! given up, and its connection closed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use reqwest::{Client as Http, Response, StatusCode, Url};
use tokio::runtime::{Builder, Runtime};

use super::PROBE;
use super::address::{Names, address, authorization};
use super::breaker::Breaker;
use super::failure::{Failure, Fault, clip};
use super::wire::{self, Answer, Defect};
use super::{retry, tls};
use crate::base::config::EndpointSettings;
use crate::base::error::{Error, Result};
use crate::base::telemetry::{RunContext, TIMEOUT_HEADER, TIMEOUT_MS_MAX};

/// Maximum bytes of a response: 2048 vectors of 8192 floats as JSON are smaller.
const ANSWER_BYTES_MAX: usize = 384 << 20;
/// Maximum bytes read from an error response.
const REFUSAL_BYTES_MAX: usize = 4096;
/// How often a thread that waits for a response or a retry checks whether it is still needed.
const POLL: Duration = Duration::from_millis(20);

/// The handling of failures. Tests use shorter times.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// Consecutive failures that open the circuit.
    pub failures_max: u32,
    /// The time for which the circuit stays open.
    pub cool_down: Duration,
    /// The wait before the first retry. It doubles with each retry.
    pub backoff: Duration,
}

impl Policy {
    pub const DEFAULT: Self = Self {
        failures_max: 5,
        cool_down: Duration::from_secs(10),
        backoff: Duration::from_millis(200),
    };
}

/// One batch, and whether its response is still needed.
#[derive(Clone)]
pub struct Ask {
    /// `[n]`, none of them empty.
    pub texts: Vec<String>,
    /// Values of a vector, if known.
    pub d: Option<usize>,
    /// `None` during startup.
    pub cx: Option<RunContext>,
    /// Set when the caller no longer waits.
    pub gone: Arc<AtomicBool>,
}

impl Ask {
    fn check_wanted(&self) -> Result<()> {
        if self.gone.load(Ordering::Relaxed) {
            return Err(Error::Cancelled);
        }
        self.cx.as_ref().map_or(Ok(()), |cx| cx.check_wanted("embedding"))
    }

    fn late(&self) -> Error {
        self.cx.as_ref().map_or(Error::Cancelled, |cx| cx.late("embedding"))
    }

    fn deadline(&self) -> Option<Instant> {
        self.cx.as_ref().and_then(RunContext::deadline)
    }

    /// Returns once the response is no longer needed.
    async fn unwanted(&self) {
        while self.check_wanted().is_ok() {
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits, and returns an error as soon as the response is no longer needed.
    fn pause(&self, wait: Duration) -> Result<()> {
        let until = Instant::now() + wait;
        loop {
            self.check_wanted()?;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(POLL));
        }
    }
}

/// The HTTP client of one endpoint. Threads share it and its connections.
pub struct Client {
    http: Http,
    /// Reads and writes the connections; `None` only while it is dropped.
    runtime: Option<Runtime>,
    url: Url,
    /// The address without the route, for messages.
    base: String,
    model: String,
    authorization: Option<HeaderValue>,
    timeout: Duration,
    retries_max: usize,
    policy: Policy,
    breaker: Breaker,
    texts_max: AtomicUsize,
}

impl Client {
    /// Checks the settings without sending anything. name: the model name to send if
    /// `endpoint.model` is empty.
    pub fn new(settings: &EndpointSettings, name: &str, policy: Policy) -> Result<Self> {
        let asked = settings.model.as_str();
        let model = if asked.is_empty() { name } else { asked }.to_owned();
        let (base, url) = address(Names::EMBEDDINGS, &settings.url, "embeddings")?;
        let ca_file = settings.ca_file.as_str();
        // A redirect is not followed, so the key reaches no other server.
        let http = Http::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        let http = tls::with_certificates(http, url.scheme() == "https", ca_file)?
            .build()
            .map_err(|error| tls::not_started(error, ca_file))?;
        let key = settings.api_key.reveal();
        let authorization = key.map(|key| authorization(Names::EMBEDDINGS, key)).transpose()?;
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(Error::library("tokio", "start"))?;
        Ok(Self {
            http,
            runtime: Some(runtime),
            url,
            base,
            model,
            authorization,
            timeout: Duration::from_millis(settings.timeout_ms),
            retries_max: settings.retries_max,
            policy,
            breaker: Breaker::new(policy.failures_max, policy.cool_down),
            texts_max: AtomicUsize::new(usize::MAX),
        })
    }

    /// The endpoint's address, for messages.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The endpoint's name for the model.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Maximum texts of one request, as learned from requests that the endpoint rejected as too
    /// large.
    pub fn texts_max(&self) -> usize {
        self.texts_max.load(Ordering::Relaxed)
    }

    /// Sends the batch, with as many retries as the settings and the remaining time allow.
    pub fn ask(&self, ask: &Ask) -> Result<Answer> {
        self.attempt(ask)?.map_err(|(failure, tries)| self.error(&failure, tries))
    }

    /// Like [`Client::ask`], but sends a batch that is too large for the endpoint in halves.
    pub fn ask_in_parts(&self, ask: &Ask) -> Result<Answer> {
        match self.attempt(ask)? {
            Ok(answer) => Ok(answer),
            Err((failure, _)) if failure.fault == Fault::TooLarge && ask.texts.len() > 1 => {
                let half = ask.texts.len().div_ceil(2);
                let (first, second) = ask.texts.split_at(half);
                let of = |texts: &[String]| {
                    self.ask_in_parts(&Ask { texts: texts.to_vec(), ..ask.clone() })
                };
                let second = || of(second).map_err(|error| error.in_larger_request(half));
                let answer = of(first)?.followed_by(second()?);
                // The halves succeeded, so the size was the reason.
                self.texts_max.fetch_min(half, Ordering::Relaxed);
                Ok(answer)
            }
            Err((failure, tries)) => Err(self.error(&failure, tries)),
        }
    }

    /// Returns the response, or the last failure with the number of attempts.
    fn attempt(&self, ask: &Ask) -> Result<std::result::Result<Answer, (Failure, usize)>> {
        let mut tries = 0;
        loop {
            ask.check_wanted()?;
            let permit = match self.breaker.permit(Instant::now()) {
                Ok(permit) => permit,
                Err(why) => return Err(self.unavailable(why)),
            };
            let left = ask.deadline().map(|at| at.saturating_duration_since(Instant::now()));
            let budget = left.map_or(self.timeout, |left| left.min(self.timeout));
            let failure = match self.try_once(ask, budget) {
                Ok(answer) => {
                    permit.succeeded();
                    return Ok(Ok(answer));
                }
                Err(failure) => failure,
            };
            tries += 1;
            match failure.fault {
                Fault::Unwanted => {
                    return Err(ask.check_wanted().err().unwrap_or(Error::Cancelled));
                }
                // The run reached its deadline, which says nothing about the endpoint.
                Fault::Slow if budget < self.timeout => return Err(ask.late()),
                Fault::Busy | Fault::TooLarge | Fault::Refused | Fault::NotFinite { .. } => {
                    permit.succeeded();
                }
                // The endpoint may fail on these texts only. Then others must not wait for them.
                Fault::Failing if permit.would_open() && self.answers_probe(ask, budget) => {
                    permit.succeeded();
                }
                _ => permit.failed(Instant::now(), &failure.message),
            }
            let wait = failure.wait.unwrap_or_else(|| retry::backoff(self.policy.backoff, tries));
            let in_time = ask.deadline().is_none_or(|deadline| Instant::now() + wait < deadline);
            if !failure.fault.may_pass() || tries > self.retries_max || !in_time {
                return Ok(Err((failure, tries)));
            }
            tracing::debug!(endpoint = self.base, tries, why = failure.message, "asked again");
            ask.pause(wait)?;
        }
    }

    /// Whether the endpoint embeds the text of the probe, which is not that of `ask`.
    fn answers_probe(&self, ask: &Ask, budget: Duration) -> bool {
        let probe = Ask { texts: vec![PROBE.to_owned()], ..ask.clone() };
        ask.texts != probe.texts && self.try_once(&probe, budget).is_ok()
    }

    /// Sends the batch and reads the response within `budget`, while it is needed.
    fn try_once(&self, ask: &Ask, budget: Duration) -> std::result::Result<Answer, Failure> {
        let runtime = self.runtime.as_ref().expect("the runtime lives as long as the client");
        runtime.block_on(async {
            tokio::select! {
                answer = self.send(ask, budget) => answer,
                () = ask.unwanted() => Err(Failure::unwanted()),
            }
        })
    }

    async fn send(&self, ask: &Ask, budget: Duration) -> std::result::Result<Answer, Failure> {
        let began = Instant::now();
        let body = wire::request(&self.model, &ask.texts);
        let mut request = self.http.post(self.url.clone()).timeout(budget).body(body);
        request = request.header(CONTENT_TYPE, "application/json");
        if let Some(value) = &self.authorization {
            request = request.header(AUTHORIZATION, value.clone());
        }
        for (name, value) in ask.cx.iter().flat_map(RunContext::headers) {
            request = request.header(name, value);
        }
        // An endpoint that knows this header does not compute what nobody waits for.
        if ask.deadline().is_some() {
            let left_ms = (budget.as_millis() as u64).clamp(1, TIMEOUT_MS_MAX);
            request = request.header(TIMEOUT_HEADER, left_ms);
        }
        let mut response = request.send().await.map_err(|error| {
            if error.is_timeout() {
                Failure::slow(budget)
            } else {
                Failure::unreachable(error, self.url.scheme() == "https")
            }
        })?;
        let status = response.status();
        if !status.is_success() {
            let mut failure = refusal(status, response, began, budget).await;
            if status == StatusCode::GATEWAY_TIMEOUT && budget < self.timeout {
                // The endpoint kept to the deadline that it was sent.
                failure.fault = Fault::Slow;
            }
            return Err(failure);
        }
        let body = read(&mut response, ANSWER_BYTES_MAX, began, budget).await?;
        wire::answer(&body, ask.texts.len(), ask.d).map_err(|defect| match defect {
            Defect::Malformed(defect) => {
                Failure::new(Fault::Garbage, format!("its answer holds {defect}"))
            }
            Defect::NotFinite { text } => {
                let message = format!("its vector for text {text} is not finite");
                Failure::new(Fault::NotFinite { text }, message)
            }
        })
    }

    fn error(&self, failure: &Failure, tries: usize) -> Error {
        let message = failure.after(tries);
        match failure.fault {
            Fault::Busy => {
                let endpoint = "the embedding endpoint";
                Error::Overloaded { what: endpoint, limit: message, retry_ms: None }
            }
            Fault::NotFinite { text } => {
                Error::Input { index: text, source: Error::OutputNotFinite.into() }
            }
            _ => self.unavailable(message),
        }
    }

    fn unavailable(&self, why: String) -> Error {
        let (base, model) = (&self.base, &self.model);
        let what = format!("the embedding endpoint {base} (endpoint.url, model {model:?})");
        Error::Unavailable { what, remedy: why }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // This may be a thread of another runtime, which must not wait.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The failure for a response whose status is not a success.
async fn refusal(
    status: StatusCode,
    mut response: Response,
    began: Instant,
    budget: Duration,
) -> Failure {
    let wait = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let wait = wait.and_then(retry::after);
    let body = read(&mut response, REFUSAL_BYTES_MAX, began, budget).await.unwrap_or_default();
    let mut message = format!("it answered {}: {}", status.as_u16(), clip(&body));
    let fault = match status {
        StatusCode::TOO_MANY_REQUESTS => Fault::Busy,
        StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY => Fault::TooLarge,
        status if status.is_server_error() => Fault::Failing,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            message += "; set CODEINTEL_ENDPOINT_API_KEY";
            Fault::Refused
        }
        StatusCode::NOT_FOUND => {
            message += "; check endpoint.url and endpoint.model";
            Fault::Refused
        }
        _ => Fault::Refused,
    };
    Failure { wait, ..Failure::new(fault, message) }
}

/// Reads at most `bytes_max` bytes of the body. The time limit covers the whole body, so a slow one
/// fails like one that stalls.
async fn read(
    response: &mut Response,
    bytes_max: usize,
    began: Instant,
    budget: Duration,
) -> std::result::Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    loop {
        let got = response.chunk().await;
        if began.elapsed() >= budget {
            return Err(Failure::slow(budget));
        }
        match got {
            Ok(None) => return Ok(body),
            Ok(Some(chunk)) => {
                body.extend_from_slice(&chunk[..chunk.len().min(bytes_max - body.len())]);
            }
            Err(error) => {
                let why = tls::chain(&error.without_url());
                return Err(Failure::new(Fault::Cut, format!("its answer broke off: {why}")));
            }
        }
        if body.len() >= bytes_max {
            // A body of this size cannot be parsed, so the rest is not read.
            return Ok(body);
        }
    }
}
