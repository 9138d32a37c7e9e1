//! `codeintel embed`: texts in, vectors out, in the same order.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::args::{EmbedArgs, Format, PoolingArg};
use super::index::start_engine_with;
use super::{Context, out};
use crate::engine::{EmbedRequest, Engine, EngineOptions, Lane, Task};
use crate::error::{Error, Result};
use crate::nn::Pooling;
use crate::serve::wire;
use crate::telemetry::labels::Tool;
use crate::telemetry::{RunContext, Stage};
use crate::vector::Matrix;

/// Texts embedded together; the input is never held whole.
const TEXTS: usize = 512;
/// Bytes of one line; the rest of a longer one would not reach the model anyway.
const LINE_BYTES_MAX: u64 = 64 << 20;

/// A text and what it is called; lines have no name.
struct Item {
    id: Option<serde_json::Value>,
    text: String,
}

pub fn run(cx: Context, args: EmbedArgs) -> Result<()> {
    let options = EngineOptions {
        pooling: args.pooling.map(|pooling| match pooling {
            PoolingArg::Mean => Pooling::Mean,
            PoolingArg::Cls => Pooling::Cls,
            PoolingArg::Last => Pooling::Last,
        }),
        normalize: None,
    };
    let mut input = Input::open(&args)?;
    let engine = start_engine_with(&cx.settings, &cx.settings.model_name, options)?;
    let mut output = Output::create(&args, engine.identity().dim)?;
    let run = RunContext::new(&cx.telemetry, Tool::Embed, &[Stage::Embed]);
    let result = embed_all(&engine, &mut input, &mut output, &run);
    cx.finish(&run, result.as_ref().err());
    let truncated = result?;
    output.finish()?;
    if truncated > 0 {
        let max = engine.identity().max_tokens;
        let message = format!("cut to {max} tokens because they were longer: {truncated} texts");
        out::print_warning(&crate::error::Warning::new("truncated", message));
    }
    Ok(())
}

/// Embeds what there is to read; gives how many texts were cut.
fn embed_all(
    engine: &Engine,
    input: &mut Input,
    output: &mut Output,
    run: &RunContext,
) -> Result<usize> {
    let mut truncated = 0;
    loop {
        let items = input.next_items()?;
        if items.is_empty() {
            return Ok(truncated);
        }
        let (vectors, cut) = embed(engine, &items, run)?;
        truncated += cut;
        output.write(&items, &vectors)?;
    }
}

fn embed(engine: &Engine, items: &[Item], run: &RunContext) -> Result<(Matrix, usize)> {
    let texts: Vec<&str> = items.iter().map(|item| item.text.as_str()).collect();
    let request = EmbedRequest { texts: &texts, lane: Lane::Bulk, task: Task::None };
    let embeddings = engine.embed(request, run)?;
    Ok((embeddings.vectors, embeddings.truncated))
}

struct Input {
    reader: Box<dyn BufRead>,
    name: PathBuf,
    format: Format,
    line: usize,
}

impl Input {
    fn open(args: &EmbedArgs) -> Result<Self> {
        let file = args.file.as_deref().filter(|path| *path != Path::new("-"));
        let named_jsonl = file.is_some_and(|path| path.extension().is_some_and(|e| e == "jsonl"));
        let format = args.format.unwrap_or(if named_jsonl { Format::Jsonl } else { Format::Lines });
        let (reader, name): (Box<dyn BufRead>, _) = match file {
            None => (Box::new(std::io::stdin().lock()), PathBuf::from("standard input")),
            Some(path) => {
                let file = File::open(path).map_err(|source| match source.kind() {
                    std::io::ErrorKind::NotFound => Error::PathNotFound { path: path.into() },
                    _ => Error::PathUnreadable { path: path.into(), source },
                })?;
                (Box::new(BufReader::new(file)), path.to_path_buf())
            }
        };
        Ok(Self { reader, name, format, line: 0 })
    }

    /// The next texts, [`TEXTS`] at most; none at the end.
    fn next_items(&mut self) -> Result<Vec<Item>> {
        let mut items = Vec::new();
        while items.len() < TEXTS {
            let Some(line) = self.next_line()? else { break };
            match self.format {
                Format::Lines => items.push(Item { id: None, text: line }),
                Format::Jsonl if line.trim().is_empty() => {}
                Format::Jsonl => items.push(self.parse(&line)?),
            }
        }
        Ok(items)
    }

