//! The files of a vector index.
//!
//! - `dense.faiss`: what FAISS writes, then a footer of [`FOOTER_BYTES`];
//! - `vectors.f32`: the rows in full precision, `[n, d]`, row-major, little-endian, for every kind
//!   except flat, whose index contains the rows;
//! - `dense.delta.faiss`: the secondary index and its footer, if there is one.
//!
//! The footer holds the factory string, the shape, the length and a digest. FAISS trusts its own
//! headers, so a file is passed to it only if the digest matches: a wrong size in a header would make
//! it allocate terabytes, a wrong link in a graph would make it read out of bounds.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use crate::base::error::{Error, Result};
use crate::index::versions::file::{
    corrupt, digest, map, or_disk_full, remove_if_there, replace, replace_with,
};

use super::DenseIndex;
use super::ffi::Faiss;
use super::kind::DenseKind;
use super::rows::{Rows, numbers};

const PRIMARY: &str = "dense.faiss";
const VECTORS: &str = "vectors.f32";
const SECONDARY: &str = "dense.delta.faiss";

const MAGIC: &[u8; 8] = b"CIDENSE1";
const FACTORY_BYTES: usize = 64;
const ABOUT_BYTES: usize = FACTORY_BYTES + 4 + 4 + 8 + 8;
const FOOTER_BYTES: usize = ABOUT_BYTES + 32 + MAGIC.len();

const KINDS: [DenseKind; 4] =
    [DenseKind::Flat, DenseKind::IvfFlat, DenseKind::IvfPq, DenseKind::Hnsw];

impl DenseIndex {
    /// Writes every file of this index into `folder`, each by a rename.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let vectors = folder.join(VECTORS);
        match &self.rows {
            Rows::InIndex => {
                remove_if_there(&vectors).map_err(|e| Error::io("remove", &vectors, e))?;
            }
            rows => replace_with(&vectors, &[rows.bytes(&self.primary)])?,
        }
        write_with_footer(&folder.join(PRIMARY), &self.primary, self.kind, &self.factory)?;
        self.save_delta(folder)
    }

    /// Writes only the secondary index, into a folder that has the primary one.
    pub fn save_delta(&self, folder: &Path) -> Result<()> {
        let path = folder.join(SECONDARY);
        match &self.secondary {
            Some(index) => write_with_footer(&path, index, DenseKind::Flat, "Flat"),
            None => remove_if_there(&path).map_err(|e| Error::io("remove", &path, e)),
        }
    }

    /// Opens the index in `folder`, memory-mapped. Rows of other than `d` values are an error.
    pub fn open(folder: &Path, d: usize) -> Result<Self> {
        let path = folder.join(PRIMARY);
        let footer = Footer::check(&path)?;
        if footer.d != d {
            return Err(Error::Dimension { what: "vector index", expected: d, found: footer.d });
        }
        let primary = read_checked(&path, &footer, true)?;
        let rows = match footer.kind {
            DenseKind::Flat if primary.flat_rows().is_some() => Rows::InIndex,
            DenseKind::Flat => {
                return Err(corrupt(&path, "its footer calls it flat, but it is not"));
            }
            _ => open_vectors(&folder.join(VECTORS), &footer)?,
        };
        let secondary = open_secondary(&folder.join(SECONDARY), d)?;
        Ok(Self { primary, secondary, rows, kind: footer.kind, factory: footer.factory })
    }
}

fn open_vectors(path: &Path, footer: &Footer) -> Result<Rows> {
    let bytes = map(path)?;
    let expected = footer.n * footer.d * 4;
    if bytes.len() != expected {
        let found = bytes.len();
        return Err(corrupt(path, format!("it has {found} bytes, not {expected}")));
    }
    Ok(Rows::Mapped(bytes))
}

