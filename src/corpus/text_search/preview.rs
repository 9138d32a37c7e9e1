//! Preview: the text of a match, clipped around it.

use std::ops::Range;

use crate::base::text::prefix;

/// The longest line shown; a line of code has some 40 bytes.
pub(super) const LINE_BYTES_MAX: usize = 500;
/// Text kept before the first match of a clipped line.
const LEAD_BYTES: usize = 100;
/// Stands where text was clipped.
const MARK: &str = "…";

/// The text of one or more lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Preview {
    pub text: String,
    /// The matches as byte ranges of `text`.
    pub spans: Vec<Range<usize>>,
    pub is_clipped: bool,
    /// Of the first match, in characters counted from 1.
    pub column: u32,
}

impl Preview {
    /// bytes: lines, with or without the last line's end; spans: ascending ranges of `bytes`.
    pub fn new(bytes: &[u8], spans: &[Range<usize>], bytes_max: usize) -> Self {
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        let mut preview = Self { column: 1, ..Self::default() };
        let mut at = 0;
        let text = &mut preview.text;
        for (i, span) in spans.iter().enumerate() {
            let (start, end) = (span.start.min(bytes.len()), span.end.min(bytes.len()));
            text.push_str(&String::from_utf8_lossy(&bytes[at..start]));
            if i == 0 {
                preview.column = text.chars().count() as u32 + 1;
            }
            let from = text.len();
            text.push_str(&String::from_utf8_lossy(&bytes[start..end]));
            preview.spans.push(from..text.len());
            at = end;
        }
        text.push_str(&String::from_utf8_lossy(&bytes[at..]));
        if text.len() > bytes_max {
            preview.clip(bytes_max);
        }
        preview
    }

    /// Keeps `bytes_max` bytes around the first match.
    fn clip(&mut self, bytes_max: usize) {
        let first = self.spans.first().cloned().unwrap_or(0..0);
        let lead = if first.end <= bytes_max { 0 } else { first.start.saturating_sub(LEAD_BYTES) };
        let start = prefix(&self.text, lead).len();
        let kept = prefix(&self.text[start..], bytes_max);
        let end = start + kept.len();
        let (before, after) =
            (if start > 0 { MARK } else { "" }, if end < self.text.len() { MARK } else { "" });
        let clipped = format!("{before}{kept}{after}");
        self.spans.retain(|span| span.start < end);
        for span in &mut self.spans {
            span.start = span.start - start + before.len();
            span.end = span.end.min(end) - start + before.len();
        }
        self.text = clipped;
        self.is_clipped = true;
    }
}
