//! Text as it comes from outside: byte order marks, half surrogate pairs, and a limit in bytes.

/// The longest prefix of `text` of at most `bytes_max` bytes that ends between two characters.
///
/// `str::floor_char_boundary` replaces the loop once Rust 1.91 is the oldest supported release.
pub fn prefix(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// The longest end of `text` of at most `bytes_max` bytes that begins between two characters.
pub fn suffix(text: &str, bytes_max: usize) -> &str {
    let mut start = text.len().saturating_sub(bytes_max);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    &text[start..]
}

/// `bytes` without the byte order mark of UTF-8. That of another encoding is an error, which says
/// what to do.
///
/// bytes: `[len]`.
pub fn without_byte_order_mark(bytes: &[u8]) -> Result<&[u8], String> {
    // That of UTF-32 begins like that of UTF-16.
    let others: [(&[u8], &str); 4] = [
        (b"\xFF\xFE\0\0", "UTF-32 (little-endian)"),
        (b"\0\0\xFE\xFF", "UTF-32 (big-endian)"),
        (b"\xFF\xFE", "UTF-16 (little-endian)"),
        (b"\xFE\xFF", "UTF-16 (big-endian)"),
    ];
    match others.iter().find(|(mark, _)| bytes.starts_with(mark)) {
        Some((_, encoding)) => {
            Err(format!("the text is encoded in {encoding}; convert it to UTF-8"))
        }
        None => Ok(bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes)),
    }
}

/// Where in a JSON text an escape is half of a surrogate pair, which is no character: its position
/// in bytes, and the escape itself.
pub fn half_surrogate_pair(json: &str) -> Option<(usize, &str)> {
    let mut at = 0;
    while let Some(found) = json[at..].find('\\') {
        at += found;
        match (surrogate(json, at), surrogate(json, at + 6)) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => at += 12,
            (Some(_), _) => return Some((at, &json[at..at + 6])),
            // The character after a backslash may be another one.
            (None, _) => at += 1 + json[at + 1..].chars().next().map_or(0, char::len_utf8),
        }
    }
    None
}

/// The surrogate whose escape begins at byte `at`.
fn surrogate(json: &str, at: usize) -> Option<u16> {
    let digits = json.get(at..at + 6)?.strip_prefix("\\u")?;
    u16::from_str_radix(digits, 16).ok().filter(|code| (0xD800..=0xDFFF).contains(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_byte_order_mark_of_utf_8_is_skipped() {
        for (bytes, text) in [
            (&b"\xEF\xBB\xBFa"[..], "a"),
            (b"a\xEF\xBB\xBF", "a\u{feff}"),
            (b"\xEF\xBB\xBF\xEF\xBB\xBFa", "\u{feff}a"),
            (b"\xEF\xBB\xBF", ""),
            (b"", ""),
        ] {
            assert_eq!(without_byte_order_mark(bytes).unwrap(), text.as_bytes());
        }
        for (bytes, encoding) in [
            (&b"\xFF\xFEa\0"[..], "UTF-16 (little-endian)"),
            (b"\xFE\xFF\0a", "UTF-16 (big-endian)"),
            (b"\xFF\xFE\0\0a\0\0\0", "UTF-32 (little-endian)"),
            (b"\0\0\xFE\xFF\0\0\0a", "UTF-32 (big-endian)"),
        ] {
            assert!(without_byte_order_mark(bytes).unwrap_err().contains(encoding));
        }
    }

    #[test]
    fn half_a_surrogate_pair_is_found_and_a_whole_one_is_not() {
        for (json, found) in [
            (r#""\ud83d\ude00 \u00e9""#, None),
            (r#""\\ud83d""#, None),
            (r#""\\\ud83d""#, Some((3, r"\ud83d"))),
            (r#""a\ud83d""#, Some((2, r"\ud83d"))),
            (r#""é\uDE00\ud83d""#, Some((3, r"\uDE00"))),
            (r#""\ud83d\ud83d\ude00""#, Some((1, r"\ud83d"))),
            (r#""\ud83dé""#, Some((1, r"\ud83d"))),
            (r#""\é\u12"#, None),
        ] {
            assert_eq!(half_surrogate_pair(json), found, "{json}");
        }
    }

    #[test]
    fn a_prefix_never_splits_a_character() {
        let text = "aé日👩";
        let lengths: Vec<usize> = (0..=text.len() + 1).map(|max| prefix(text, max).len()).collect();
        assert_eq!(lengths, [0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 10]);
    }

    #[test]
    fn a_suffix_never_splits_a_character() {
        let text = "aé日👩";
        let lengths: Vec<usize> = (0..=text.len() + 1).map(|max| suffix(text, max).len()).collect();
        assert_eq!(lengths, [0, 0, 0, 0, 4, 4, 4, 7, 7, 9, 10, 10]);
    }
}
