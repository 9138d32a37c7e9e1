//! One Rust file, with its comments, strings and tests told apart.

/// One Rust file in three views of the same lines.
pub struct Source {
    /// Relative to the root, with `/`.
    pub path: String,
    /// As written.
    pub lines: Vec<String>,
    /// Comments and the contents of strings are blank.
    pub code: Vec<String>,
    /// Comments are blank.
    pub text: Vec<String>,
    /// Whether the line belongs to `#[cfg(test)]`.
    test: Vec<bool>,
}

impl Source {
    pub fn new(path: &str, content: &str) -> Self {
        let (code, text) = mask(content);
        let split = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let test = test_lines(&code);
        let lines = split(content);
        let code = split(&code);
        let text = split(&text);
        Self { path: path.to_owned(), lines, code, text, test }
    }

    /// The path of the module, such as `index/dense`. `None` for lib.rs and main.rs.
    pub fn module(&self) -> Option<String> {
        let inside = self.path.strip_prefix("src/")?.strip_suffix(".rs")?;
        let module = inside.strip_suffix("/mod").unwrap_or(inside);
        (!matches!(module, "lib" | "main")).then(|| module.to_owned())
    }

    /// The files that `#[cfg(test)] mod name;` in this file declares, from the root, without `.rs`.
    pub fn test_modules(&self) -> Vec<String> {
        let folder = match self.path.rsplit_once('/') {
            Some((folder, "mod.rs" | "lib.rs" | "main.rs")) => folder.to_owned(),
            _ => self.path.trim_end_matches(".rs").to_owned(),
        };
        let names = self.code.iter().enumerate().filter(|(i, _)| self.is_test(i + 1));
        let names = names.filter_map(|(_, line)| {
            let item = line.trim().strip_suffix(';')?;
            item.strip_prefix("pub(crate) ").unwrap_or(item).strip_prefix("mod ")
        });
        names.map(|name| format!("{folder}/{name}")).collect()
    }

    /// Marks the whole file as a test.
    pub fn set_test(&mut self) {
        self.test.fill(true);
    }

    /// The lines of one of the views that are outside tests, with their numbers from 1.
    pub fn outside_tests<'a>(
        &'a self,
        view: &'a [String],
    ) -> impl Iterator<Item = (usize, &'a str)> + 'a {
        let numbered = view.iter().enumerate();
        numbered.filter(|(i, _)| !self.is_test(i + 1)).map(|(i, line)| (i + 1, line.as_str()))
    }

    /// Whether line `number`, from 1, belongs to tests.
    pub fn is_test(&self, number: usize) -> bool {
        self.test.get(number - 1).copied().unwrap_or(false)
    }
}

/// The text without comments and strings, and the text without comments; blanks replace them.
fn mask(content: &str) -> (String, String) {
    let chars: Vec<char> = content.chars().collect();
    let mut code = String::new();
    let mut text = String::new();
    let mut at = 0;
    while at < chars.len() {
        let (end, kind) = token(&chars, at);
        for (i, &c) in chars[at..end].iter().enumerate() {
            let edge = i == 0 || i + 1 == end - at;
            put(&mut text, c, kind != Kind::Comment);
            put(&mut code, c, kind == Kind::Code || (kind == Kind::Text && edge));
        }
        at = end;
    }
    (code, text)
}

/// Appends `c`, or as many blanks as it has bytes, so that offsets are the same in every view.
fn put(view: &mut String, c: char, shown: bool) {
    if shown || c == '\n' {
        view.push(c);
    } else {
        view.extend(std::iter::repeat_n(' ', c.len_utf8()));
    }
}

#[derive(PartialEq)]
enum Kind {
    Code,
    Comment,
    Text,
}

/// The end and the kind of the token at `at`. Each character of plain code is a token.
fn token(chars: &[char], at: usize) -> (usize, Kind) {
    let peek = |i: usize| chars.get(at + i).copied().unwrap_or('\0');
    let until = |from: usize, stop: &dyn Fn(usize) -> bool| {
        (from..chars.len()).find(|&i| stop(i)).unwrap_or(chars.len())
    };
    match (peek(0), peek(1)) {
        ('/', '/') => (until(at, &|i| chars[i] == '\n'), Kind::Comment),
        ('/', '*') => (end_of_block_comment(chars, at), Kind::Comment),
        ('"', _) => (end_of_quoted(chars, at, '"'), Kind::Text),
        ('\'', '\\') => (end_of_quoted(chars, at, '\''), Kind::Text),
        ('\'', _) if peek(2) == '\'' => (at + 3, Kind::Text),
        ('r', '"' | '#') if !continues_a_name(chars, at) => {
            let hashes = chars[at + 1..].iter().take_while(|&&c| c == '#').count();
            if peek(1 + hashes) != '"' {
                return (at + 1, Kind::Code);
            }
            let closes =
                |i: usize| chars[i] == '"' && (1..=hashes).all(|h| chars.get(i + h) == Some(&'#'));
            let end = until(at + hashes + 2, &closes);
            ((end + 1 + hashes).min(chars.len()), Kind::Text)
        }
        _ => (at + 1, Kind::Code),
    }
}

