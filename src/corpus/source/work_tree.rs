//! WorkTree: what git says about the files below a folder.

use std::cell::OnceCell;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

use gix::attrs::StateRef;
use gix::attrs::search::Outcome;
use gix::bstr::{BStr, BString, ByteSlice};
use gix::glob::pattern::Case;
use gix::index::entry::Mode;
use gix::worktree::Stack;
use gix::worktree::stack::{Platform, State, state};
use ignore::gitignore::Gitignore;

use super::Marks;

/// The attributes that are looked up, in the order of [`Marks`].
const ATTRIBUTES: [&str; 2] = ["linguist-generated", "linguist-vendored"];

/// The rules and the index of one repository, or the rules of a folder outside of any.
pub(super) struct WorkTree {
    /// Paths are matched relative to this folder.
    pub base: PathBuf,
    stack: Stack,
    attributes: Outcome,
    /// `None` outside of a repository.
    git: Option<Git>,
    /// The user's excludes file, which [`WorkTree::stack`] of a repository knows.
    global: Option<Gitignore>,
}

struct Git {
    repository: gix::Repository,
    index: gix::worktree::Index,
    ignores_case: bool,
    /// Tracked paths and the folders above them in lower case, if case is ignored.
    lower: OnceCell<HashSet<BString>>,
}

impl WorkTree {
    /// The work tree that `folder` is in, or else the rules that apply to it outside of a repository.
    ///
    /// folder: absolute, with all links resolved.
    pub fn of(folder: &Path) -> Self {
        let found = gix::discover(folder).ok().and_then(Self::of_repository);
        found.filter(|tree| folder.starts_with(&tree.base)).unwrap_or_else(|| Self::plain(folder))
    }

    /// The work tree whose top is `folder`; `None` if git would not take it for one.
    pub fn at(folder: &Path) -> Option<Self> {
        let tree = gix::open(folder).ok().and_then(Self::of_repository)?;
        (tree.base == folder).then_some(tree)
    }

    fn of_repository(repository: gix::Repository) -> Option<Self> {
        let base = repository.workdir()?.canonicalize().ok()?;
        let index = repository.index_or_empty().ok()?;
        let stack = repository.attributes(
            &index,
            state::attributes::Source::WorktreeThenIdMapping,
            state::ignore::Source::WorktreeThenIdMappingIfNotSkipped,
            None,
        );
        let stack = stack.ok()?.detach();
        let attributes = stack.selected_attribute_matches(ATTRIBUTES);
        let ignores_case =
            repository.config_snapshot().boolean("core.ignoreCase").unwrap_or_default();
        let git = Git { repository, index, ignores_case, lower: OnceCell::new() };
        Some(Self { base, stack, attributes, git: Some(git), global: None })
    }

    /// `.gitignore` and `.gitattributes` of the folder and of those above it.
    fn plain(folder: &Path) -> Self {
        let base = folder.ancestors().last().unwrap_or(folder).to_path_buf();
        let attributes = state::Attributes::new(
            gix::attrs::Search::default(),
            None,
            state::attributes::Source::WorktreeThenIdMapping,
            gix::attrs::search::MetadataCollection::default(),
        );
        let rules =
            State::AttributesAndIgnoreStack { attributes, ignore: state::Ignore::default() };
        let stack = Stack::new(&base, rules, Case::Sensitive, Vec::new(), Vec::new());
        let attributes = stack.selected_attribute_matches(ATTRIBUTES);
        Self { base, stack, attributes, git: None, global: Some(Gitignore::global().0) }
    }

    /// Whether the rules exclude a path that git does not track, nor anything below it.
    ///
    /// path: absolute, below [`WorkTree::base`].
    pub fn excludes(&mut self, path: &Path, is_dir: bool) -> bool {
        let is_global = |rules: &Gitignore| rules.matched(path, is_dir).is_ignore();
        let global = self.global.as_ref().is_some_and(is_global);
        let Some(relative) = self.relative(path) else { return false };
        let mode = if is_dir { Mode::DIR } else { Mode::FILE };
        let by_files = self.platform(relative.as_ref(), mode).and_then(|platform| {
            let found = platform.matching_exclude_pattern()?;
            Some(!found.pattern.is_negative())
        });
        by_files.unwrap_or(global) && !self.tracks(relative.as_ref(), is_dir)
    }

    /// The attributes of a file.
    pub fn marks(&mut self, path: &Path) -> Marks {
        let Some(relative) = self.relative(path) else { return Marks::default() };
        let mut found = std::mem::take(&mut self.attributes);
        let matched = self
            .platform(relative.as_ref(), Mode::FILE)
            .is_some_and(|platform| platform.matching_attributes(&mut found));
        let mut marks = Marks::default();
        if matched {
            let states = found.iter_selected().map(|one| match one.assignment.state {
                StateRef::Set => Some(true),
                StateRef::Unset => Some(false),
                StateRef::Value(value) => match value.as_bstr().as_bytes() {
                    b"true" => Some(true),
                    b"false" => Some(false),
                    _ => None,
                },
                StateRef::Unspecified => None,
            });
            let states: Vec<Option<bool>> = states.collect();
            marks = Marks { generated: states[0], vendored: states[1] };
        }
        self.attributes = found;
        marks
    }

    /// Whether git tracks a file, or a file below a folder.
    fn tracks(&self, relative: &BStr, is_dir: bool) -> bool {
        let Some(git) = &self.git else { return false };
        let index = &git.index;
        let is_tracked = if is_dir {
            index.path_is_directory(relative)
        } else {
            index.entry_by_path(relative).is_some()
        };
        is_tracked
            || git.ignores_case && git.lower().contains(&BString::from(relative.to_lowercase()))
    }

    fn platform(&mut self, relative: &BStr, mode: Mode) -> Option<Platform<'_>> {
        let found = match &self.git {
            Some(git) => self.stack.at_entry(relative, Some(mode), &git.repository.objects),
            None => self.stack.at_entry(relative, Some(mode), &gix::objs::find::Never),
        };
        // A rule file that cannot be read has no rules.
        found.ok()
    }

    fn relative(&self, path: &Path) -> Option<BString> {
        let relative = path.strip_prefix(&self.base).ok()?;
        let relative = gix::path::into_bstr(relative).ok()?;
        Some(gix::path::to_unix_separators_on_windows(relative).into_owned())
    }
}

impl Git {
    fn lower(&self) -> &HashSet<BString> {
        self.lower.get_or_init(|| {
            let mut paths = HashSet::new();
            for entry in self.index.entries() {
                let path = entry.path(&self.index).to_lowercase();
                let ends = path.find_iter(b"/").chain([path.len()]);
                paths.extend(ends.map(|end| BString::from(&path[..end])));
            }
            paths
        })
    }
}
