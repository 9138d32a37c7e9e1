//! `codeintel config`: shows the settings.

use super::Context;
use super::out::{BOLD, DIM, paint};
use crate::base::config::{KEYS, default_file};
use crate::base::error::Result;
use crate::base::telemetry::catalogue;

#[derive(clap::Args)]
pub struct ConfigArgs {
    /// Print the documented default file
    #[arg(long)]
    pub defaults: bool,
    /// Print every span, attribute and metric, as Markdown
    #[arg(long, conflicts_with = "defaults")]
    pub telemetry: bool,
}

pub fn run(mut cx: Context, args: ConfigArgs) -> Result<()> {
    if args.defaults {
        return cx.out.raw(default_file().as_bytes());
    }
    if args.telemetry {
        return cx.out.raw(catalogue::markdown().as_bytes());
    }
    for key in KEYS {
        let (value, default) = (key.value(cx.app.settings()), (key.default)());
        let note = if value == default { String::new() } else { format!("  (default: {default})") };
        cx.out.line(format!("{} = {value}{}", paint(BOLD, key.name), paint(DIM, note)))?;
        cx.out.line(paint(DIM, format!("    {}. {}", key.help, key.env())))?;
    }
    Ok(())
}
