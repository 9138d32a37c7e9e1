//! Walk: visits the folders of one root and lists the files that no rule excludes.

use std::cell::RefCell;
use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, DirEntry, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use ignore::gitignore::Gitignore;

use super::listing::{Entry, Listing, NEVER};
use super::repo::Root;
use super::work_tree::WorkTree;
use super::{Marks, Repo, RepoPath, SkipReason};

/// Ignore rules that only this program reads, in the syntax of `.gitignore`.
const IGNORE_FILE_NAME: &str = ".codeintelignore";
/// What the folder of a repository without a work tree holds.
pub(super) const GIT_DATA: [&str; 3] = ["HEAD", "objects", "refs"];

/// The sets of rules that a walk applies.
#[derive(Clone, Copy)]
pub(super) struct Rules {
    pub git: bool,
    pub codeintel: bool,
    pub hidden: bool,
}

/// A walk of one root.
pub(super) struct Walk<'a> {
    pub repo: &'a Repo,
    pub root: &'a Root,
    pub rules: Rules,
    pub is_over: &'a dyn Fn() -> bool,
    pub found: Listing,
}

/// A folder to visit, with the rules that apply to it.
struct Folder {
    path: PathBuf,
    tree: Rc<RefCell<WorkTree>>,
    own: Option<Rc<OwnRules>>,
}

/// The `.codeintelignore` of a folder, and those of the folders above it.
struct OwnRules {
    rules: Gitignore,
    above: Option<Rc<OwnRules>>,
}

impl OwnRules {
    /// Adds the rules of `folder`, if it has some, to those above it.
    fn of(folder: &Path, above: Option<Rc<Self>>) -> Option<Rc<Self>> {
        let file = folder.join(IGNORE_FILE_NAME);
        if !file.is_file() {
            return above;
        }
        Some(Rc::new(Self { rules: Gitignore::new(file).0, above }))
    }

    fn excludes(&self, path: &Path, is_dir: bool) -> bool {
        match self.rules.matched(path, is_dir) {
            ignore::Match::None => self.above.as_ref().is_some_and(|a| a.excludes(path, is_dir)),
            found => found.is_ignore(),
        }
    }
}

impl Walk<'_> {
    /// Visits all folders of the root, or those before the time is over.
    pub fn run(mut self) -> Listing {
        let root = &self.root.path;
        let above: Vec<&Path> = root.ancestors().skip(1).collect();
        let own = above.iter().rev().fold(None, |own, folder| OwnRules::of(folder, own));
        let tree = Rc::new(RefCell::new(WorkTree::of(root)));
        let mut folders = vec![Folder { path: root.clone(), tree, own }];
        while let Some(folder) = folders.pop() {
            if (self.is_over)() {
                break;
            }
            let path = folder.path.clone();
            if self.visit(folder, &mut folders).is_err() {
                self.leave_out(&path, SkipReason::Unreadable);
            }
        }
        self.found
    }

    /// Takes the files of a folder, and adds its folders to `folders`.
    fn visit(&mut self, folder: Folder, folders: &mut Vec<Folder>) -> io::Result<()> {
        let Folder { path, mut tree, own } = folder;
        let entries: Vec<DirEntry> = fs::read_dir(&path)?.collect::<io::Result<_>>()?;
        let names: HashSet<OsString> = entries.iter().map(DirEntry::file_name).collect();
        let has = |name: &str| names.contains(std::ffi::OsStr::new(name));
        if has(".git")
            && tree.borrow().base != path
            && let Some(inner) = WorkTree::at(&path)
        {
            tree = Rc::new(RefCell::new(inner));
        }
        if path != self.root.path && GIT_DATA.iter().all(|name| has(name)) {
            self.leave_out(&path, SkipReason::GitData);
            return Ok(());
        }
        let own = if has(IGNORE_FILE_NAME) { OwnRules::of(&path, own) } else { own };
        for entry in entries {
            let (name, path) = (entry.file_name(), entry.path());
            let is_own = self.repo.data_folder.as_ref() == Some(&path);
            if is_own || NEVER.iter().any(|never| name == *never) {
                continue;
            }
            let Ok(kind) = entry.file_type() else {
                self.leave_out(&path, SkipReason::Unreadable);
                continue;
            };
            if let Some(rule) = self.excluding_rule(&path, kind.is_dir(), &tree, own.as_deref()) {
                self.found.name_excluded(self.name(&path), rule, kind.is_dir());
            } else if kind.is_dir() {
                folders.push(Folder { path, tree: tree.clone(), own: own.clone() });
            } else if kind.is_symlink() {
                self.leave_out(&path, SkipReason::Symlink);
            } else {
                match entry.metadata() {
                    Ok(metadata) => {
                        let marks = tree.borrow_mut().marks(&path);
                        self.take(path, &metadata, marks);
                    }
                    Err(_) => self.leave_out(&path, SkipReason::Vanished),
                }
            }
        }
        self.found.folders.push(path);
        Ok(())
    }

    fn excluding_rule(
        &self,
        path: &Path,
        is_dir: bool,
        tree: &RefCell<WorkTree>,
        own: Option<&OwnRules>,
    ) -> Option<SkipReason> {
        let hidden = || path.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b"."));
        if self.rules.hidden && hidden() {
            return Some(SkipReason::Hidden);
        }
        if self.rules.codeintel && own.is_some_and(|own| own.excludes(path, is_dir)) {
            return Some(SkipReason::CodeintelIgnored);
        }
        let excluded = self.rules.git && tree.borrow_mut().excludes(path, is_dir);
        excluded.then_some(SkipReason::GitIgnored)
    }

    /// Takes a file that no rule excludes, unless it is no regular file or too large.
    pub fn take(&mut self, absolute: PathBuf, metadata: &Metadata, marks: Marks) {
        let relative = absolute.strip_prefix(&self.root.path).unwrap_or(&absolute);
        let path = RepoPath::from_parts(&self.root.label, relative);
        let reason = match &path {
            None => Some(SkipReason::NotUtf8),
            _ if !metadata.is_file() => Some(SkipReason::NotRegular),
            Some(path) if self.repo.policy.skips(path) => Some(SkipReason::Setting),
            _ => (metadata.len() > self.repo.file_bytes_max).then_some(SkipReason::TooLarge),
        };
        match (reason, path) {
            (None, Some(path)) => {
                self.found.entries.push(Entry::new(path, absolute, metadata, marks));
            }
            (reason, _) => self.leave_out(&absolute, reason.unwrap_or(SkipReason::NotUtf8)),
        }
    }

    fn leave_out(&mut self, path: &Path, reason: SkipReason) {
        let name = self.name(path);
        self.found.skip(name, reason);
    }

    /// The path of a file or folder in the index, as far as it is text.
    fn name(&self, path: &Path) -> String {
        let relative = path.strip_prefix(&self.root.path).unwrap_or(path).to_string_lossy();
        let relative = relative.replace(std::path::MAIN_SEPARATOR, "/");
        match (self.root.label.as_str(), relative.as_str()) {
            ("", "") => ".".to_owned(),
            ("", relative) => relative.to_owned(),
            (label, "") => label.to_owned(),
            (label, relative) => format!("{label}/{relative}"),
        }
    }
}
