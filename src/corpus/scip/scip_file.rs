//! ScipFile: one `index.scip`, and where the document of each path is in it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use parking_lot::Mutex;
use prost::Message;

use super::messages::{DOCUMENT_PATH, Document, INDEX_DOCUMENTS};
use crate::corpus::source;

/// The most documents of a file, which are about 100 bytes of memory each.
const DOCUMENTS_MAX: usize = 1 << 20;
/// The largest document that is read. Documents have about 100 bytes for each word of a source file.
const DOCUMENT_BYTES_MAX: u64 = 64 << 20;
/// The longest path of a document; one with a longer path is left out.
const PATH_BYTES_MAX: u64 = 4096;

/// An open file. Only the place of each document is in memory.
pub(super) struct ScipFile {
    file: Mutex<File>,
    places: HashMap<String, Place>,
}

/// Where a document is in the file.
#[derive(Clone, Copy)]
struct Place {
    start: u64,
    bytes: u64,
}

impl ScipFile {
    /// Opens a file and finds its documents. A damaged one is an error that says where.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = source::open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(invalid("it is not a regular file".to_owned()));
        }
        let places =
            Fields { reader: BufReader::new(&file), at: 0, end: metadata.len() }.documents()?;
        Ok(Self { file: Mutex::new(file), places })
    }

    /// The document of a path, relative to the root; `Ok(None)` if there is none.
    pub fn document(&self, path: &str) -> io::Result<Option<Document>> {
        let Some(place) = self.places.get(path) else { return Ok(None) };
        let mut bytes = vec![0; place.bytes as usize];
        {
            let mut file = self.file.lock();
            file.seek(SeekFrom::Start(place.start))?;
            file.read_exact(&mut bytes)?;
        }
        let document = Document::decode(bytes.as_slice());
        document.map(Some).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}

/// Reads the fields of a message one by one and skips what they hold.
struct Fields<R> {
    reader: R,
    at: u64,
    end: u64,
}

/// What follows the key of a field.
enum Value {
    /// So many bytes, which have not been read.
    Bytes(u64),
    /// A number, which has been read.
    Number,
}

impl<R: BufRead + Seek> Fields<R> {
    fn documents(mut self) -> io::Result<HashMap<String, Place>> {
        let mut places = HashMap::new();
        while self.at < self.end {
            let (field, value) = self.field()?;
            let Value::Bytes(bytes) = value else { continue };
            let (start, after) = (self.at, self.at + bytes);
            if field == INDEX_DOCUMENTS && bytes <= DOCUMENT_BYTES_MAX {
                if let Some(path) = self.document_path(after)? {
                    places.insert(path, Place { start, bytes });
                }
                if places.len() > DOCUMENTS_MAX {
                    return Err(invalid(format!("it has more than {DOCUMENTS_MAX} documents")));
                }
            }
            self.skip(after - self.at)?;
        }
        Ok(places)
    }

    /// The path of the document that ends at `end`, and stops behind it.
    fn document_path(&mut self, end: u64) -> io::Result<Option<String>> {
        let whole = std::mem::replace(&mut self.end, end);
        let mut path = None;
        while self.at < end && path.is_none() {
            match self.field()? {
                (DOCUMENT_PATH, Value::Bytes(bytes)) if bytes <= PATH_BYTES_MAX => {
                    let mut text = vec![0; bytes as usize];
                    self.reader.read_exact(&mut text)?;
                    self.at += bytes;
                    path = Some(String::from_utf8(text).map_err(|_| self.damaged())?);
                }
                (DOCUMENT_PATH, Value::Bytes(_)) => break,
                (_, Value::Bytes(bytes)) => self.skip(bytes)?,
                (_, Value::Number) => {}
            }
        }
        self.end = whole;
        Ok(path)
    }

    fn field(&mut self) -> io::Result<(u64, Value)> {
        let key = self.varint()?;
        let value = match key & 7 {
            0 => {
                self.varint()?;
                Value::Number
            }
            1 => Value::Bytes(8),
            2 => Value::Bytes(self.varint()?),
            5 => Value::Bytes(4),
            _ => return Err(self.damaged()),
        };
        match value {
            Value::Bytes(bytes) if bytes > self.end - self.at => Err(self.damaged()),
            _ if key >> 3 == 0 => Err(self.damaged()),
            value => Ok((key >> 3, value)),
        }
    }

    fn varint(&mut self) -> io::Result<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            if self.at == self.end {
                break;
            }
            let mut byte = [0];
            self.reader.read_exact(&mut byte)?;
            self.at += 1;
            number |= u64::from(byte[0] & 0x7f) << shift;
            if byte[0] < 0x80 {
                return Ok(number);
            }
        }
        Err(self.damaged())
    }

    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        self.at += bytes;
        // A document is at most the length of the file, which is an i64.
        self.reader.seek_relative(bytes as i64)
    }

    fn damaged(&self) -> io::Error {
        invalid(format!("it is damaged at byte {}", self.at))
    }
}

fn invalid(detail: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, detail)
}