/// Reads the secondary index into memory, because it is small and grows.
fn open_secondary(path: &Path, d: usize) -> Result<Option<Faiss>> {
    if !path.try_exists().map_err(|source| Error::io("look for", path, source))? {
        return Ok(None);
    }
    let footer = Footer::check(path)?;
    if footer.d != d || footer.kind != DenseKind::Flat {
        let found = format!("it is {} over {} values, not flat over {d}", footer.kind, footer.d);
        return Err(corrupt(path, found));
    }
    let read = read_checked(path, &footer, false)?;
    // An index that was read cannot grow; a new one owns its rows.
    let mut index = Faiss::new("Flat", d)?;
    let rows = read.flat_rows().ok_or_else(|| corrupt(path, "it is not flat"))?;
    index.add(&numbers(rows).collect::<Vec<_>>())?;
    Ok(Some(index))
}

fn write_with_footer(path: &Path, index: &Faiss, kind: DenseKind, factory: &str) -> Result<()> {
    replace(path, |fresh| {
        let folder = path.parent().unwrap_or(path);
        let full = |error| or_disk_full(error, folder);
        index.write(fresh).map_err(full)?;
        // FAISS does not report a failure to write the last bytes of a file.
        let read = Faiss::read(fresh, true).map_err(full)?;
        if (read.n(), read.d()) != (index.n(), index.d()) {
            let (n, d) = (read.n(), read.d());
            return Err(corrupt(path, format!("only {n} x {d} values were written")));
        }
        drop(read);
        let body = map(fresh)?;
        let footer = Footer {
            factory: factory.to_owned(),
            kind,
            d: index.d(),
            n: index.n(),
            body_bytes: body.len(),
        };
        let about = footer.about();
        let digest = digest(&body, &about);
        drop(body);
        let io = |source| Error::io("write", path, source);
        let mut file = OpenOptions::new().append(true).open(fresh).map_err(io)?;
        file.write_all(&[&about[..], &digest, MAGIC].concat()).map_err(io)
    })
}

fn read_checked(path: &Path, footer: &Footer, mapped: bool) -> Result<Faiss> {
    let index = Faiss::read(path, mapped).map_err(|error| corrupt(path, error.to_string()))?;
    if (index.n(), index.d()) != (footer.n, footer.d) {
        let (n, d) = (index.n(), index.d());
        return Err(corrupt(path, format!("it holds {n} x {d}, not {} x {}", footer.n, footer.d)));
    }
    Ok(index)
}

/// The footer behind the bytes of FAISS.
struct Footer {
    factory: String,
    kind: DenseKind,
    d: usize,
    n: usize,
    body_bytes: usize,
}

impl Footer {
    /// The footer without its digest: `[ABOUT_BYTES]`.
    fn about(&self) -> Vec<u8> {
        let mut factory = self.factory.clone().into_bytes();
        factory.resize(FACTORY_BYTES, 0);
        let kind = KINDS.iter().position(|k| *k == self.kind).unwrap_or(0) as u32;
        [
            &factory[..],
            &kind.to_le_bytes(),
            &(self.d as u32).to_le_bytes(),
            &(self.n as u64).to_le_bytes(),
            &(self.body_bytes as u64).to_le_bytes(),
        ]
        .concat()
    }

    /// Reads the footer of a file and checks every byte before it.
    fn check(path: &Path) -> Result<Self> {
        let file = map(path)?;
        let (body, footer) = file
            .split_last_chunk::<FOOTER_BYTES>()
            .ok_or_else(|| corrupt(path, format!("it has only {} bytes", file.len())))?;
        let (about, rest) = footer.split_at(ABOUT_BYTES);
        let (stored, magic) = rest.split_at(32);
        if magic != MAGIC {
            return Err(corrupt(path, "it does not end with the footer of a vector index"));
        }
        if digest(body, about) != stored {
            return Err(corrupt(path, "its digest does not match its bytes"));
        }
        let (name, numbers) = about.split_at(FACTORY_BYTES);
        let u32_at = |at: usize| {
            u32::from_le_bytes([numbers[at], numbers[at + 1], numbers[at + 2], numbers[at + 3]])
        };
        let usize_at =
            |at: usize| (u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32) as usize;
        let kind = KINDS.get(u32_at(0) as usize).copied();
        let footer = Self {
            factory: String::from_utf8_lossy(name).trim_end_matches('\0').to_owned(),
            kind: kind.ok_or_else(|| corrupt(path, "its kind is unknown"))?,
            d: u32_at(4) as usize,
            n: usize_at(8),
            body_bytes: usize_at(16),
        };
        if footer.body_bytes != body.len() {
            return Err(corrupt(path, "its length does not match its footer"));
        }
        Ok(footer)
    }
}

