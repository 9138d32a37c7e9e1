//! How is one version written, from its difference to the version before?

use std::collections::HashMap;
use std::path::Path;

use super::build::{Built, Known, Sources, Target, build};
use super::diff::Difference;
use super::prepare::now_s;
use super::progress::{Phase, Progress};
use crate::base::config::Settings;
use crate::base::error::Result;
use crate::base::hit::ChunkId;
use crate::base::telemetry::{RunContext, Stage, attrs};
use crate::base::vector::Matrix;
use crate::corpus::chunk::{Chunker, HEADER_VERSION, SymbolKind};
use crate::corpus::source::Repo;
use crate::embedding::engine::Engine;
use crate::index::catalog::{Catalog, CatalogWriter, RunRow, VersionRow};
use crate::index::versions::{
    FORMAT, IndexVersion, ModelRecord, Staging, VersionFolder, VersionManifest, now,
};
use crate::index::{DenseIndex, LexicalWriter, SymbolEntry, SymbolIndex};

/// FAISS trains on a sample; the same vectors always give the same index.
const TRAINING_SEED: u64 = 1234;

/// How a version is made from the one before.
pub enum Shape<'a> {
    /// Every row is new; vectors of the version before are still used.
    Whole(Option<&'a IndexVersion>),
    /// The rows of the version before stay, changed files are appended.
    Delta(&'a IndexVersion),
}

/// One version to write.
pub struct Job<'a> {
    pub repo: &'a Repo,
    pub engine: &'a Engine,
    pub settings: &'a Settings,
    pub progress: &'a Progress,
    pub difference: &'a Difference,
    pub shape: Shape<'a>,
}

/// The vectors of the version before, and where each text's vector is.
struct Before {
    dense: DenseIndex,
    rows: HashMap<[u8; 32], ChunkId>,
}

