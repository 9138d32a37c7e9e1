//! The shape of a word or a line: code, a path, a flag.
//!
//! The rules use only shapes and lists of words; they do not read the index. The lists were derived
//! from the even half of the labelled queries in `tests/data/gate_queries.tsv`.

pub fn bare(word: &str) -> &str {
    word.trim_matches(|c: char| !c.is_alphanumeric() && c != '_')
}

pub fn is_code_punctuation(c: char) -> bool {
    c.is_ascii_punctuation() && !"?.,'-_:!".contains(c)
}

pub fn is_quoted(text: &str) -> bool {
    let pairs = [('"', '"'), ('\'', '\''), ('`', '`'), ('“', '”')];
    text.chars().count() > 2
        && pairs.iter().any(|(a, b)| text.starts_with(*a) && text.ends_with(*b))
}

pub fn is_question(text: &str) -> bool {
    const OPENINGS: &[&str] = &[
        "how",
        "where",
        "what",
        "which",
        "why",
        "when",
        "who",
        "is",
        "are",
        "does",
        "do",
        "can",
        "find",
        "show",
        "explain",
        "usages",
        "usage",
        "difference",
        "example",
        "examples",
        "should",
        "whats",
    ];
    let first = text.split_whitespace().next().unwrap_or_default().to_lowercase();
    text.ends_with('?') || OPENINGS.contains(&first.trim_end_matches('\''))
}

/// Whether a word would not occur in an English sentence, because it has an underscore, inner
/// capitals, a scope operator, a call, or letters mixed with digits.
pub fn is_code(word: &str) -> bool {
    let word = word.trim_matches(|c: char| ",.?!;:\"'’()".contains(c) && !word.ends_with("()"));
    let mut chars = word.chars();
    chars.next();
    let inner_upper = chars.any(char::is_uppercase);
    let lower = word.chars().any(char::is_lowercase);
    let letters = word.chars().any(char::is_alphabetic);
    let plural = word.strip_suffix('s').is_some_and(|w| w.chars().all(char::is_uppercase));
    let hyphened = word.contains('-') && !word.contains("->");
    let camel = lower && inner_upper && !plural && !hyphened;
    let snake = word.contains('_') && word.len() > 1;
    let dotted = word.split_once('.').is_some_and(|(head, tail)| {
        head.len() > 1 && tail.starts_with(|c: char| c.is_alphabetic() || c == '_')
    });
    let coded = letters
        && word.chars().any(|c| c.is_ascii_digit())
        && word.chars().all(|c| c.is_ascii_alphanumeric())
        && word.starts_with(|c: char| c.is_alphabetic());
    let sigil = word.len() > 1 && word.starts_with(['$', '@', '&', '#', '*', '.', '%']) && letters;
    let marks = ["::", "->", "()", "=>", "&&", "||", "==", "[", "<", "{", "=", "\\"];
    camel || snake || dotted || coded || sigil || marks.iter().any(|mark| word.contains(mark))
}

pub fn is_constant(word: &str) -> bool {
    word.len() > 1 && word.chars().all(|c| c.is_uppercase() || c.is_ascii_digit())
}

pub fn is_operator(word: &str) -> bool {
    !word.chars().any(char::is_alphanumeric)
}

pub fn is_flag(word: &str) -> bool {
    word.len() > 2 && word.starts_with('-') && word.chars().any(char::is_alphabetic)
}

