//! The file API of a hub over HTTP: what is in a repository, and its files, resumed where they broke off.

use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use reqwest::blocking::{Client as Http, RequestBuilder, Response};
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, ETAG, HeaderMap, HeaderValue, RANGE};
use reqwest::redirect::Policy;
use reqwest::{StatusCode, Url};
use serde::Deserialize;

use super::cache::Repository;
use crate::base::config::Hub;
use crate::base::error::{Error, Result};
use crate::embedding::models::Progress;

/// How long a hub may send nothing.
const SILENCE_MAX: Duration = Duration::from_secs(60);
const CONNECT_MAX: Duration = Duration::from_secs(20);
/// Attempts in a row that bring no byte of a file.
const ATTEMPTS_MAX: usize = 4;
const REDIRECTS_MAX: usize = 10;
const BUFFER_BYTES: usize = 1 << 20;
/// Maximum bytes of a description of a repository.
const INFO_BYTES_MAX: u64 = 32 << 20;

pub struct Client {
    /// Follows redirections on the hub itself, as of a renamed repository.
    http: Http,
    /// Follows every redirection; the token does not leave the hub.
    storage: Http,
    endpoint: String,
    authorization: Option<HeaderValue>,
}

/// What a hub says about a repository at one revision.
#[derive(Deserialize)]
pub struct RepositoryInfo {
    /// The commit.
    pub sha: String,
    #[serde(default)]
    siblings: Vec<Sibling>,
    #[serde(default)]
    tags: Vec<String>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
}

impl RepositoryInfo {
    /// The paths of all files.
    pub fn files(&self) -> Vec<String> {
        self.siblings.iter().map(|file| file.rfilename.clone()).collect()
    }

    pub fn licence(&self) -> Option<String> {
        self.tags.iter().find_map(|tag| tag.strip_prefix("license:")).map(str::to_owned)
    }
}

/// One file at a hub.
#[derive(Debug, Clone)]
pub struct RemoteFile {
    pub path: String,
    /// The name of its blob.
    pub etag: String,
    /// Of a large file.
    pub sha256: Option<String>,
    pub bytes: u64,
}

impl Client {
    pub fn new(hub: &Hub) -> Result<Self> {
        let http = || Http::builder().connect_timeout(CONNECT_MAX).timeout(SILENCE_MAX);
        let on_the_hub = Policy::custom(|attempt| {
            let first = &attempt.previous()[0];
            let leaves = attempt.url().origin() != first.origin();
            if leaves || attempt.previous().len() > REDIRECTS_MAX {
                attempt.stop()
            } else {
                attempt.follow()
            }
        });
        let start = Error::library("reqwest", "start a client");
        let http_and_storage = http().redirect(on_the_hub).build().and_then(|on_the_hub| {
            Ok((on_the_hub, http().redirect(Policy::limited(REDIRECTS_MAX)).build()?))
        });
        let (http, storage) = http_and_storage.map_err(start)?;
        Ok(Self { http, storage, endpoint: hub.endpoint.clone(), authorization: token(hub)? })
    }

    /// The files of `repository` at its revision.
    pub fn info(&self, repository: &Repository, revision: &str) -> Result<RepositoryInfo> {
        let url = self.url(&["api", "models", &repository.name, "revision", revision])?;
        let answer = self.answer(self.http.get(url), repository, revision)?;
        serde_json::from_reader(answer.take(INFO_BYTES_MAX)).map_err(|error| {
            self.unavailable(format!(
                "its description of {} is not valid: {error}",
                repository.name
            ))
        })
    }

