//! A question with what is relevant to it, and the files that hold such questions.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::base::error::{Error, Result};
use crate::base::text::without_byte_order_mark;

/// A query, and what an answer to it should contain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    pub query: String,
    /// Each counts once, whatever else of it is found.
    pub relevant: Vec<Target>,
    /// Targets of other benchmarks that count like the relevant ones.
    #[serde(default, skip_serializing)]
    secondary: Vec<Target>,
    /// The kind of question, such as `natural_language`; figures are given for each.
    #[serde(default = "uncategorised")]
    pub category: String,
}

/// A file, or lines of it. In a set it is a path, or an object with `path`, `start_line` and
/// `end_line` (from 1, inclusive).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "TargetForm", into = "TargetForm")]
pub struct Target {
    pub path: String,
    /// The first and the last line; `None` for the whole file.
    pub lines: Option<(u32, u32)>,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum TargetForm {
    Path(String),
    Lines { path: String, start_line: Option<u32>, end_line: Option<u32> },
}

impl From<TargetForm> for Target {
    fn from(form: TargetForm) -> Self {
        match form {
            TargetForm::Path(path) => Self { path, lines: None },
            TargetForm::Lines { path, start_line, end_line } => {
                let lines = start_line.map(|start| (start, end_line.unwrap_or(start)));
                Self { path, lines }
            }
        }
    }
}

impl From<Target> for TargetForm {
    fn from(Target { path, lines }: Target) -> Self {
        match lines {
            None => Self::Path(path),
            Some((start, end)) => {
                Self::Lines { path, start_line: Some(start), end_line: Some(end) }
            }
        }
    }
}

fn uncategorised() -> String {
    "all".to_owned()
}

impl Question {
    pub fn new(query: String, relevant: Vec<Target>, category: &str) -> Self {
        Self { query, relevant, secondary: Vec::new(), category: category.to_owned() }
    }
}

/// Reads a set: JSON Lines, one question a line, or one JSON list of questions.
///
/// Returns an error that names the line of a question that cannot be read or has nothing relevant.
pub fn read_questions(file: &Path) -> Result<Vec<Question>> {
    let bytes = std::fs::read(file)
        .map_err(|source| Error::PathUnreadable { path: file.to_path_buf(), source })?;
    let shown = file.display();
    let refused = |line: usize, detail: String| Error::Argument {
        name: "set",
        value: format!("{shown} line {line}"),
        expected: format!(
            "{{\"query\": …, \"relevant\": [\"a/path\" or {{\"path\", \"start_line\", \"end_line\"}}], \
             \"category\": …}} ({detail})"
        ),
    };
    let text = without_byte_order_mark(&bytes).map_err(|detail| refused(1, detail))?;
    let text = std::str::from_utf8(text).map_err(|error| refused(1, error.to_string()))?;
    let questions: Vec<(usize, Question)> = if text.trim_start().starts_with('[') {
        let all: Vec<Question> =
            serde_json::from_str(text).map_err(|error| refused(error.line(), error.to_string()))?;
        (1..).zip(all).collect()
    } else {
        let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
        let parsed = lines.map(|(number, line)| {
            let question = serde_json::from_str(line);
            Ok((number, question.map_err(|error| refused(number, error.to_string()))?))
        });
        parsed.collect::<Result<_>>()?
    };
    let mut complete = Vec::with_capacity(questions.len());
    for (number, mut question) in questions {
        question.relevant.append(&mut question.secondary);
        if question.query.trim().is_empty() {
            return Err(refused(number, "the query is empty".to_owned()));
        }
        if question.relevant.is_empty() {
            return Err(refused(number, "nothing is relevant".to_owned()));
        }
        complete.push(question);
    }
    if complete.is_empty() {
        return Err(refused(1, "the set is empty".to_owned()));
    }
    Ok(complete)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Question>> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, text).unwrap();
        read_questions(file.path())
    }

    #[test]
    fn lines_and_a_list_are_read_with_paths_or_lines() {
        let lines = "{\"query\": \"a\", \"relevant\": [\"x.rs\"]}\n\n{\"query\": \"b\", \"relevant\": \
                     [{\"path\": \"y.rs\", \"start_line\": 3, \"end_line\": 5}], \"category\": \"path\"}\n";
        let questions = read(lines).unwrap();
        assert_eq!(questions[0].relevant, [Target { path: "x.rs".to_owned(), lines: None }]);
        assert_eq!(questions[0].category, "all");
        assert_eq!(questions[1].relevant[0].lines, Some((3, 5)));
        let written: Vec<String> =
            questions.iter().map(|q| serde_json::to_string(q).unwrap()).collect();
        assert_eq!(read(&written.join("\n")).unwrap(), questions);
        let list = "[{\"query\": \"a\", \"relevant\": [\"x\"], \"secondary\": [\"y\"]}]";
        assert_eq!(read(list).unwrap()[0].relevant.len(), 2);
    }

    #[test]
    fn a_wrong_line_is_named() {
        for (text, part) in [
            ("", "the set is empty"),
            ("{\"query\": \"a\", \"relevant\": [\"x\"]}\n{\"query\": 1}", "line 2"),
            ("{\"query\": \"a\", \"relevant\": []}", "nothing is relevant"),
            ("{\"query\": \" \", \"relevant\": [\"x\"]}", "the query is empty"),
            ("[{\"query\": \"a\"}]", "relevant"),
        ] {
            let message = read(text).unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
    }
}
