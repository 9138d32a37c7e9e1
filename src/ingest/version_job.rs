//! VersionJob: makes one version from its difference to the previous one.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::build::{Built, Known, Sources, build};
use super::diff::Difference;
use super::facts::{History, write_facts};
use super::progress::Progress;
use super::sparse_model::Expander;
use super::staleness::parts;
use super::version_writer::{MadeFrom, VersionWriter};
use crate::base::config::Settings;
use crate::base::error::{Result, Warning};
use crate::base::hit::ChunkId;
use crate::base::telemetry::{RunContext, Stage, attrs};
use crate::corpus::chunk::Chunker;
use crate::corpus::git::Commit;
use crate::corpus::scip::ScipIndex;
use crate::corpus::source::{Repo, RepoPath, SkipReason, policy_fingerprint};
use crate::embedding::engine::Engine;
use crate::index::catalog::Catalog;
use crate::index::versions::{IndexVersion, ModelRecord, Staging};
use crate::index::{DenseIndex, Impacts, SparseIndex};

/// Seeds the sample that FAISS trains on, so that the same vectors always make the same index.
const TRAINING_SEED: u64 = 1234;

/// What a version takes over from the previous one.
pub enum Parent<'a> {
    /// No rows; the vectors of texts that occur again are reused, if there is a version.
    Vectors(Option<&'a IndexVersion>),
    /// All rows; changed files are appended.
    Rows(&'a IndexVersion),
}

/// One version to make.
pub struct VersionJob<'a> {
    pub repo: &'a Repo,
    pub engine: &'a Engine,
    /// The state of the model that the engine loaded, for the manifest.
    pub model_state: String,
    /// What expands the chunks, if the version has a sparse index.
    pub expander: Option<&'a Expander>,
    pub settings: &'a Settings,
    pub progress: &'a Arc<Progress>,
    pub difference: &'a Difference,
    pub parent: Parent<'a>,
}

/// The vectors of the previous version, and the row of each text.
struct Previous {
    dense: DenseIndex,
    /// The sparse index, if it has the same model.
    sparse: Option<SparseIndex>,
    rows: HashMap<[u8; 32], ChunkId>,
}

