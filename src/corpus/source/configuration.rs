//! ConfigKind: which files configure a repository, by their names.

use std::fs;
use std::path::Path;

use super::{Repo, RepoPath};

/// The most entries of a folder that are looked at.
const ENTRIES_MAX: usize = 4096;

macro_rules! kinds {
    ($($variant:ident $word:literal file [$($file:literal)*] like [$($like:literal)*];)+) => {
        /// What a configuration file configures.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ConfigKind { $($variant),+ }

        impl ConfigKind {
            /// The kind as a word: `build`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// The kind whose word is `word`.
            pub fn parse(word: &str) -> Option<Self> {
                [$(Self::$variant),+].into_iter().find(|kind| kind.as_str() == word)
            }

            /// The kind of a file called `name` in lower case; the first row of the table decides.
            fn of_name(name: &str) -> Option<Self> {
                const TABLE: &[(ConfigKind, &[&str], &[&str])] =
                    &[$((ConfigKind::$variant, &[$($file),*], &[$($like),*])),+];
                let row = TABLE.iter().find(|(_, files, likes)| {
                    files.contains(&name) || likes.iter().any(|like| is_like(name, like))
                });
                row.map(|(kind, ..)| *kind)
            }
        }
    };
}

kinds! {
    Lock "lock"
        file ["cargo.lock" "package-lock.json" "npm-shrinkwrap.json" "yarn.lock" "pnpm-lock.yaml" "bun.lock"
            "poetry.lock" "uv.lock" "pipfile.lock" "pdm.lock" "gemfile.lock" "composer.lock" "go.sum"
            "flake.lock" "mix.lock" "pubspec.lock" "gradle.lockfile" "packages.lock.json"
            "podfile.lock" "package.resolved"]
        like [];
    Ci "ci"
        file [".gitlab-ci.yml" ".travis.yml" "appveyor.yml" ".appveyor.yml" "azure-pipelines.yml"
            "jenkinsfile" "bitbucket-pipelines.yml" ".drone.yml" ".woodpecker.yml" "cloudbuild.yaml"
            "codecov.yml" ".codecov.yml" "dependabot.yml" "renovate.json" ".cirrus.yml"]
        like [];
    Container "container"
        file ["dockerfile" "containerfile" ".dockerignore" "docker-bake.hcl" "devcontainer.json"
            "skaffold.yaml" "chart.yaml" "kustomization.yaml"]
        like ["dockerfile.*" "*.dockerfile" "docker-compose*.yml" "docker-compose*.yaml"
            "compose*.yml" "compose*.yaml"];
    Lint "lint"
        file ["clippy.toml" ".clippy.toml" "rustfmt.toml" ".rustfmt.toml" "deny.toml" "typos.toml"
            "ruff.toml" ".ruff.toml" ".flake8" ".pylintrc" "pylintrc" "mypy.ini" ".mypy.ini"
            "pyrightconfig.json" "tslint.json" "biome.json" ".eslintignore" ".prettierignore"
            ".golangci.yml" ".golangci.yaml" ".rubocop.yml" "checkstyle.xml" ".clang-format"
            ".clang-tidy" ".shellcheckrc" ".hadolint.yaml" ".pre-commit-config.yaml" "phpstan.neon"
            ".markdownlint.json" ".yamllint"]
        like [".eslintrc*" "eslint.config.*" ".prettierrc*" "prettier.config.*" ".stylelintrc*"];
    Editor "editor"
        file [".editorconfig" ".vimrc" ".clangd" "compile_flags.txt"]
        like ["*.code-workspace"];
    Test "test"
        file ["pytest.ini" "tox.ini" "noxfile.py" "conftest.py" ".coveragerc" "phpunit.xml"
            "nextest.toml" ".rspec"]
        like ["jest.config.*" "vitest.config.*" "playwright.config.*" "cypress.config.*" "karma.conf.*"];
    Build "build"
        file ["cargo.toml" "rust-toolchain" "rust-toolchain.toml" "package.json"
            "lerna.json" "nx.json" "turbo.json" "pnpm-workspace.yaml" "deno.json" "pyproject.toml"
            "setup.py" "setup.cfg" "pipfile" "environment.yml" "go.mod" "go.work" "pom.xml"
            "build.gradle" "build.gradle.kts" "settings.gradle" "settings.gradle.kts"
            "gradle.properties" "build.sbt" "cmakelists.txt" "cmakepresets.json" "makefile"
            "gnumakefile" "justfile" "taskfile.yml" "meson.build" "configure.ac" "build.ninja"
            "conanfile.txt" "conanfile.py" "vcpkg.json" "build.bazel"
            "workspace.bazel" "module.bazel" "gemfile" "rakefile" "composer.json" "mix.exs"
            "package.swift" "podfile" "pubspec.yaml" "build.zig" "build.zig.zon" "flake.nix"
            "default.nix" "shell.nix" "global.json" "directory.build.props" "dune-project"
            "stack.yaml" "cabal.project" "manifest.in" ".npmrc" ".nvmrc" ".python-version"
            ".tool-versions" "mise.toml"]
        like ["requirements*.txt" "tsconfig*.json" "vite.config.*" "webpack.config.*"
            "rollup.config.*" "babel.config.*" "next.config.*" "*.csproj" "*.fsproj" "*.sln"
            "*.gemspec" "*.cabal"];
}

