//! The table of languages, and how the language of a file is detected.
//!
//! Its name decides, then its extension, then its `#!` line.

use super::RepoPath;
use super::cpp_header::is_cpp;

macro_rules! languages {
    ($($variant:ident $name:literal
        ext [$($extension:literal)*] file [$($file:literal)*] run [$($interpreter:literal)*];)+) => {
        /// A language, or a kind of text. [`Language::Text`] is everything unknown.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Language { $($variant),+ }

        impl Language {
            /// Every language, in the order of the table.
            pub const ALL: &[Language] = &[$(Self::$variant),+];

            /// The name in lower case: `rust`.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            fn by_extension(extension: &str) -> Option<Self> {
                const TABLE: &[(Language, &[&str])] = &[$((Language::$variant, &[$($extension),*])),+];
                Self::lookup(TABLE, extension)
            }

            fn by_file_name(file: &str) -> Option<Self> {
                const TABLE: &[(Language, &[&str])] = &[$((Language::$variant, &[$($file),*])),+];
                Self::lookup(TABLE, file)
            }

            fn by_interpreter(interpreter: &str) -> Option<Self> {
                const TABLE: &[(Language, &[&str])] = &[$((Language::$variant, &[$($interpreter),*])),+];
                Self::lookup(TABLE, interpreter)
            }
        }
    };
}