/// The longest factory string fits the footer.
const _: () = assert!(FACTORY_BYTES >= "IVF18446744073709551615,PQ18446744073709551615np".len());

#[cfg(test)]
mod tests {
    use std::fs;

    use crate::index::dense::tests::{clustered, ids, params};

    use super::*;

    const D: usize = 32;

    fn all_kinds() -> impl Iterator<Item = (DenseKind, DenseIndex)> {
        KINDS.into_iter().map(|kind| {
            let n = if kind == DenseKind::IvfPq { 10_000 } else { 600 };
            let mut index = DenseIndex::build(&clustered(n, D, 3), kind, 7).unwrap();
            index.append(&clustered(20, D, 4)).unwrap();
            (kind, index)
        })
    }

    #[test]
    fn what_is_saved_is_what_is_opened_for_every_kind() {
        for (kind, index) in all_kinds() {
            let folder = tempfile::tempdir().unwrap();
            index.save(folder.path()).unwrap();
            let again = DenseIndex::open(folder.path(), D).unwrap();
            assert_eq!(again.factory(), index.factory());
            assert_eq!((again.n(), again.kind_name()), (index.n(), index.kind_name()));
            for query in clustered(20, D, 5).rows() {
                let expected = index.search(query, 10, &params(None)).unwrap();
                assert_eq!(again.search(query, 10, &params(None)).unwrap(), expected, "{kind}");
            }
            let last = index.n() as u32 - 1;
            for id in [0, 599, last] {
                let id = crate::base::hit::ChunkId(id);
                assert_eq!(again.vector(id).unwrap(), index.vector(id).unwrap());
            }
        }
    }

    #[test]
    fn an_opened_index_can_grow_and_the_version_it_came_from_does_not() {
        let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let index = DenseIndex::build(&clustered(300, D, 3), DenseKind::Flat, 7).unwrap();
        index.save(old.path()).unwrap();
        for round in 0..2 {
            for entry in fs::read_dir(old.path()).unwrap() {
                let name = entry.unwrap().file_name();
                let _ = fs::remove_file(new.path().join(&name));
                let _ = fs::remove_file(new.path().join(SECONDARY));
                fs::hard_link(old.path().join(&name), new.path().join(&name)).unwrap();
            }
            let mut grown = DenseIndex::open(new.path(), D).unwrap();
            grown.append(&clustered(10, D, 8 + round)).unwrap();
            grown.save(new.path()).unwrap();
            assert_eq!(DenseIndex::open(new.path(), D).unwrap().n(), 310);
            let before = DenseIndex::open(old.path(), D).unwrap();
            assert_eq!((before.n(), before.kind_name()), (300, "Flat"));
        }
    }

