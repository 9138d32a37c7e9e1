//! Which roots a run indexes, if the data folder has an index of other ones.

use std::path::{Path, PathBuf};

use super::Ingest;
use crate::base::error::{Error, Result};

impl Ingest {
    /// The roots of the index in place of `paths`, if each of these is inside one of them: a run over a
    /// part of an index updates the whole. `None` if `paths` are to be indexed as they are.
    ///
    /// Paths that leave out a root of the index, which is still there, are an error.
    pub fn roots_instead(&self, paths: &[PathBuf]) -> Result<Option<Vec<PathBuf>>> {
        let Ok(version) = self.data().current() else { return Ok(None) };
        let roots: Vec<PathBuf> =
            version.manifest.roots.iter().map(PathBuf::from).filter(|root| root.exists()).collect();
        // A path that is not there is an error of the run.
        let Ok(given) = paths.iter().map(|path| path.canonicalize()).collect::<Result<Vec<_>, _>>()
        else {
            return Ok(None);
        };
        let is_inside = |path: &Path, of: &[PathBuf]| of.iter().any(|root| path.starts_with(root));
        let Some(lost) = roots.iter().find(|root| !is_inside(root, &given)) else {
            return Ok(None);
        };
        if given.iter().all(|path| is_inside(path, &roots)) {
            return Ok(Some(roots));
        }
        let given: Vec<String> = given.iter().map(|path| path.display().to_string()).collect();
        let (data, lost) = (self.data().path().display(), lost.display());
        Err(Error::Argument {
            name: "PATH",
            value: given.join(", "),
            expected: format!(
                "also {lost}, which the index in {data} holds; name both, or add --replace to drop \
                 it from the index, or --data FOLDER for an index of its own"
            ),
        })
    }
}
