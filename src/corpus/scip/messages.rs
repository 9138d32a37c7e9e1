//! The fields of the messages of SCIP that are read. Their numbers are those of `scip.proto`.

/// The field of `Index` that holds a document.
pub(super) const INDEX_DOCUMENTS: u64 = 2;
/// The field of `Document` that holds its path.
pub(super) const DOCUMENT_PATH: u64 = 1;
/// The bit of `Occurrence::symbol_roles` that marks a definition.
pub(super) const ROLE_DEFINITION: i32 = 1;

/// What an index says about one file.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Document {
    #[prost(string, tag = "1")]
    pub relative_path: String,
    #[prost(message, repeated, tag = "2")]
    pub occurrences: Vec<RawOccurrence>,
    /// 1, 2 and 3 mean that columns count bytes, UTF-16 code units, and characters.
    #[prost(int32, tag = "6")]
    pub position_encoding: i32,
}

/// One definition or use of a symbol. Lines and columns count from 0.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct RawOccurrence {
    /// Line, column, end column; or line, column, end line, end column.
    #[prost(int32, repeated, tag = "1")]
    pub range: Vec<i32>,
    #[prost(string, tag = "2")]
    pub symbol: String,
    #[prost(int32, tag = "3")]
    pub symbol_roles: i32,
    /// Newer indexers write the range here.
    #[prost(message, optional, tag = "8")]
    pub single_line_range: Option<SingleLineRange>,
    #[prost(message, optional, tag = "9")]
    pub multi_line_range: Option<MultiLineRange>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(super) struct SingleLineRange {
    #[prost(int32, tag = "1")]
    pub line: i32,
    #[prost(int32, tag = "2")]
    pub start: i32,
    #[prost(int32, tag = "3")]
    pub end: i32,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(super) struct MultiLineRange {
    #[prost(int32, tag = "1")]
    pub start_line: i32,
    #[prost(int32, tag = "2")]
    pub start: i32,
    #[prost(int32, tag = "3")]
    pub end_line: i32,
    #[prost(int32, tag = "4")]
    pub end: i32,
}

/// A part of one line, or the start of what spans several. Columns count from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LineRange {
    pub line: u32,
    pub start: u32,
    /// Exclusive; equal to `start` for a range of several lines.
    pub end: u32,
}

impl RawOccurrence {
    /// `None` if the range is missing or is not one.
    pub fn line_range(&self) -> Option<LineRange> {
        let (line, start, end) = match (&self.single_line_range, &self.multi_line_range) {
            (Some(range), _) => (range.line, range.start, range.end),
            (None, Some(range)) => {
                one_line(range.start_line, range.start, range.end_line, range.end)
            }
            (None, None) => match *self.range.as_slice() {
                [line, start, end] => (line, start, end),
                [line, start, end_line, end] => one_line(line, start, end_line, end),
                _ => return None,
            },
        };
        let number = |n: i32| u32::try_from(n).ok();
        let range = LineRange { line: number(line)?, start: number(start)?, end: number(end)? };
        (range.start <= range.end).then_some(range)
    }
}

fn one_line(line: i32, start: i32, end_line: i32, end: i32) -> (i32, i32, i32) {
    (line, start, if line == end_line { end } else { start })
}
