//! What is read from the process environment?

use std::path::PathBuf;

/// A value that no message, log or file shows.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(Option<String>);

impl Secret {
    pub fn new(value: Option<String>) -> Self {
        Self(value)
    }

    /// The value, for the one place that needs it.
    pub fn reveal(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "a secret" } else { "none" })
    }
}

/// Looks up a variable of the process environment. The only place that does, beside telemetry.
pub fn process_env(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A folder of the user, by the XDG base directory rules.
pub(super) fn user_folder(
    env: impl Fn(&str) -> Option<String>,
    variable: &str,
    below_home: &str,
) -> PathBuf {
    let given = env(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || PathBuf::from(env("HOME").unwrap_or_else(|| ".".into())).join(below_home);
    given.unwrap_or_else(home)
}