/// Whether the character at `at` continues a name; the `b` of `br"…"` does not count.
fn continues_a_name(chars: &[char], at: usize) -> bool {
    let named = |i: usize| i > 0 && (chars[i - 1].is_alphanumeric() || chars[i - 1] == '_');
    named(at) && (named(at - 1) || !matches!(chars[at - 1], 'b' | 'c'))
}

fn end_of_quoted(chars: &[char], at: usize, quote: char) -> usize {
    let mut i = at + 1;
    while i < chars.len() && chars[i] != quote {
        i += if chars[i] == '\\' { 2 } else { 1 };
    }
    (i + 1).min(chars.len())
}

fn end_of_block_comment(chars: &[char], at: usize) -> usize {
    let mut i = at + 2;
    let mut depth = 1;
    while i < chars.len() && depth > 0 {
        match (chars[i], chars.get(i + 1)) {
            ('/', Some('*')) => (i, depth) = (i + 2, depth + 1),
            ('*', Some('/')) => (i, depth) = (i + 2, depth - 1),
            _ => i += 1,
        }
    }
    i
}

/// For each line of masked code, whether an item under `#[cfg(test)]` covers it.
fn test_lines(code: &str) -> Vec<bool> {
    const MARKS: [&str; 2] = ["#[cfg(test)]", "#[cfg(all(test,"];
    let mut covered = vec![false; code.lines().count()];
    let line_of = |at: usize| code[..at].matches('\n').count();
    for (start, _) in MARKS.iter().flat_map(|mark| code.match_indices(mark)) {
        let after = start + code[start..].find(']').map_or(0, |i| i + 1);
        let end = after + end_of_item(&code[after..]);
        let last = line_of(end).min(covered.len() - 1);
        covered[line_of(start)..=last].fill(true);
    }
    covered
}

/// The offset of the `;` or the matching `}` that ends the item at the start of `code`.
fn end_of_item(code: &str) -> usize {
    let mut braces = 0usize;
    let mut brackets = 0usize;
    for (at, c) in code.char_indices() {
        match c {
            '{' => braces += 1,
            '}' if braces == 1 => return at,
            '}' => braces = braces.saturating_sub(1),
            '(' | '[' => brackets += 1,
            ')' | ']' => brackets = brackets.saturating_sub(1),
            ';' if braces == 0 && brackets == 0 => return at,
            _ => {}
        }
    }
    code.len()
}

#[test]
fn comments_and_strings_are_not_code() {
    let source = Source::new(
        "src/a.rs",
        concat!(
            "let a = \"é // \\\" y\"; // unwrap() ü\n",
            "/* one /* two */ todo!() */ let b = r#\"dbg!(\"1\")\"#;\n",
            "let c: &'static str = 'c'; let q = '\\''; real();\n",
            "let d = br\"println!\"; expr\"str\";\n",
        ),
    );
    let code = source.code.join("\n");
    for hidden in ["unwrap", "todo", "dbg", "println", "y\""] {
        assert!(!code.contains(hidden), "{hidden} in {code}");
    }
    for shown in ["let a", "let b", "'static str", "real()", "let d", "expr"] {
        assert!(code.contains(shown), "{shown} not in {code}");
    }
    assert!(source.text[1].contains("dbg!") && !source.text[1].contains("todo"));
    assert!(source.code.iter().zip(&source.lines).all(|(a, b)| a.len() == b.len()));
}

#[test]
fn test_items_end_where_their_braces_end() {
    let source = Source::new(
        "src/a.rs",
        "fn a() {}\n#[cfg(test)]\nuse b;\nfn c() {}\n#[cfg(test)]\nmod tests {\n{ }\n}\nfn d() {}\n",
    );
    let outside: Vec<usize> = source.outside_tests(&source.code).map(|(n, _)| n).collect();
    assert_eq!(outside, [1, 4, 9]);
}

#[test]
fn a_module_declared_for_tests_is_found() {
    let code = "mod a;\n#[cfg(test)]\nmod tests;\n#[cfg(test)]\nmod inline {\n}\n";
    assert_eq!(Source::new("src/x/mod.rs", code).test_modules(), ["src/x/tests"]);
    assert_eq!(Source::new("src/x/y.rs", code).test_modules(), ["src/x/y/tests"]);
    let shared = "#[cfg(test)]\npub(crate) mod tests;\n";
    assert_eq!(Source::new("src/x/mod.rs", shared).test_modules(), ["src/x/tests"]);
}

#[test]
fn the_module_of_a_file_follows_from_its_path() {
    let module = |path| Source::new(path, "").module();
    assert_eq!(module("src/hit.rs").as_deref(), Some("hit"));
    assert_eq!(module("src/index/mod.rs").as_deref(), Some("index"));
    assert_eq!(module("src/index/dense/ffi.rs").as_deref(), Some("index/dense/ffi"));
    assert_eq!(module("src/main.rs"), None);
}
