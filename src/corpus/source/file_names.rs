//! The names of files that tools write, and of folders with files of others.

use std::sync::LazyLock;

use super::{Globs, RepoPath};

pub const LOCK_FILES: &[&str] = &[
    "*.lock",
    "*.lockb",
    "package-lock.json",
    "npm-shrinkwrap.json",
    "pnpm-lock.yaml",
    "packages.lock.json",
    "go.sum",
    "go.work.sum",
    "gradle.lockfile",
    "deno.lock",
    "Package.resolved",
];
const TABLES: &[&str] = &["*.csv", "*.tsv", "*.psv", "*.jsonl", "*.ndjson", "*.geojson"];
const PICTURES: &[&str] = &["*.svg"];
const LOGS: &[&str] = &["*.log"];
pub const MINIFIED: &[&str] = &["*.min.js", "*.min.mjs", "*.min.css", "*.bundle.js"];
pub const GENERATED: &[&str] = &[
    "*.generated.*",
    "*_generated.*",
    "zz_generated*",
    "*.pb.go",
    "*.pb.cc",
    "*.pb.h",
    "*.pb.swift",
    "*_pb2.py",
    "*_pb2.pyi",
    "*_pb2_grpc.py",
    "*_grpc_pb.js",
    "*_pb.js",
    "*_pb.d.ts",
    "*.g.cs",
    "*.designer.cs",
    "*.Designer.cs",
    "*.g.dart",
    "*.freezed.dart",
    "*.snap",
    "__snapshots__",
    "__generated__",
];
pub const VENDORED: &[&str] = &[
    "vendor",
    "vendored",
    "third_party",
    "third-party",
    "thirdparty",
    "3rdparty",
    "node_modules",
    "bower_components",
    "site-packages",
];
const SOURCE_MAPS: &[&str] = &["*.js.map", "*.mjs.map", "*.cjs.map", "*.css.map", "*.ts.map"];

/// The kinds of names, in the order in which they are tried.
const NAMED: &[(Named, &[&str])] = &[
    (Named::SourceMap, SOURCE_MAPS),
    (Named::Data("lock file"), LOCK_FILES),
    (Named::Data("table of records"), TABLES),
    (Named::Data("picture"), PICTURES),
    (Named::Data("log"), LOGS),
    (Named::Generated("minified"), MINIFIED),
    (Named::Generated("its name says that it is generated"), GENERATED),
    (Named::Vendored, VENDORED),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    SourceMap,
    Data(&'static str),
    Generated(&'static str),
    Vendored,
}

/// [`NAMED`], compiled: the kind of each glob.
static NAMES: LazyLock<(Vec<Named>, Globs)> = LazyLock::new(|| {
    let kinds = NAMED.iter().flat_map(|(named, globs)| globs.iter().map(|_| *named));
    let globs = NAMED.iter().flat_map(|(_, globs)| globs.iter().copied());
    (kinds.collect(), Globs::new(globs).expect("the globs above are valid"))
});

/// The kinds of the name of a file and of the folders above it, the first one of [`NAMED`] first.
pub(super) fn named(path: &RepoPath) -> Vec<Named> {
    let (kinds, globs) = &*NAMES;
    let mut matching: Vec<usize> = globs.matching(path.as_str()).collect();
    matching.sort_unstable();
    matching.into_iter().map(|i| kinds[i]).collect()
}