languages! {
    Rust "rust" ext ["rs"] file [] run [];
    Python "python"
        ext ["py" "pyi" "pyw"]
        file ["SConstruct" "SConscript" "wscript"]
        run ["python" "python2" "python3" "pypy" "pypy3"];
    TypeScript "typescript" ext ["ts" "mts" "cts"] file [] run ["deno" "ts-node" "tsx"];
    Tsx "tsx" ext ["tsx"] file [] run [];
    JavaScript "javascript"
        ext ["js" "mjs" "cjs" "jsx"]
        file ["Jakefile"]
        run ["node" "nodejs" "bun"];
    Go "go" ext ["go"] file [] run [];
    Java "java" ext ["java"] file [] run [];
    C "c" ext ["c" "h"] file [] run [];
    Cpp "cpp"
        ext ["cc" "cpp" "cxx" "c++" "hh" "hpp" "hxx" "h++" "ipp" "tpp" "inl" "cu" "cuh" "ino"]
        file []
        run [];
    CSharp "csharp" ext ["cs" "csx"] file [] run [];
    Ruby "ruby"
        ext ["rb" "rake" "gemspec" "ru" "podspec"]
        file ["Rakefile" "Gemfile" "Guardfile" "Podfile" "Vagrantfile" "Brewfile" "Fastfile"]
        run ["ruby" "jruby"];
    Php "php" ext ["php" "phtml" "php5" "php7"] file [] run ["php"];
    Bash "bash"
        ext ["sh" "bash" "zsh" "ksh" "bats" "ebuild"]
        file [".bashrc" ".bash_profile" ".bash_aliases" ".profile" ".zshrc" ".zshenv" "PKGBUILD" "APKBUILD"]
        run ["sh" "bash" "zsh" "dash" "ksh" "ash" "bats"];
    Json "json"
        ext ["json" "jsonc" "json5" "geojson" "webmanifest" "ipynb"]
        file [".babelrc" ".eslintrc" ".prettierrc" "composer.lock" "Pipfile.lock" "flake.lock"]
        run [];
    Yaml "yaml"
        ext ["yaml" "yml"]
        file [".clang-format" ".clang-tidy" ".clangd" "CITATION.cff"]
        run [];
    Toml "toml" ext ["toml"] file ["Cargo.lock" "poetry.lock" "uv.lock" "Pipfile"] run [];
    Html "html" ext ["html" "htm" "xhtml"] file [] run [];
    Css "css" ext ["css"] file [] run [];
    Markdown "markdown"
        ext ["md" "markdown" "mdx" "mkd"]
        file ["README" "CHANGELOG" "CONTRIBUTING"]
        run [];
    Kotlin "kotlin" ext ["kt" "kts"] file [] run [];
    Swift "swift" ext ["swift"] file [] run ["swift"];
    Scala "scala" ext ["scala" "sc" "sbt"] file [] run ["scala"];
    Lua "lua" ext ["lua"] file [".luacheckrc"] run ["lua" "luajit"];
    Perl "perl" ext ["pl" "pm" "t"] file ["cpanfile"] run ["perl"];
    R "r" ext ["r" "R"] file [".Rprofile"] run ["Rscript"];
    Julia "julia" ext ["jl"] file [] run ["julia"];
    Haskell "haskell" ext ["hs" "lhs"] file [] run ["runhaskell"];
    OCaml "ocaml" ext ["ml" "mli"] file [] run ["ocaml"];
    Elixir "elixir" ext ["ex" "exs"] file [] run ["elixir"];
    Erlang "erlang" ext ["erl" "hrl"] file ["rebar.config"] run ["escript"];
    Clojure "clojure" ext ["clj" "cljs" "cljc" "edn"] file [] run [];
    Dart "dart" ext ["dart"] file [] run ["dart"];
    Zig "zig" ext ["zig" "zon"] file [] run [];
    Nim "nim" ext ["nim" "nims"] file [] run [];
    FSharp "fsharp" ext ["fs" "fsx" "fsi"] file [] run [];
    ObjectiveC "objectivec" ext ["m" "mm"] file [] run [];
    Groovy "groovy" ext ["groovy" "gradle"] file ["Jenkinsfile"] run ["groovy"];
    PowerShell "powershell" ext ["ps1" "psm1" "psd1"] file [] run ["pwsh"];
    Batch "batch" ext ["bat" "cmd"] file [] run [];
    Fish "fish" ext ["fish"] file [] run ["fish"];
    Vim "vim" ext ["vim"] file [".vimrc" "_vimrc"] run [];
    Lisp "lisp" ext ["lisp" "lsp" "cl" "el" "scm" "rkt"] file [] run [];
    Sql "sql" ext ["sql" "ddl" "dml"] file [] run [];
    GraphQl "graphql" ext ["graphql" "gql"] file [] run [];
    Protobuf "protobuf" ext ["proto"] file [] run [];
    Thrift "thrift" ext ["thrift"] file [] run [];
    Terraform "terraform" ext ["tf" "tfvars" "hcl"] file [] run [];
    Nix "nix" ext ["nix"] file [] run [];
    Starlark "starlark"
        ext ["bzl" "star"]
        file ["BUILD" "BUILD.bazel" "WORKSPACE" "WORKSPACE.bazel" "MODULE.bazel" "Tiltfile"]
        run [];
    CMake "cmake" ext ["cmake"] file ["CMakeLists.txt"] run [];
    Make "make" ext ["mk" "mak"] file ["Makefile" "makefile" "GNUmakefile" "Kbuild"] run ["make"];
    Dockerfile "dockerfile" ext ["dockerfile"] file ["Dockerfile" "Containerfile"] run [];
    Assembly "assembly" ext ["s" "S" "asm" "nasm"] file [] run [];
    Fortran "fortran" ext ["f" "f77" "f90" "f95" "f03" "f08"] file [] run [];
    Pascal "pascal" ext ["pas" "pp" "dpr"] file [] run [];
    Ada "ada" ext ["adb" "ads"] file [] run [];
    Cobol "cobol" ext ["cob" "cbl"] file [] run [];
    D "d" ext ["d"] file [] run [];
    V "v" ext ["v" "vsh"] file [] run [];
    Solidity "solidity" ext ["sol"] file [] run [];
    Verilog "verilog" ext ["sv" "svh" "vh"] file [] run [];
    Vhdl "vhdl" ext ["vhd" "vhdl"] file [] run [];
    Glsl "glsl" ext ["glsl" "vert" "frag" "comp" "geom" "hlsl" "wgsl" "metal"] file [] run [];
    Scss "scss" ext ["scss"] file [] run [];
    Sass "sass" ext ["sass"] file [] run [];
    Less "less" ext ["less"] file [] run [];
    Vue "vue" ext ["vue"] file [] run [];
    Svelte "svelte" ext ["svelte"] file [] run [];
    Astro "astro" ext ["astro"] file [] run [];
    Template "template"
        ext ["j2" "jinja" "jinja2" "tmpl" "tpl" "mustache" "hbs" "erb" "ejs" "liquid"]
        file []
        run [];
    Xml "xml"
        ext ["xml" "xsd" "xsl" "xslt" "svg" "plist" "csproj" "props" "targets" "pom"]
        file []
        run [];
    Ini "ini"
        ext ["ini" "cfg" "conf" "properties" "service" "desktop"]
        file [".editorconfig" ".gitconfig" ".gitmodules" ".npmrc" ".env" "setup.cfg"]
        run [];
    Rst "rst" ext ["rst"] file [] run [];
    Asciidoc "asciidoc" ext ["adoc" "asciidoc"] file [] run [];
    Org "org" ext ["org"] file [] run [];
    Latex "latex" ext ["tex" "sty" "bib"] file [] run [];
    Csv "csv" ext ["csv" "tsv"] file [] run [];
    Diff "diff" ext ["diff" "patch"] file [] run [];
    Text "text" ext ["txt" "text" "log"] file ["LICENSE" "COPYING" "NOTICE" "AUTHORS"] run [];
}