    /// Which blob the file `path` of `commit` is.
    pub fn file(&self, repository: &Repository, commit: &str, path: &str) -> Result<RemoteFile> {
        let url = self.resolve(repository, commit, path)?;
        // The lengths and the tags are those of the file, not of a compressed one.
        let request = self.http.head(url).header("accept-encoding", "identity");
        let answer = self.answer(request, repository, commit)?;
        let headers = answer.headers();
        let found = text(headers, "x-repo-commit").unwrap_or(commit);
        if found != commit {
            let detail = format!("it answers with commit {found} of {}", repository.name);
            return Err(self.unavailable(detail));
        }
        let tag = |name: &str| {
            let tag = text(headers, name)?.trim_start_matches("W/").trim_matches('"');
            let is_name = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
            (!tag.is_empty() && tag.bytes().all(is_name)).then(|| tag.to_owned())
        };
        let linked = tag("x-linked-etag");
        let sha256 = linked.clone().filter(|tag| tag.len() == 64);
        let bytes = text(headers, "x-linked-size")
            .or_else(|| text(headers, CONTENT_LENGTH.as_str()))
            .and_then(|bytes| bytes.parse().ok());
        match (linked.or_else(|| tag(ETAG.as_str())), bytes) {
            (Some(etag), Some(bytes)) => {
                Ok(RemoteFile { path: path.to_owned(), etag, sha256, bytes })
            }
            _ => Err(self.unavailable(format!("it sends no ETag and length of {path}"))),
        }
    }