impl VersionJob<'_> {
    /// Writes the version into `staging` and publishes it.
    pub fn run(self, staging: Staging, cx: &RunContext) -> Result<(Built, IndexVersion)> {
        let previous = self.previous()?;
        let threads = self.settings.engine.thread_count();
        let mut writer = match self.parent {
            Parent::Vectors(_) => VersionWriter::create(staging, threads)?,
            Parent::Rows(parent) => {
                let mut writer = VersionWriter::append(staging, parent, threads)?;
                writer.delete_files(&self.difference.outdated)?;
                writer
            }
        };
        let (scip, warnings) = ScipIndex::open(self.repo);
        warnings.into_iter().for_each(|warning| cx.warn(warning));
        let changed = &self.difference.changed;
        let (mut built, history) = cx.stage(Stage::Build, |s| {
            let mut history = History::read(self.repo, self.settings, changed, writer.catalog())?;
            let commits = std::mem::take(&mut history.commits.last);
            let built = self.build(&mut writer, &scip, previous.as_ref(), commits, &s.cx())?;
            if writer.is_empty()? {
                let mut skipped = self.difference.skipped.clone();
                skipped.merge(&built.skipped);
                skipped.add_many(SkipReason::Empty, writer.catalog().paths().len());
                return Err(self.repo.nothing_to_index(&skipped));
            }
            s.set(attrs::CHUNKS, built.chunks);
            s.set(attrs::CHUNKS_EMBEDDED, built.embedded);
            s.set(attrs::TOKENS, built.tokens);
            Ok((built, history))
        })?;
        cx.stage(Stage::Facts, |_| {
            let changed = changed.len() + self.difference.removed;
            write_facts(writer.catalog(), self.repo, &history, changed)
        })?;
        if let Some(first) = built.scip_misfits.first() {
            cx.warn(outdated_scip(built.scip_misfits.len(), first));
        }
        if built.expansions_truncated > 0 {
            let message = format!(
                "{} of {} expanded chunks exceeded what the sparse model reads and were truncated; \
                 lower chunk.tokens_max",
                built.expansions_truncated, built.expanded
            );
            cx.warn(Warning::new("sparse-truncated", message));
        }
        let impacts = std::mem::take(&mut built.impacts);
        let (dense, sparse) = match previous {
            Some(Previous { dense, sparse, .. }) => (Some(dense), sparse),
            None => (None, None),
        };
        let dense = || self.dense(dense, &built);
        let sparse = || self.sparse(sparse, impacts);
        let version = writer.publish(dense, sparse, self.made_from(&scip), self.progress, cx)?;
        Ok((built, version))
    }

    fn previous(&self) -> Result<Option<Previous>> {
        let (Parent::Vectors(Some(version)) | Parent::Rows(version)) = self.parent else {
            return Ok(None);
        };
        let catalog = Catalog::open(&version.folder.catalog())?;
        let dense = DenseIndex::open(&version.folder.dense(), version.manifest.model.dim)?;
        let rows = catalog.chunk_hashes()?.into_iter().map(|(id, hash)| (hash, id)).collect();
        let sparse_key = version.manifest.sparse.as_ref().map(|record| &record.key);
        let has_same = |expander: &&Expander| sparse_key == Some(&expander.record.key);
        let sparse = self.expander.filter(has_same);
        let sparse = sparse.map(|_| SparseIndex::open(&version.folder.sparse())).transpose()?;
        Ok(Some(Previous { dense, sparse, rows }))
    }

    fn build(
        &self,
        writer: &mut VersionWriter<'_>,
        scip: &ScipIndex,
        previous: Option<&Previous>,
        commits: HashMap<RepoPath, Commit>,
        cx: &RunContext,
    ) -> Result<Built> {
        let entries = &self.difference.changed;
        self.progress.begin(entries.len(), entries.iter().map(|e| e.size_bytes as usize).sum());
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
            scip,
            engine: self.engine,
            expander: self.expander.map(|expander| &expander.engine),
            known: previous.map(|p| Known {
                rows: &p.rows,
                dense: &p.dense,
                sparse: p.sparse.as_ref(),
            }),
            progress: self.progress,
        };
        build(&sources, writer, cx)
    }

    /// The sparse index of all rows, if the version has one. impacts: of the new rows.
    fn sparse(
        &self,
        previous: Option<SparseIndex>,
        impacts: Vec<Impacts>,
    ) -> Result<Option<SparseIndex>> {
        match (&self.parent, previous) {
            _ if self.expander.is_none() => Ok(None),
            (Parent::Rows(_), Some(mut sparse)) => {
                sparse.append(impacts)?;
                Ok(Some(sparse))
            }
            _ => SparseIndex::build(&impacts).map(Some),
        }
    }

    fn dense(&self, previous: Option<DenseIndex>, built: &Built) -> Result<DenseIndex> {
        match (&self.parent, previous) {
            (Parent::Rows(_), Some(mut dense)) => {
                dense.append(&built.vectors)?;
                Ok(dense)
            }
            _ => DenseIndex::build(&built.vectors, self.settings.index.dense_kind, TRAINING_SEED),
        }
    }

    fn made_from(&self, scip: &ScipIndex) -> MadeFrom {
        // The rows of the parent are from its index.scip, even if that changed a moment ago.
        let scip = match &self.parent {
            Parent::Rows(version) => &version.manifest.scip,
            Parent::Vectors(_) => scip.fingerprint(),
        };
        let identity = self.engine.identity();
        MadeFrom {
            roots: self.repo.roots().map(|root| root.display().to_string()).collect(),
            model: ModelRecord {
                name: recorded_name(&self.settings.model.name, &identity.name),
                key: identity.index_key(),
                dim: identity.dim,
                parts: Some(parts(identity)),
            },
            sparse: self.expander.map(|expander| expander.record.clone()),
            model_state: self.model_state.clone(),
            chunk_tokens_max: self.settings.chunk.tokens_max,
            policy: policy_fingerprint(&self.settings.index),
            scip: scip.to_owned(),
        }
    }
}

/// The warning that `files` files, of which `first` is one, were edited after index.scip was made.
fn outdated_scip(files: usize, first: &RepoPath) -> Warning {
    let which = match files {
        1 => first.to_string(),
        _ => format!("{files} files, such as {first}"),
    };
    let message = format!(
        "index.scip does not fit {which}: edited since it was made; until it is made again, their \
         definitions and references come from the syntax trees"
    );
    Warning::new("scip-outdated", message)
}

/// The name under which a later search finds the model: the absolute path of a folder, or else `name`.
/// model: what the settings select.
pub fn recorded_name(model: &str, name: &str) -> String {
    let folder = Path::new(model);
    match folder.is_dir().then(|| folder.canonicalize()) {
        Some(Ok(path)) => path.display().to_string(),
        _ => name.to_owned(),
    }
}