pub fn is_path(word: &str) -> bool {
    const EXTENSIONS: &[&str] = &[
        "rs", "py", "ts", "tsx", "js", "jsx", "mjs", "go", "java", "kt", "scala", "swift", "c",
        "h", "cc", "cpp", "hpp", "cu", "cs", "rb", "php", "sh", "sql", "proto", "json", "yaml",
        "yml", "toml", "xml", "html", "css", "scss", "md", "txt", "lock", "cfg", "ini", "env",
        "gradle", "tf", "ipynb", "vue", "svelte", "csv", "build", "sum", "mod", "kts", "plist",
        "example", "sln", "csproj", "exs", "ex", "erl", "config", "conf", "clj", "sbt", "graphql",
        "cmake", "lua", "pl", "hs", "ml", "dart", "log",
    ];
    let word = word.trim_end_matches([',', '?', '!', ';', ':']);
    if word.contains("//") || word.contains(['=', '"', '$', '<', ';']) {
        return false;
    }
    if word.starts_with(|c: char| c.is_ascii_alphabetic()) && word.get(1..3) == Some(":\\") {
        return true;
    }
    let parts = word.split('/').filter(|part| !part.is_empty()).count();
    let slashes = word.contains('/') && parts > 0 && word.len() > 2 && !word.starts_with("/^");
    let extension = word.rsplit_once('.').is_some_and(|(stem, extension)| {
        let known = EXTENSIONS.contains(&extension.to_ascii_lowercase().as_str());
        known && !stem.contains("::") && !stem.is_empty()
    });
    let either = parts == 2 && word.split('/').all(|p| p.chars().all(char::is_alphabetic));
    extension || (slashes && !(either && !word.ends_with('/') && word.len() < 8))
}

/// Whether one word is a piece of code or data but not a name: operators, a flag, a number, a
/// pattern.
pub fn is_fragment(word: &str) -> bool {
    let inner = word.strip_suffix("()").unwrap_or(word).replace("::", "").replace("->", "");
    let sigils = inner.trim_start_matches(['$', '@', '&', '*', '#', '.', '~', ':']);
    let number = sigils.starts_with(|c: char| c.is_ascii_digit());
    let odd = |c: char| c.is_ascii_punctuation() && !"_.-<>?!'".contains(c);
    number || is_flag(word) || sigils.contains(odd) || word.contains("://") || is_operator(word)
}

/// Whether several words are a line of code rather than a sentence about code.
pub fn is_code_line(text: &str, words: &[&str]) -> bool {
    let chars = text.chars().count() as f64;
    let symbols = text.chars().filter(|c| is_code_punctuation(*c)).count() as f64;
    let operators =
        ["=", "==", "!=", "=>", "->", "+=", "&&", "||", "|", "+", "<", ">", ":=", "{", "}"];
    let operator = words.iter().any(|word| operators.contains(word));
    let sql = [
        "SELECT ",
        "INSERT ",
        "UPDATE ",
        "DELETE ",
        "CREATE ",
        "ALTER ",
        "DROP ",
        "WITH ",
        "GRANT ",
        "ON ",
        "WHERE ",
        "JOIN ",
        "LEFT ",
        "ORDER ",
        "GROUP ",
        "RETURNING ",
        "EXPLAIN ",
        "FROM ",
    ];
    let keywords = [
        "import ",
        "from ",
        "package ",
        "use ",
        "def ",
        "class ",
        "fn ",
        "func ",
        "public ",
        "private ",
        "static ",
        "const ",
        "let ",
        "var ",
        "return ",
        "async ",
        "await ",
        "defmodule ",
        "namespace ",
        "struct ",
        "enum ",
        "export ",
        "impl ",
        "docker ",
        "git ",
        "curl ",
        "kubectl ",
        "npm ",
        "pip ",
        "cargo ",
        "chmod ",
        "sudo ",
        "as ",
        "if ",
        "for ",
        "while ",
        "grep ",
        "awk ",
        "sed ",
        "find . ",
    ];
    let statement = sql.iter().any(|verb| text.starts_with(verb))
        || keywords.iter().any(|verb| text.starts_with(verb))
            && (symbols > 0.0 || text.ends_with(" do"))
        || text.starts_with("import ") && words.len() <= 4;
    let ended = text.ends_with([';', '{', '}', '\\']) || text.ends_with(')') && symbols >= 4.0;
    let flags = words.iter().filter(|word| is_flag(word)).count();
    let header = words.len() <= 4 && words[0].ends_with(':');
    let called = words[0].contains('(') && text.ends_with(')');
    let opened =
        text.starts_with(['#', '<', '{', '[', '(', '@', '$', '/', '%', '^', '-', '*', '.']);
    (operator && symbols >= 1.0)
        || statement
        || ended
        || header
        || called
        || (opened && symbols >= 1.0)
        || flags * 2 >= words.len()
        || symbols / chars > 0.09
}
