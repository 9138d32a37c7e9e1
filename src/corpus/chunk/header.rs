//! The header of a chunk: the lines above its text that tell the model where it comes from.

/// Part of the keys of cached vectors; raise it when the text of any header changes.
pub const HEADER_VERSION: u32 = 1;

/// The most names of enclosing definitions in a header; the innermost ones are kept.
const NAMES_MAX: usize = 8;

/// The header of a chunk: its path, the names of the enclosing definitions, outermost first, and the
/// signature of the innermost one.
///
/// Shorter forms are tried until one has at most `tokens_max` tokens, as counted by `count`. Returns
/// the header and its tokens.
pub(super) fn header(
    path: &str,
    names: &[String],
    signature: Option<&str>,
    tokens_max: u64,
    count: impl Fn(&str) -> u64,
) -> (String, u64) {
    let names = &names[names.len().saturating_sub(NAMES_MAX)..];
    let file = path.rsplit('/').next().unwrap_or(path);
    let innermost = names.last().map(String::as_str).unwrap_or_default();
    let all = names.join(" > ");
    let forms = [
        join(&[path, &all, signature.unwrap_or_default()]),
        join(&[path, &all]),
        join(&[path, innermost]),
        path.to_owned(),
        file.to_owned(),
    ];
    for form in forms {
        let tokens = count(&form);
        if tokens <= tokens_max {
            return (form, tokens);
        }
    }
    shorten(file, tokens_max, count)
}

fn join(lines: &[&str]) -> String {
    let lines: Vec<&str> = lines.iter().copied().filter(|line| !line.is_empty()).collect();
    lines.join("\n")
}

/// Halves a file name until it fits; the end is kept, because it says most.
fn shorten(file: &str, tokens_max: u64, count: impl Fn(&str) -> u64) -> (String, u64) {
    let mut rest = file;
    while !rest.is_empty() {
        let chars = rest.chars().count();
        rest = rest.char_indices().nth(chars.div_ceil(2)).map_or("", |(at, _)| &rest[at..]);
        let tokens = count(rest);
        if tokens <= tokens_max {
            return (rest.to_owned(), tokens);
        }
    }
    (String::new(), 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(names: &[&str], signature: Option<&str>, tokens_max: u64) -> String {
        let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
        let count = |text: &str| text.split_whitespace().map(str::len).sum::<usize>() as u64;
        let (header, tokens) = header("src/a.rs", &names, signature, tokens_max, count);
        assert!(tokens <= tokens_max, "{tokens} > {tokens_max}");
        header
    }

    #[test]
    fn a_header_is_the_path_the_names_around_and_the_signature() {
        assert_eq!(made(&[], None, 100), "src/a.rs");
        assert_eq!(made(&["Foo", "bar"], Some("fn bar()"), 100), "src/a.rs\nFoo > bar\nfn bar()");
    }

    #[test]
    fn a_header_is_shortened_to_its_tokens() {
        assert_eq!(made(&["Foo", "bar"], Some("fn bar()"), 15), "src/a.rs\nFoo > bar");
        assert_eq!(made(&["Foo", "bar"], Some("fn bar()"), 11), "src/a.rs\nbar");
        assert_eq!(made(&["Foo", "bar"], Some("fn bar()"), 8), "src/a.rs");
        assert_eq!(made(&["Foo", "bar"], Some("fn bar()"), 4), "a.rs");
        assert_eq!(made(&[], None, 2), "rs");
        assert_eq!(made(&[], None, 0), "");
    }
}