    #[test]
    fn saving_removes_what_the_index_no_longer_has() {
        let folder = tempfile::tempdir().unwrap();
        let mut index = DenseIndex::build(&clustered(100, D, 3), DenseKind::Hnsw, 7).unwrap();
        index.append(&clustered(3, D, 4)).unwrap();
        index.save(folder.path()).unwrap();
        DenseIndex::build(&clustered(50, D, 3), DenseKind::Flat, 7)
            .unwrap()
            .save(folder.path())
            .unwrap();
        let names: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, [PRIMARY]);
    }

    #[test]
    fn a_damaged_file_of_any_kind_is_refused_with_its_path() {
        for (kind, index) in all_kinds() {
            let folder = tempfile::tempdir().unwrap();
            index.save(folder.path()).unwrap();
            for name in [PRIMARY, VECTORS, SECONDARY] {
                let path = folder.path().join(name);
                let Ok(whole) = fs::read(&path) else { continue };
                let n = whole.len();
                for length in [0, 1, 8, 127, 128, 129, n / 3, n / 2, n - 129, n - 128, n - 1] {
                    fs::write(&path, &whole[..length.min(n - 1)]).unwrap();
                    refused(folder.path(), name, &format!("{kind} cut to {length}"));
                }
                let flips = if name == VECTORS { 0 } else { 60 };
                for i in 0..flips {
                    let mut bytes = whole.clone();
                    bytes[i * (n - 1) / 59] ^= 0x55;
                    fs::write(&path, bytes).unwrap();
                    refused(folder.path(), name, &format!("{kind} flipped at {i}/59"));
                }
                fs::write(&path, vec![0xff; n]).unwrap();
                if name != VECTORS {
                    refused(folder.path(), name, "garbage");
                }
                fs::write(&path, &whole).unwrap();
            }
            fs::remove_file(folder.path().join(PRIMARY)).unwrap();
            refused(folder.path(), PRIMARY, "missing");
        }
    }

    fn refused(folder: &Path, name: &str, how: &str) {
        match DenseIndex::open(folder, D) {
            Err(Error::IndexCorrupt { path, .. }) => assert!(path.ends_with(name), "{how}"),
            Err(other) => panic!("{how}: {other}"),
            Ok(_) => panic!("{how}: opened"),
        }
    }

    #[test]
    fn rows_that_are_not_numbers_are_an_error_when_they_are_met() {
        let folder = tempfile::tempdir().unwrap();
        let rows = clustered(600, D, 3);
        DenseIndex::build(&rows, DenseKind::Hnsw, 7).unwrap().save(folder.path()).unwrap();
        fs::write(folder.path().join(VECTORS), vec![0xff; 600 * D * 4]).unwrap();
        let index = DenseIndex::open(folder.path(), D).unwrap();
        let found = index.search(rows.row(0), 5, &params(None));
        assert!(matches!(found, Err(Error::NotFinite { .. })));
    }

    #[test]
    fn another_dimension_is_refused_with_both_named() {
        let folder = tempfile::tempdir().unwrap();
        let index = DenseIndex::build(&clustered(50, D, 3), DenseKind::Flat, 7).unwrap();
        index.save(folder.path()).unwrap();
        let message = DenseIndex::open(folder.path(), 48).err().unwrap().to_string();
        assert!(message.contains("48") && message.contains("32"), "{message}");
    }

    #[test]
    fn append_and_save_equals_a_fresh_build() {
        let folder = tempfile::tempdir().unwrap();
        let all = clustered(500, D, 3);
        let part = |range: std::ops::Range<usize>| {
            crate::base::vector::Matrix::new(
                all.as_slice()[range.start * D..range.end * D].to_vec(),
                D,
            )
            .unwrap()
        };
        let fresh = DenseIndex::build(&all, DenseKind::Flat, 7).unwrap();
        let mut grown = DenseIndex::build(&part(0..400), DenseKind::Flat, 7).unwrap();
        grown.append(&part(400..450)).unwrap();
        grown.save(folder.path()).unwrap();
        let mut grown = DenseIndex::open(folder.path(), D).unwrap();
        grown.append(&part(450..500)).unwrap();
        grown.save_delta(folder.path()).unwrap();
        let grown = DenseIndex::open(folder.path(), D).unwrap();
        for query in clustered(30, D, 9).rows() {
            let found = grown.search(query, 25, &params(None)).unwrap();
            assert_eq!(found, fresh.search(query, 25, &params(None)).unwrap());
            assert_eq!(ids(&found).len(), 25);
        }
    }
}
