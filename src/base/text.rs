//! Text that is cut at a number of bytes.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_never_splits_a_character() {
        let text = "aé日👩";
        let lengths: Vec<usize> = (0..=text.len() + 1).map(|max| prefix(text, max).len()).collect();
        assert_eq!(lengths, [0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 10]);
    }
}
