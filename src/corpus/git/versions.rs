//! Versions: the versions of one file in the parents of a commit, under the names it has there.

use gix::ObjectId;
use gix::bstr::{BStr, BString, ByteSlice};

use super::objects::{Located, Node, Objects};
use super::rename::renamed_from;
use crate::base::error::Result;
use crate::corpus::time_limit::TimeLimit;

/// A commit, and the number of the name that the file has there.
pub(super) type VersionKey = (ObjectId, usize);

/// The file in one commit.
#[derive(Debug, Clone)]
pub(super) struct Version {
    pub node: Node,
    pub located: Located,
    name: usize,
}

/// The file in the parents of a commit that has it.
pub(super) enum Before {
    /// A parent has the same version under the same name.
    Same(Version),
    /// The versions of those parents that have the file.
    Different(Vec<Version>),
}

/// Finds versions of a file, and numbers the names that it had.
pub(super) struct Versions<'a> {
    pub objects: Objects<'a>,
    limit: &'a TimeLimit<'a>,
    names: Vec<BString>,
}

impl Version {
    pub fn key(&self) -> VersionKey {
        (self.node.id, self.name)
    }

    pub fn has_name_of(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl<'a> Versions<'a> {
    pub fn new(git: &'a gix::Repository, limit: &'a TimeLimit<'a>) -> Self {
        Self { objects: Objects::new(git), limit, names: Vec::new() }
    }

    /// The file `path` in the commit `id`.
    pub fn find(&mut self, id: ObjectId, path: &BStr) -> Result<Option<Version>> {
        let node = self.objects.node(id)?;
        let Some(located) = self.objects.locate(node.tree, path, None)? else { return Ok(None) };
        Ok(Some(Version { node, located, name: self.number(path) }))
    }

    pub fn name(&self, version: &Version) -> &BStr {
        self.names[version.name].as_bstr()
    }

    /// The version before `version`: under the same name where there is one, or else under that
    /// from which the commit renamed it.
    pub fn before(&mut self, version: &Version) -> Result<Before> {
        let (mut found, mut without) = (Vec::new(), Vec::new());
        for &parent in &version.node.parents {
            let node = self.objects.node(parent)?;
            let name = self.names[version.name].as_bstr();
            let like = Some(&version.located);
            let Some(located) = self.objects.locate(node.tree, name, like)? else {
                without.push(node);
                continue;
            };
            let is_same = located.is_same(&version.located);
            let before = Version { node, located, name: version.name };
            if is_same {
                return Ok(Before::Same(before));
            }
            found.push(before);
        }
        for node in without {
            found.extend(self.renamed(node, version)?);
        }
        Ok(Before::Different(found))
    }

    fn renamed(&mut self, parent: Node, version: &Version) -> Result<Option<Version>> {
        let (name, blob) = (self.names[version.name].as_bstr(), version.located.blob);
        let node = &version.node;
        let from = renamed_from(&self.objects, &parent, node, name, blob, self.limit)?;
        let Some(path) = from else { return Ok(None) };
        let located = self.objects.locate(parent.tree, path.as_bstr(), None)?;
        let name = self.number(path.as_bstr());
        Ok(located.map(|located| Version { node: parent, located, name }))
    }

    fn number(&mut self, path: &BStr) -> usize {
        let known = self.names.iter().position(|known| known == path);
        known.unwrap_or_else(|| {
            self.names.push(path.to_owned());
            self.names.len() - 1
        })
    }
}
