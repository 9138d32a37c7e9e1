//! Columns of SCIP, which count bytes, UTF-16 code units or characters, as characters.

/// What a column counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ColumnUnit {
    Byte,
    Utf16,
    Char,
}

impl ColumnUnit {
    /// encoding: `Document::position_encoding`. Indexers that do not say it are written for Node.js or
    /// the JVM, where strings are UTF-16.
    pub fn of(encoding: i32) -> Self {
        match encoding {
            1 => Self::Byte,
            3 => Self::Char,
            _ => Self::Utf16,
        }
    }

    /// The column in characters of a column of `line`; both count from 0. `None` if the line is
    /// shorter, or if the column is inside a character.
    pub fn to_chars(self, line: &str, column: u32) -> Option<u32> {
        if line.is_ascii() {
            return (column as usize <= line.len()).then_some(column);
        }
        let (mut units, mut chars) = (0, 0);
        for c in line.chars() {
            if units >= column {
                break;
            }
            units += match self {
                Self::Byte => c.len_utf8() as u32,
                Self::Utf16 => c.len_utf16() as u32,
                Self::Char => 1,
            };
            chars += 1;
        }
        (units == column).then_some(chars)
    }
}