impl Language {
    /// Detects the language of a file from its path, or else from its first line.
    pub fn detect(path: &RepoPath, first_line: &str) -> Self {
        let name = path.file_name();
        Self::by_file_name(name)
            .or_else(|| path.extension().and_then(Self::by_any_case))
            .or_else(|| Self::by_shebang(first_line))
            // `Dockerfile.cuda`, `Makefile.am`: the part before the dot is the name.
            .or_else(|| Self::by_file_name(name.split_once('.')?.0))
            .unwrap_or(Self::Text)
    }

    /// Detects the language of a file from its path and its text: a `.h` file may be C++.
    pub fn of(path: &RepoPath, text: &str) -> Self {
        let language = Self::detect(path, text.lines().next().unwrap_or_default());
        let is_cpp = language == Self::C && path.extension() == Some("h") && is_cpp(text);
        if is_cpp { Self::Cpp } else { language }
    }

    /// Parses the name of a language as people write it: `rust`, `Rust`, `rs`, `c++`.
    pub fn from_name(name: &str) -> Option<Self> {
        let name = name.trim().trim_start_matches('.').to_lowercase();
        let alias = match name.as_str() {
            "c#" => Some(Self::CSharp),
            "f#" => Some(Self::FSharp),
            "shell" => Some(Self::Bash),
            "golang" => Some(Self::Go),
            _ => None,
        };
        let named = || Self::ALL.iter().copied().find(|language| language.name() == name);
        alias.or_else(named).or_else(|| Self::by_extension(&name))
    }

    /// Whether it is a programming language, rather than prose, markup or data.
    pub fn is_code(self) -> bool {
        use Language::*;
        !matches!(
            self,
            Json | Yaml
                | Toml
                | Html
                | Markdown
                | Xml
                | Ini
                | Rst
                | Asciidoc
                | Org
                | Latex
                | Csv
                | Diff
                | Text
        )
    }

    fn lookup(table: &[(Self, &[&str])], word: &str) -> Option<Self> {
        table.iter().find(|(_, words)| words.contains(&word)).map(|(language, _)| *language)
    }

    fn by_any_case(extension: &str) -> Option<Self> {
        Self::by_extension(extension).or_else(|| Self::by_extension(&extension.to_lowercase()))
    }

    fn by_shebang(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix("#!")?.split_whitespace();
        let base = |word: &'_ str| word.rsplit('/').next().unwrap_or_default().to_owned();
        let mut program = base(words.next()?);
        if program == "env" {
            // `env -S VAR=1 python3 -u`: the first word that is neither a flag nor a variable.
            program = base(words.find(|word| !word.starts_with('-') && !word.contains('='))?);
        }
        let versionless = program.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
        Self::by_interpreter(&program).or_else(|| Self::by_interpreter(versionless))
    }
}

impl std::fmt::Display for Language {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, first_line: &str, expected: Language) {
        assert_eq!(Language::detect(&RepoPath::new(path), first_line), expected, "{path}");
    }

    #[test]
    fn a_language_is_found_by_name_extension_or_shebang() {
        check("a/lib.rs", "", Language::Rust);
        check("a/LIB.RS", "", Language::Rust);
        check("x.d.ts", "", Language::TypeScript);
        check("CMakeLists.txt", "", Language::CMake);
        check("docker/Dockerfile.cpu", "", Language::Dockerfile);
        check("Cargo.lock", "", Language::Toml);
        check("run", "#!/usr/bin/env python3", Language::Python);
        check("run", "#! /usr/bin/env -S VAR=1 python3.12 -u", Language::Python);
        check("run", "#!/bin/sh -e", Language::Bash);
        check("run", "#!/usr/bin/env", Language::Text);
        check("run.rs", "#!/bin/sh", Language::Rust);
        check("notes", "plain words", Language::Text);
        check("kernel.cu", "", Language::Cpp);
    }

    #[test]
    fn every_name_is_read_back() {
        for &language in Language::ALL {
            assert_eq!(Language::from_name(language.name()), Some(language));
        }
        assert_eq!(Language::from_name(" .PY "), Some(Language::Python));
        assert_eq!(Language::from_name("C++"), Some(Language::Cpp));
        assert_eq!(Language::from_name("nothing"), None);
    }
}
