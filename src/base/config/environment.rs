//! The process environment: variables, secrets and the user's folders.

use std::path::PathBuf;

/// A value that is never shown in a message, a log or a file.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(Option<String>);

impl Secret {
    pub fn new(value: Option<String>) -> Self {
        Self(value)
    }

    /// The value itself, for the code that sends it.
    pub fn reveal(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "a secret" } else { "none" })
    }
}

/// Looks up a variable of the process environment; an empty one counts as not set.
#[allow(clippy::disallowed_methods)] // The one place that reads the environment.
pub fn process_env(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A folder of the user, as the XDG base directory specification defines it.
pub(super) fn user_folder(
    env: impl Fn(&str) -> Option<String>,
    variable: &str,
    below_home: &str,
) -> PathBuf {
    if let Some(path) = env(variable).map(PathBuf::from)
        && path.is_absolute()
    {
        return path;
    }
    let home = env("HOME").unwrap_or_else(|| ".".to_owned());
    PathBuf::from(home).join(below_home)
}