    /// Continues the file at `to` until it has all bytes of `file`. A connection that breaks off is
    /// made again as long as each brings some bytes.
    pub fn fetch(
        &self,
        repository: &Repository,
        commit: &str,
        file: &RemoteFile,
        to: &Path,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<()> {
        let url = self.resolve(repository, commit, &file.path)?;
        let length = || fs::metadata(to).map_or(0, |there| there.len());
        let mut attempts = 0;
        loop {
            // More bytes than the file has are none of its.
            let from = Some(length()).filter(|have| *have <= file.bytes).unwrap_or(0);
            if from == file.bytes && to.is_file() {
                return Ok(());
            }
            let request = self.storage.get(url.clone()).header("accept-encoding", "identity");
            let request =
                if from == 0 { request } else { request.header(RANGE, format!("bytes={from}-")) };
            let received = self
                .answer(request, repository, commit)
                .and_then(|answer| self.receive(answer, from, file, to, progress));
            attempts = if length() > from { 0 } else { attempts + 1 };
            match received {
                Err(Error::Unavailable { .. }) if attempts < ATTEMPTS_MAX => {
                    std::thread::sleep(Duration::from_millis(50 << (2 * attempts)));
                }
                Err(error) => return Err(error),
                Ok(()) => {}
            }
        }
    }

    /// Writes what `answer` brings into the file at `to`, after its first `from` bytes.
    fn receive(
        &self,
        mut answer: Response,
        from: u64,
        file: &RemoteFile,
        to: &Path,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<()> {
        let continues = answer.status() == StatusCode::PARTIAL_CONTENT;
        let mut done = if continues { from } else { 0 };
        let unwritten = |error| Error::io("write", to, error);
        let mut out = OpenOptions::new()
            .create(true)
            .append(continues)
            .write(true)
            .truncate(!continues)
            .open(to)
            .map_err(unwritten)?;
        let mut buffer = vec![0; BUFFER_BYTES];
        while done < file.bytes {
            progress(Progress::Bytes { file: &file.path, done, total: file.bytes });
            let detail = match answer.read(&mut buffer) {
                Ok(0) => "the connection ended".to_owned(),
                Ok(n) => {
                    out.write_all(&buffer[..n]).map_err(unwritten)?;
                    done += n as u64;
                    continue;
                }
                Err(error) => error.to_string(),
            };
            let of = format!("{done} of {} bytes of {}", file.bytes, file.path);
            return Err(self.unavailable(format!("{detail} after {of}")));
        }
        // After a power failure, a blob that has its final name must be intact.
        out.sync_all().map_err(unwritten)?;
        progress(Progress::Bytes { file: &file.path, done, total: file.bytes });
        Ok(())
    }

    fn answer(
        &self,
        mut request: RequestBuilder,
        repository: &Repository,
        revision: &str,
    ) -> Result<Response> {
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let answer = request.send().map_err(|error| self.unavailable(causes(&error)))?;
        let status = answer.status();
        // A redirection that is not followed leads to the storage of a large file.
        if status.is_success() || status.is_redirection() {
            return Ok(answer);
        }
        let code = text(answer.headers(), "x-error-code").unwrap_or_default();
        let Repository { name, .. } = repository;
        let Self { endpoint, .. } = self;
        let no_model = |value: &str, expected: String| Error::Argument {
            name: "model",
            value: value.to_owned(),
            expected,
        };
        let with_token =
            if self.authorization.is_some() { "the token has" } else { "HF_TOKEN has" };
        Err(match (status, code) {
            (StatusCode::NOT_FOUND, "RevisionNotFound") => no_model(
                &format!("{name}@{revision}"),
                format!("a branch, a tag or a commit of {endpoint}/{name}/commits"),
            ),
            (StatusCode::NOT_FOUND, "EntryNotFound") => Error::ModelBroken {
                path: format!("{name}@{revision}").into(),
                detail: format!("{} is not in the repository", answer.url().path()),
            },
            (StatusCode::UNAUTHORIZED | StatusCode::NOT_FOUND, "RepoNotFound" | "")
                if status == StatusCode::NOT_FOUND || code == "RepoNotFound" =>
            {
                no_model(
                    name,
                    format!(
                        "a repository at {endpoint}; check the spelling, and that {with_token} \
                         access if it is private"
                    ),
                )
            }
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) => Error::Unavailable {
                what: format!("the repository {name} at {endpoint}"),
                remedy: if self.authorization.is_some() {
                    format!(
                        "the token (HF_TOKEN) has no access; accept the conditions at \
                         {endpoint}/{name} with its account, or use a token that may read it"
                    )
                } else {
                    format!(
                        "it is gated or private; accept its conditions at {endpoint}/{name}, make a \
                         token at {endpoint}/settings/tokens and set HF_TOKEN to it"
                    )
                },
            },
            _ => self.unavailable(format!("it answers {status}")),
        })
    }

    fn resolve(&self, repository: &Repository, commit: &str, path: &str) -> Result<Url> {
        self.url(&[&repository.name, "resolve", commit, path])
    }

    /// A revision with a slash is one segment of the address.
    fn url(&self, parts: &[&str]) -> Result<Url> {
        let invalid = || Error::ConfigValue {
            name: "HF_ENDPOINT".to_owned(),
            value: self.endpoint.clone(),
            origin: "the environment".to_owned(),
            expected: "an address such as https://huggingface.co".to_owned(),
        };
        let mut url = Url::parse(&self.endpoint).map_err(|_| invalid())?;
        let mut segments = url.path_segments_mut().map_err(|()| invalid())?;
        segments.pop_if_empty();
        for (i, part) in parts.iter().enumerate() {
            let is_revision = i > 0 && ["revision", "resolve"].contains(&parts[i - 1]);
            if is_revision {
                segments.push(part);
            } else {
                segments.extend(part.split('/'));
            }
        }
        drop(segments);
        Ok(url)
    }

    fn unavailable(&self, detail: String) -> Error {
        Error::Unavailable {
            what: self.endpoint.clone(),
            remedy: format!(
                "{detail}; check the network, the proxy and HF_ENDPOINT, and run the command again: \
                 what has arrived is kept"
            ),
        }
    }
}

/// The header with the token of `hub`, if there is one.
fn token(hub: &Hub) -> Result<Option<HeaderValue>> {
    let token = match hub.token.reveal() {
        Some(token) => token.to_owned(),
        None => fs::read_to_string(&hub.token_file).unwrap_or_default(),
    };
    let token = token.trim();
    if token.is_empty() {
        return Ok(None);
    }
    let mut header = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| {
        // The value itself is never shown.
        Error::ConfigValue {
            name: "HF_TOKEN".to_owned(),
            value: "…".to_owned(),
            origin: "the environment".to_owned(),
            expected: "a token without spaces and control characters".to_owned(),
        }
    })?;
    header.set_sensitive(true);
    Ok(Some(header))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The error and its causes. reqwest says only that a request was not sent.
fn causes(error: &reqwest::Error) -> String {
    let chain = std::iter::successors(Some(error as &dyn std::error::Error), |e| e.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
