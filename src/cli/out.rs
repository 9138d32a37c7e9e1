//! Printing: standard output, colours, numbers and counts.

use std::io::{self, IsTerminal, Write};
use std::path::Path;

use anstream::AutoStream;
use anstyle::{AnsiColor, Style};

use crate::base::error::{Error, Result};

pub const BOLD: Style = Style::new().bold();
pub const DIM: Style = Style::new().dimmed();
pub const PATH: Style = AnsiColor::Cyan.on_default();
pub const GOOD: Style = AnsiColor::Green.on_default();
pub const BAD: Style = AnsiColor::Red.on_default().bold();
pub const WARN: Style = AnsiColor::Yellow.on_default();

/// Standard output. Styles are always written, and stripped if the output is not a terminal.
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

    /// Whether the output shows colours.
    pub fn is_styled(&self) -> bool {
        self.styled
    }

    pub fn line(&mut self, text: impl AsRef<str>) -> Result<()> {
        written(writeln!(self.stream, "{}", text.as_ref()))
    }

    /// Prints a value as JSON: one line, or indented on a terminal.
    pub fn json(&mut self, value: &impl serde::Serialize) -> Result<()> {
        let text = if io::stdout().is_terminal() {
            serde_json::to_string_pretty(value)
        } else {
            serde_json::to_string(value)
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
    // Standard error may be closed too, and then the message is lost.
    let _ = writeln!(anstream::stderr(), "{} {error}", paint(BAD, "error:"));
}

pub fn print_warning(message: &str) {
    let _ = writeln!(anstream::stderr(), "{} {}", paint(WARN, "warning:"), message);
}

/// Warns that `n` inputs were truncated. noun: the singular noun for one input.
pub fn print_truncated(n: usize, noun: &str, tokens_max: usize) {
    if n > 0 {
        let was = if n == 1 { "was" } else { "were" };
        let message =
            format!("{} exceeded {tokens_max} tokens and {was} truncated", counted(n, noun));
        print_warning(&message);
    }
}

/// A count on standard error that grows while a file is written. Invisible if standard error is not
/// a terminal.
pub struct Counter(indicatif::ProgressBar);

impl Counter {
    /// nouns: the plural noun for the items. visible: false if results go to the same terminal.
    pub fn new(nouns: &'static str, visible: bool) -> Self {
        if !visible {
            return Self(indicatif::ProgressBar::hidden());
        }
        let bar = indicatif::ProgressBar::new_spinner();
        let template = format!("{{spinner}} {{human_pos}} {nouns}  {{elapsed_precise}}");
        let style = indicatif::ProgressStyle::with_template(&template);
        bar.set_style(style.expect("the template is well formed"));
        bar.enable_steady_tick(std::time::Duration::from_millis(100));
        Self(bar)
    }

    pub fn set(&self, n: usize) {
        self.0.set_position(n as u64);
    }

    /// Prints a warning above the counter.
    pub fn print_warning(&self, message: &str) {
        self.0.suspend(|| print_warning(message));
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// `1 text`, `12,345 texts`.
pub fn counted(n: usize, noun: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", count(n))
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
