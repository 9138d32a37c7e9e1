//! Scope: the part of the index that a tool looks at.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{App, ToolAnswer, ToolSpec};
use crate::base::error::{Error, Result};
use crate::base::telemetry::RunContext;
use crate::base::telemetry::labels::Tool;
use crate::index::catalog::ScopeSpec;

pub const SPEC: ToolSpec = ToolSpec {
    name: "set_scope",
    title: "Set a scope",
    description: "Limit later calls to a part of the repository. Returns a scope_id that other tools \
                  accept; within a session (X-Session-ID) it also applies to calls that name no scope. \
                  Call it without arguments to remove the session's scope.",
    label: Tool::SetScope,
    is_read_only: true,
    ..ToolSpec::READS_INDEX
};

/// The part of the index that a tool looks at. An empty scope is the whole index.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ScopeInput {
    /// Only paths that match one of these globs, and none of those that begin with `!`, such as
    /// `src/**` or `!**/tests/**`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub globs: Vec<String>,
    /// Only these languages, such as `rust`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub languages: Vec<String>,
}

impl ScopeInput {
    fn is_empty(&self) -> bool {
        self.globs.is_empty() && self.languages.is_empty()
    }

    /// A handle that holds the scope itself, so that it stays valid.
    fn id(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).expect("a scope is plain data"))
    }

    fn from_id(id: &str) -> Result<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(id).ok();
        let scope = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        scope.ok_or_else(|| Error::Argument {
            name: "scope_id",
            value: format!("{:?}", crate::base::text::prefix(id, 80)),
            expected: "an id that set_scope returned".to_owned(),
        })
    }
}

/// The scope of a call: the one that it names, else that of its session, else everything.
pub(super) fn resolve(
    app: &App,
    scope: Option<ScopeInput>,
    scope_id: Option<&str>,
    cx: &RunContext,
) -> Result<ScopeSpec> {
    let named = match (scope, scope_id) {
        (Some(scope), None) => Some(scope),
        (None, Some(id)) => Some(ScopeInput::from_id(id)?),
        (None, None) => None,
        (Some(_), Some(id)) => {
            return Err(Error::Argument {
                name: "scope_id",
                value: id.to_owned(),
                expected: "either scope or scope_id, not both".to_owned(),
            });
        }
    };
    let of_session = || cx.session_id().and_then(|session| app.scopes().get(session));
    let ScopeInput { globs, languages } = named.or_else(of_session).unwrap_or_default();
    Ok(ScopeSpec { globs, languages })
}

/// The answer of set_scope.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ScopeAnswer {
    pub scope_id: String,
    pub scope: ScopeInput,
    /// Chunks of the index in this scope.
    pub chunks: usize,
    /// The session to which the scope applies from now on.
    pub session_id: Option<String>,
}

impl ToolAnswer for ScopeAnswer {
    fn text(&self) -> String {
        format!("scope_id {}: {} chunks of the index", self.scope_id, self.chunks)
    }
}

pub(super) fn run(
    app: &App,
    scope: ScopeInput,
    cx: &RunContext,
) -> Result<ScopeAnswer, std::sync::Arc<Error>> {
    let spec = ScopeSpec { globs: scope.globs.clone(), languages: scope.languages.clone() };
    let chunks = app.searcher()?.catalog().scope(&spec)?.count();
    if chunks == 0 {
        return Err(Error::Argument {
            name: "scope",
            value: serde_json::to_string(&scope).expect("a scope is plain data"),
            expected: "globs that match at least one indexed file; list_paths shows them"
                .to_owned(),
        }
        .into());
    }
    let session_id = cx.session_id().map(str::to_owned);
    if let Some(session) = &session_id {
        app.scopes().set(session, (!scope.is_empty()).then(|| scope.clone()));
    }
    Ok(ScopeAnswer { scope_id: scope.id(), scope, chunks, session_id })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_holds_its_scope_and_others_are_refused() {
        let globs = vec!["src/**".to_owned(), "!**/é/*".to_owned()];
        for scope in
            [ScopeInput::default(), ScopeInput { globs, languages: vec!["rust".to_owned()] }]
        {
            assert_eq!(ScopeInput::from_id(&scope.id()).unwrap(), scope);
        }
        for id in ["", "x", "////", "e30x", &"A".repeat(100_000)] {
            let message = ScopeInput::from_id(id).unwrap_err().to_string();
            assert!(message.contains("scope_id") && message.contains("set_scope"), "{message}");
            assert!(message.len() < 300, "{message}");
        }
    }
}
