//! How does a line get to the reader?

use std::io::{self, IsTerminal, Write};
use std::path::Path;

use anstream::AutoStream;
use anstyle::{AnsiColor, Style};

use crate::base::error::{Error, Result, Warning};

pub const BOLD: Style = Style::new().bold();
pub const DIM: Style = Style::new().dimmed();
pub const PATH: Style = AnsiColor::Cyan.on_default();
pub const GOOD: Style = AnsiColor::Green.on_default();
pub const BAD: Style = AnsiColor::Red.on_default().bold();
pub const WARN: Style = AnsiColor::Yellow.on_default();

/// Standard output. Styles are written always and taken out where no terminal shows them.
pub struct Out {
    stream: AutoStream<io::Stdout>,
    styled: bool,
}

impl Out {
    pub fn new() -> Self {
        let stream = anstream::stdout();
        let styled = stream.current_choice() != anstream::ColorChoice::Never;
        Self { stream, styled }
    }

    /// Whether colours reach the reader.
    pub fn is_styled(&self) -> bool {
        self.styled
    }

    pub fn line(&mut self, text: impl AsRef<str>) -> Result<()> {
        written(writeln!(self.stream, "{}", text.as_ref()))
    }

    /// A value as one line of JSON, or indented where a person reads it.
    pub fn json(&mut self, value: &impl serde::Serialize) -> Result<()> {
        let text = match io::stdout().is_terminal() {
            true => serde_json::to_string_pretty(value),
            false => serde_json::to_string(value),
        };
        self.line(text.map_err(Error::library("serde_json", "write the answer"))?)
    }

    pub fn raw(&mut self, bytes: &[u8]) -> Result<()> {
        written(self.stream.write_all(bytes))
    }
}

fn written(result: io::Result<()>) -> Result<()> {
    result.map_err(|e| Error::io("write", Path::new("standard output"), e))
}

/// `text` in `style`.
pub fn paint(style: Style, text: impl std::fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

pub fn print_error(error: &Error) {
    // Standard error may be closed too, and then there is nobody left to tell.
    let _ = writeln!(anstream::stderr(), "{} {error}", paint(BAD, "error:"));
}

pub fn print_warning(warning: &Warning) {
    let _ = writeln!(anstream::stderr(), "{} {}", paint(WARN, "warning:"), warning.message);
}

/// Warns of texts that the model did not read to their end.
pub fn print_truncated(n: usize, what: &str, tokens_max: usize) {
    if n > 0 {
        let message = format!("cut to {tokens_max} tokens because they were longer: {n} {what}");
        print_warning(&Warning::new("truncated", message));
    }
}

/// `12.3 MB`.
pub fn bytes(bytes: u64) -> String {
    indicatif::DecimalBytes(bytes).to_string()
}

/// `12,345`.
pub fn count(n: usize) -> String {
    indicatif::HumanCount(n as u64).to_string()
}

/// `1.2 ms`, `34 s`.
pub fn duration(duration: std::time::Duration) -> String {
    let s = duration.as_secs_f64();
    match s {
        s if s < 1.0 => format!("{:.1} ms", s * 1e3),
        s if s < 100.0 => format!("{s:.1} s"),
        s => format!("{:.0} min {:.0} s", (s / 60.0).floor(), s % 60.0),
    }
}
