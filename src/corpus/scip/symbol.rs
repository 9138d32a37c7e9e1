//! The texts by which SCIP identifies symbols: `scheme manager package version descriptors`, or
//! `local id` for a symbol that only its own file uses.

/// The last descriptor of a symbol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SymbolName {
    pub name: String,
    /// What its suffix says it is, as a word: `type`.
    pub kind: &'static str,
}

const LOCAL: &str = "local ";

impl SymbolName {
    /// `None` for a local symbol, and for a text that is not a symbol.
    pub fn of(symbol: &str) -> Option<Self> {
        if symbol.starts_with(LOCAL) {
            return None;
        }
        let named = |text: &str, kind| last_name(text).map(|name| Self { name, kind });
        let inside = |open, close: char, kind| {
            let start = symbol.rfind(open)? + 1;
            let name = unescaped(symbol.get(start..)?.strip_suffix(close)?);
            (!name.is_empty()).then_some(Self { name, kind })
        };
        match symbol.chars().next_back()? {
            '/' => named(&symbol[..symbol.len() - 1], "module"),
            '#' => named(&symbol[..symbol.len() - 1], "type"),
            '!' => named(&symbol[..symbol.len() - 1], "macro"),
            ':' => named(&symbol[..symbol.len() - 1], "meta"),
            '.' if symbol.ends_with(").") => named(&symbol[..symbol.rfind('(')?], "function"),
            '.' => named(&symbol[..symbol.len() - 1], "variable"),
            ')' => inside('(', ')', "parameter"),
            ']' => inside('[', ']', "type parameter"),
            _ => None,
        }
    }
}

/// A name for a symbol that is the same in no other file, if the symbol is local.
pub fn local_of(symbol: &str, path: &str) -> Option<String> {
    symbol.starts_with(LOCAL).then(|| format!("{symbol} {path}"))
}

/// The package that defines a symbol, with its version if it is known; `None` for a local symbol.
pub fn package(symbol: &str) -> Option<String> {
    if symbol.starts_with(LOCAL) {
        return None;
    }
    let mut parts = symbol.splitn(5, ' ').skip(2);
    let (name, version) = (parts.next()?, parts.next()?);
    let known = |part: &&str| !part.is_empty() && *part != ".";
    let name = Some(name).filter(known)?;
    Some(match Some(version).filter(known) {
        Some(version) => format!("{name} {version}"),
        None => name.to_owned(),
    })
}

/// The identifier at the end of `text`, which may be in backticks.
fn last_name(text: &str) -> Option<String> {
    let name = match text.strip_suffix('`') {
        Some(inner) => {
            // Two backticks stand for one in the name.
            let masked = inner.replace("``", "\0\0");
            unescaped(&text[masked.rfind('`')?..])
        }
        None => {
            text.rsplit(['/', '#', '!', ':', '.', '(', ')', '[', ']', ' ', '`']).next()?.to_owned()
        }
    };
    (!name.is_empty()).then_some(name)
}

fn unescaped(name: &str) -> String {
    match name.strip_prefix('`').and_then(|name| name.strip_suffix('`')) {
        Some(inner) => inner.replace("``", "`"),
        None => name.to_owned(),
    }
}
