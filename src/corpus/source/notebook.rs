//! The cells of a Jupyter notebook, as a source file whose lines are those of the notebook.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::Language;

#[derive(Deserialize)]
struct Notebook<'a> {
    #[serde(borrow)]
    cells: Vec<Cell<'a>>,
    #[serde(default)]
    metadata: serde_json::Value,
}

#[derive(Deserialize)]
struct Cell<'a> {
    cell_type: &'a str,
    /// A string, or an array with a string for each line.
    #[serde(borrow)]
    source: &'a RawValue,
}

/// The language of the code of a notebook, and the sources of its cells: each line stands where the
/// notebook has it, prose as a comment; lines with anything else, such as outputs, are empty. `None` if
/// `json` is not a notebook.
pub(super) fn cells(json: &str) -> Option<(Language, String)> {
    let notebook: Notebook<'_> = serde_json::from_str(json).ok()?;
    let language = language(&notebook.metadata);
    let comment = comment_mark(language);
    let mut lines = vec![String::new(); json.split('\n').count()];
    let (mut at, mut row) = (0, 0);
    for cell in &notebook.cells {
        let parts: Vec<&RawValue> =
            serde_json::from_str(cell.source.get()).unwrap_or_else(|_| vec![cell.source]);
        for part in parts {
            // A part is a slice of the notebook, so its address says where it stands.
            let start = part.get().as_ptr() as usize - json.as_ptr() as usize;
            row += json[at..start].matches('\n').count();
            at = start;
            let source: String = serde_json::from_str(part.get()).ok()?;
            let source = source.trim_end_matches(['\n', '\r']).replace(['\n', '\r'], " ");
            // Commands of the notebook are not the language of its code.
            let is_code = cell.cell_type == "code" && !source.trim_start().starts_with(['%', '!']);
            let line = &mut lines[row];
            if !line.is_empty() {
                line.push(' ');
            } else if !is_code {
                line.push_str(comment);
            }
            line.push_str(&source);
        }
    }
    Some((language, lines.join("\n")))
}

fn language(metadata: &serde_json::Value) -> Language {
    let names = ["/kernelspec/language", "/language_info/name"];
    let name = names.iter().find_map(|name| metadata.pointer(name)?.as_str());
    name.and_then(Language::from_name).unwrap_or(Language::Python)
}

fn comment_mark(language: Language) -> &'static str {
    use Language::*;
    match language {
        Python | R | Julia | Ruby | Bash | Elixir | PowerShell => "# ",
        Haskell | Lua | Sql => "-- ",
        _ => "// ",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sources_of_the_cells_keep_their_lines() {
        let json = r##"{
 "cells": [
  {
   "cell_type": "markdown",
   "metadata": {},
   "source": [
    "# Title\n",
    "Some \"prose\"."
   ]
  },
  {
   "cell_type": "code",
   "execution_count": 1,
   "outputs": [
    {"data": {"image/png": "iVBORw0KGgo"}}
   ],
   "source": [
    "%matplotlib inline\n",
    "def f(x):\n",
    "    return x"
   ]
  }
 ],
 "metadata": {"kernelspec": {"language": "python"}}
}
"##;
        let (language, text) = cells(json).unwrap();
        assert_eq!(language, Language::Python);
        assert_eq!(text.split('\n').count(), json.split('\n').count());
        let lines: Vec<(usize, &str)> =
            text.lines().enumerate().filter(|(_, line)| !line.is_empty()).collect();
        let expected = [
            (6, "# # Title"),
            (7, "# Some \"prose\"."),
            (17, "# %matplotlib inline"),
            (18, "def f(x):"),
            (19, "    return x"),
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_source_may_be_one_string_and_a_notebook_one_line() {
        let json = r#"{"cells":[{"cell_type":"code","source":"a = 1\nb = 2"},
{"cell_type":"code","source":["c\n","d"]}],"metadata":{"language_info":{"name":"julia"}}}"#;
        assert_eq!(cells(json), Some((Language::Julia, "a = 1 b = 2\nc d".to_owned())));
        for broken in
            ["", "{", "{\"cells\": 3}", "[]", "{\"cells\":[{\"cell_type\":\"code\",\"source\":3}]}"]
        {
            assert_eq!(cells(broken), None, "{broken}");
        }
    }
}
