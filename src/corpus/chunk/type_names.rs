//! Names as they are written in source: the bare type of a receiver, an `impl` or a path.

use super::names::NAME_CHARS_MAX;
use super::symbol::one_line;

/// `*Server[T]` of `(s *Server[T])`.
pub(super) fn receiver_type(receiver: &str) -> Option<String> {
    let inner = receiver.trim_matches(['(', ')', ' ']);
    let inner = inner.split('[').next().unwrap_or_default();
    let word = inner.split_whitespace().last()?.trim_start_matches('*');
    (!word.is_empty()).then(|| word.to_owned())
}

/// `Foo` of `&mut a::Foo<T>`.
pub(super) fn bare_type(text: &str) -> String {
    let bare = text.split('<').next().unwrap_or_default();
    let last = bare.rsplit("::").next().unwrap_or_default();
    let word = last.split_whitespace().last().unwrap_or_default();
    let word = word.trim_matches(|c: char| !c.is_alphanumeric() && c != '_');
    if word.is_empty() { one_line(text, NAME_CHARS_MAX) } else { word.to_owned() }
}

/// `a::Foo` of `a::Foo<T>`.
pub(super) fn bare_path(text: &str) -> String {
    let mut depth = 0;
    let mut outside = |c: char| {
        depth += i32::from(c == '<');
        let keep = depth == 0;
        depth -= i32::from(c == '>');
        keep
    };
    text.chars().filter(|&c| outside(c)).collect::<String>().trim_matches(':').to_owned()
}

pub(super) fn is_word(name: &str) -> bool {
    name.chars().all(|c| c.is_alphanumeric() || "_$'?!".contains(c))
}
