//! The result of a finished process.

use std::process::Output;

use serde_json::Value;

#[derive(Debug)]
pub struct Ran {
    /// None if a signal ended the process.
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Ran {
    /// Asserts success and returns the standard output.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }

    /// Asserts success and returns the standard output, which is JSON.
    #[track_caller]
    pub fn json(self) -> Value {
        let out = self.ok();
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
    }

    /// Asserts success of a `search --json` and returns the snippets of its findings.
    #[track_caller]
    pub fn snippets(self) -> Vec<String> {
        let answer = self.json();
        let findings = answer["findings"].as_array().unwrap();
        findings.iter().map(|f| f["snippet"].as_str().unwrap().to_owned()).collect()
    }

    /// Asserts this exit code, no result, and one error message that contains all of `parts`.
    #[track_caller]
    pub fn fails(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert_eq!(self.out, "", "{self:?}");
        let errors = self.err.lines().filter(|line| line.starts_with("error: "));
        assert_eq!(errors.count(), 1, "{self:?}");
        assert!(!self.err.contains("panicked"), "{self:?}");
        for part in parts {
            assert!(self.err.contains(part), "{part:?} is missing from {self:?}");
        }
    }
}