    fn next_line(&mut self) -> Result<Option<String>> {
        self.line += 1;
        let mut bytes = Vec::new();
        let failed = |e| Error::io("read", &self.name, e);
        let read = self.reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes);
        if read.map_err(failed)? == 0 {
            return Ok(None);
        }
        if bytes.len() as u64 == LINE_BYTES_MAX {
            return Err(self.wrong("a line", format!("fewer than {LINE_BYTES_MAX} bytes")));
        }
        let text = String::from_utf8(bytes)
            .map_err(|_| self.wrong("bytes that are not UTF-8", "UTF-8 text".to_owned()))?;
        Ok(Some(text.trim_end_matches(['\n', '\r']).to_owned()))
    }

    fn parse(&self, line: &str) -> Result<Item> {
        let expected = "an object {\"id\": ..., \"text\": \"...\"}";
        let found: String = line.chars().take(80).collect();
        let object: serde_json::Value =
            serde_json::from_str(line).map_err(|_| self.wrong(&found, expected.to_owned()))?;
        match object.get("text").and_then(|text| text.as_str()) {
            Some(text) => Ok(Item { id: object.get("id").cloned(), text: text.to_owned() }),
            None => Err(self.wrong(&found, expected.to_owned())),
        }
    }

    fn wrong(&self, found: &str, expected: String) -> Error {
        let value = format!("{found} (line {} of {})", self.line, self.name.display());
        Error::Argument { name: "input", value, expected }
    }
}

/// Where vectors go: lines of JSON, or a NumPy file.
enum Output {
    Jsonl(Box<dyn Write>, PathBuf),
    Npy { file: BufWriter<File>, path: PathBuf, n: usize, d: usize },
}

impl Output {
    fn create(args: &EmbedArgs, d: usize) -> Result<Self> {
        let Some(path) = &args.output else {
            let out = BufWriter::new(std::io::stdout().lock());
            return Ok(Self::Jsonl(Box::new(out), PathBuf::from("standard output")));
        };
        let file = File::create(path).map_err(|e| Error::io("create", path, e))?;
        let mut file = BufWriter::new(file);
        if path.extension().is_some_and(|e| e == "npy") {
            file.write_all(&npy_header(0, d)).map_err(|e| Error::io("write", path, e))?;
            return Ok(Self::Npy { file, path: path.clone(), n: 0, d });
        }
        Ok(Self::Jsonl(Box::new(file), path.clone()))
    }

    /// vectors: `[items, d]`.
    fn write(&mut self, items: &[Item], vectors: &Matrix) -> Result<()> {
        match self {
            Self::Jsonl(out, path) => {
                for (item, embedding) in items.iter().zip(vectors.rows()) {
                    let line = wire::EmbeddedLine { id: item.id.as_ref(), embedding };
                    let written = serde_json::to_writer(&mut *out, &line)
                        .map_err(std::io::Error::from)
                        .and_then(|()| out.write_all(b"\n"));
                    written.map_err(|e| Error::io("write", path, e))?;
                }
                out.flush().map_err(|e| Error::io("write", path, e))
            }
            Self::Npy { file, path, n, .. } => {
                *n += vectors.n();
                let bytes: Vec<u8> =
                    vectors.as_slice().iter().flat_map(|v| v.to_le_bytes()).collect();
                file.write_all(&bytes).map_err(|e| Error::io("write", path, e))
            }
        }
    }

    fn finish(self) -> Result<()> {
        let Self::Npy { mut file, path, n, d } = self else { return Ok(()) };
        let header = npy_header(n, d);
        let written = file
            .seek(SeekFrom::Start(0))
            .and_then(|_| file.write_all(&header))
            .and_then(|()| file.flush());
        written.map_err(|e| Error::io("write", &path, e))
    }
}

/// The header of a NumPy file of `[n, d]` f32, version 1.0; its length does not depend on `n`.
fn npy_header(n: usize, d: usize) -> Vec<u8> {
    let shape = format!("({n}, {d}), }}");
    let dict = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}");
    let mut header = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    header.extend(format!("{dict:<117}\n").into_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numpy_header_has_its_length_whatever_the_shape() {
        for (n, d) in [(0, 384), (123_456_789_012, 16_384)] {
            let header = npy_header(n, d);
            assert_eq!(header.len(), 128);
            assert_eq!(header.last(), Some(&b'\n'));
        }
    }
}