impl Job<'_> {
    /// Writes the version into `staging` and publishes it.
    pub fn write(self, staging: Staging, cx: &RunContext) -> Result<(Built, IndexVersion)> {
        let folder = staging.folder().clone();
        let before = self.before()?;
        let mut target = self.target(&staging)?;
        self.delete(&mut target)?;
        let built = cx.stage(Stage::Build, |s| {
            let built = self.build(&mut target, before.as_ref(), &s.cx())?;
            s.set(attrs::CHUNKS, built.chunks);
            s.set(attrs::CHUNKS_EMBEDDED, built.embedded);
            s.set(attrs::TOKENS, built.tokens);
            Ok(built)
        })?;
        let Target { mut catalog, lexical, vectors, next } = target;
        let total = next as usize;
        self.progress.enter(Phase::Indexing);
        let dense = cx.stage(Stage::Index, |s| {
            lexical.finish()?;
            let dense = self.dense(before, &vectors)?;
            match self.shape {
                Shape::Whole(_) => dense.save(&folder.dense())?,
                Shape::Delta(_) => dense.save_delta(&folder.dense())?,
            }
            s.set(attrs::CHUNKS, total);
            s.set(attrs::FAISS_INDEX_KIND, dense.kind_name());
            Ok(dense)
        })?;
        let manifest = cx.stage(Stage::Catalog, |_| {
            let counts = catalog.counts()?;
            if counts.chunks == 0 {
                let mut skipped = self.difference.skipped.clone();
                skipped.merge(&built.skipped);
                return Err(self.repo.nothing_to_index(&skipped));
            }
            let manifest = self.manifest(&staging, &dense, total, (counts.files, counts.chunks));
            let report = cx.report();
            // The stages of the journey itself; what lies within them is in their times.
            let stages = report.steps.iter().filter(|step| step.depth == 1);
            let steps = stages.clone().map(|step| {
                format!("{}={:.1}ms", step.stage.name(), step.duration.as_secs_f64() * 1e3)
            });
            catalog.record_run(&RunRow {
                run_id: report.run_id.clone(),
                started_at_ms: now_s() * 1000,
                tool: report.tool.as_str().to_owned(),
                duration_ms: stages.map(|step| step.duration.as_millis() as u64).sum(),
                status: "publishing".to_owned(),
                report: steps.collect::<Vec<_>>().join(" "),
            })?;
            catalog.record_version(&VersionRow {
                name: manifest.version.clone(),
                created_at_s: now_s(),
                files: counts.files,
                chunks: counts.chunks,
                symbols: counts.symbols,
                model: manifest.model.key.clone(),
            })?;
            catalog.finish()?;
            write_symbols(&folder)?;
            Ok(manifest)
        })?;
        self.progress.enter(Phase::Publishing);
        let parent = match self.shape {
            Shape::Delta(parent) => Some(parent),
            Shape::Whole(_) => None,
        };
        let version = cx.stage(Stage::Publish, |s| {
            s.set(attrs::VERSION, manifest.version.clone());
            staging.publish(manifest, parent)
        })?;
        Ok((built, version))
    }

    fn before(&self) -> Result<Option<Before>> {
        let (Shape::Whole(Some(version)) | Shape::Delta(version)) = self.shape else {
            return Ok(None);
        };
        let catalog = Catalog::open(&version.folder.catalog())?;
        let dense = DenseIndex::open(&version.folder.dense(), version.manifest.model.dim)?;
        let rows =
            catalog.chunk_hashes(0..u32::MAX)?.into_iter().map(|(id, hash)| (hash, id)).collect();
        Ok(Some(Before { dense, rows }))
    }

    fn target(&self, staging: &Staging) -> Result<Target> {
        let folder = staging.folder();
        let vectors = Matrix::with_capacity(0, self.engine.identity().dim);
        let threads = self.settings.engine.thread_count();
        Ok(match self.shape {
            Shape::Whole(_) => Target {
                catalog: CatalogWriter::create(&folder.catalog())?,
                lexical: LexicalWriter::create(&folder.lexical(), threads)?,
                vectors,
                next: 0,
            },
            Shape::Delta(parent) => {
                staging.link(parent)?;
                Target {
                    catalog: CatalogWriter::open(&folder.catalog())?,
                    lexical: LexicalWriter::append(&folder.lexical(), threads)?,
                    vectors,
                    next: parent.manifest.total_chunks as u32,
                }
            }
        })
    }

    /// Takes the outdated files out. Their rows stay in the vectors, where searches pass them over.
    fn delete(&self, target: &mut Target) -> Result<()> {
        if matches!(self.shape, Shape::Whole(_)) {
            return Ok(());
        }
        let gone = target.catalog.delete_files(&self.difference.outdated)?;
        gone.iter().for_each(|id| target.lexical.delete_chunk(*id));
        Ok(())
    }

    fn build(
        &self,
        target: &mut Target,
        before: Option<&Before>,
        cx: &RunContext,
    ) -> Result<Built> {
        let entries = &self.difference.changed;
        self.progress.begin(entries.len(), entries.iter().map(|e| e.size_bytes as usize).sum());
        let commits = match self.settings.source.history {
            true => {
                let wanted: Vec<_> = entries.iter().map(|e| e.path.clone()).collect();
                self.repo.last_commits(&wanted)
            }
            false => HashMap::new(),
        };
        let identity = self.engine.identity();
        // The model's prompt takes room from the chunk, and leaves it half of what the model reads.
        let prompt = self.engine.tokenizer().count_lines(&[&identity.document_prompt])[0] as usize;
        let room = identity.max_tokens.saturating_sub(prompt).max(identity.max_tokens / 2);
        let budget = self.settings.chunk.tokens_max.min(room);
        let sources = Sources {
            repo: self.repo,
            entries,
            commits,
            chunker: Chunker::new(budget, self.engine.tokenizer().specials()),
            engine: self.engine,
            known: before.map(|b| Known { rows: &b.rows, dense: &b.dense }),
            progress: self.progress,
        };
        build(&sources, target, cx)
    }

    fn dense(&self, before: Option<Before>, vectors: &Matrix) -> Result<DenseIndex> {
        match (&self.shape, before) {
            (Shape::Delta(_), Some(Before { mut dense, .. })) => {
                dense.append(vectors)?;
                Ok(dense)
            }
            _ => DenseIndex::build(vectors, self.settings.index.dense_kind, TRAINING_SEED),
        }
    }

    fn manifest(
        &self,
        staging: &Staging,
        dense: &DenseIndex,
        total_chunks: usize,
        (files, live_chunks): (u64, u64),
    ) -> VersionManifest {
        let identity = self.engine.identity();
        VersionManifest {
            format: FORMAT,
            version: staging.name().to_owned(),
            created_at: now(),
            roots: self.repo.roots().map(|root| root.display().to_string()).collect(),
            model: ModelRecord {
                name: model_name(self.settings, &identity.name),
                key: identity.index_key(),
                dim: identity.dim,
            },
            chunk_tokens_max: self.settings.chunk.tokens_max,
            header_version: HEADER_VERSION,
            base_chunks: match self.shape {
                Shape::Whole(_) => total_chunks,
                Shape::Delta(parent) => parent.manifest.base_chunks,
            },
            total_chunks,
            live_chunks: live_chunks as usize,
            files: files as usize,
            dense_factory: dense.factory().to_owned(),
            dense_kind: dense.kind_name().to_owned(),
            parts: Vec::new(),
        }
    }
}

fn write_symbols(folder: &VersionFolder) -> Result<()> {
    let catalog = Catalog::open(&folder.catalog())?;
    let symbols = catalog.symbols()?;
    let entries = symbols.iter().map(|symbol| SymbolEntry {
        name: &symbol.name,
        qualified: &symbol.qualified,
        // A word of no kind is penalised as little as a function.
        kind: SymbolKind::parse(&symbol.kind).unwrap_or(SymbolKind::Function),
        id: symbol.chunk,
    });
    SymbolIndex::build(entries)?.save(&folder.symbols())
}

/// How a later search finds the model again: a folder by its whole path, else the name.
pub fn model_name(settings: &Settings, name: &str) -> String {
    let folder = Path::new(&settings.model.name);
    match folder.is_dir().then(|| folder.canonicalize()) {
        Some(Ok(path)) => path.display().to_string(),
        _ => name.to_owned(),
    }
}