/// Whether `name` is like `pattern`, which has one `*`.
fn is_like(name: &str, pattern: &str) -> bool {
    let (start, end) = pattern.split_once('*').unwrap_or((pattern, ""));
    name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
}

/// Folders whose YAML files configure continuous integration.
const CI_FOLDERS: [&str; 4] =
    [".github/workflows", ".forgejo/workflows", ".circleci", ".buildkite"];
/// Hidden folders with other configuration.
const HIDDEN_FOLDERS: [&str; 4] = [".cargo", ".config", ".devcontainer", ".github"];

impl ConfigKind {
    /// The kind of the file at `path`; `None` if its name is not known.
    pub fn of(path: &str) -> Option<Self> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let is_below =
            |top: &str| folder.strip_suffix(top).is_some_and(|r| r.is_empty() || r.ends_with('/'));
        if CI_FOLDERS.iter().any(|top| is_below(top)) {
            return is_yaml(name).then_some(Self::Ci);
        }
        let is_build = is_below(".cargo") && name == "config.toml"
            || ["BUILD", "WORKSPACE"].contains(&name)
            || name == "build.rs" && folder.split('/').all(|part| part != "src");
        if is_build { Some(Self::Build) } else { Self::of_name(&name.to_lowercase()) }
    }
}

fn is_yaml(name: &str) -> bool {
    name.ends_with(".yml") || name.ends_with(".yaml")
}

impl Repo {
    /// The hidden configuration files of the roots, which are not indexed unless hidden files are:
    /// those at the top, and those in folders where tools look for them.
    pub fn hidden_configuration(&self) -> Vec<(RepoPath, ConfigKind)> {
        let mut found = Vec::new();
        for root in self.roots.iter().filter(|root| !root.is_file) {
            let below = CI_FOLDERS.iter().chain(&HIDDEN_FOLDERS).map(Path::new);
            for folder in std::iter::once(Path::new("")).chain(below) {
                let entries = fs::read_dir(root.path.join(folder)).into_iter().flatten().flatten();
                let entries = entries.take(ENTRIES_MAX);
                let files = entries.filter(|entry| entry.file_type().is_ok_and(|t| t.is_file()));
                let paths = files.filter_map(|entry| {
                    RepoPath::from_parts(&root.label, &folder.join(entry.file_name()))
                });
                let is_hidden =
                    |path: &RepoPath| folder != Path::new("") || path.file_name().starts_with('.');
                found.extend(paths.filter(is_hidden).filter_map(|path| {
                    let kind = ConfigKind::of(path.as_str())?;
                    Some((path, kind))
                }));
            }
        }
        found.sort();
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::config::Settings;

    #[test]
    fn files_are_known_by_name_and_place() {
        for (path, kind) in [
            ("Cargo.toml", Some(ConfigKind::Build)),
            ("web/package.json", Some(ConfigKind::Build)),
            ("CMakeLists.txt", Some(ConfigKind::Build)),
            ("requirements-dev.txt", Some(ConfigKind::Build)),
            ("Cargo.lock", Some(ConfigKind::Lock)),
            (".github/workflows/test.yml", Some(ConfigKind::Ci)),
            ("x/.github/workflows/test.yaml", Some(ConfigKind::Ci)),
            ("not.github/workflows/test.yaml", None),
            (".github/workflows/notes.md", None),
            ("docker/Dockerfile.cuda", Some(ConfigKind::Container)),
            ("docker/compose.yaml", Some(ConfigKind::Container)),
            (".eslintrc.json", Some(ConfigKind::Lint)),
            (".editorconfig", Some(ConfigKind::Editor)),
            ("jest.config.ts", Some(ConfigKind::Test)),
            (".cargo/config.toml", Some(ConfigKind::Build)),
            ("crates/x/build.rs", Some(ConfigKind::Build)),
            ("src/ingest/build.rs", None),
            ("lib/BUILD", Some(ConfigKind::Build)),
            ("scripts/build", None),
            ("config.toml", None),
            ("src/main.rs", None),
        ] {
            assert_eq!(ConfigKind::of(path), kind, "{path}");
        }
    }

    #[test]
    fn hidden_files_are_found_where_tools_look_for_them() {
        let folder = tempfile::tempdir().unwrap();
        for path in [
            ".github/workflows/test.yml",
            ".github/workflows/read.me",
            ".editorconfig",
            ".env",
            "Cargo.toml",
            "sub/.editorconfig",
        ] {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let repo = Repo::open(&[folder.path().to_path_buf()], &Settings::default()).unwrap();
        let found = repo.hidden_configuration();
        let found: Vec<_> = found.iter().map(|(path, kind)| (path.as_str(), *kind)).collect();
        let expected =
            [(".editorconfig", ConfigKind::Editor), (".github/workflows/test.yml", ConfigKind::Ci)];
        assert_eq!(found, expected);
    }
}
