//! `codeintel tool`: calls a tool as an agent does.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use super::Context;
use super::out::{BOLD, DIM, paint};
use crate::base::error::{Error, Result};
use crate::base::telemetry::Caller;
use crate::tools::wire::ToolDescription;
use crate::tools::{JsonObject, ToolSet};

#[derive(clap::Args)]
pub struct ToolArgs {
    /// The tool; without it, every tool is listed
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// The arguments, a JSON object; - reads them from standard input
    #[arg(long, value_name = "OBJECT", default_value = "{}")]
    pub json: String,
    /// Print the answer as text, as a model reads it
    #[arg(long)]
    pub text: bool,
    /// Print the tool's description and its schemas
    #[arg(long)]
    pub schema: bool,
}

pub fn run(mut cx: Context, args: ToolArgs) -> Result<(), Arc<Error>> {
    let all = ToolSet::all();
    let Some(name) = &args.name else {
        for tool in all.iter() {
            let spec = tool.spec;
            cx.out.line(format!("{}  {}", paint(BOLD, spec.name), spec.title))?;
            cx.out.line(paint(DIM, format!("    {}", spec.description)))?;
        }
        return Ok(());
    };
    let tool = all.find(name)?;
    if args.schema {
        return Ok(cx.out.json(&ToolDescription::new(tool))?);
    }
    let arguments = arguments(&args.json)?;
    cx.app.open(tool.spec.needs_engine)?;
    let run = tool.spec.begin(&cx.app, Caller::nobody(), None);
    let result = tool.run(&cx.app, arguments, &run);
    cx.print_report(&run);
    let answer = result?;
    if args.text {
        cx.out.line(answer.text.trim_end())?;
    } else {
        cx.out.json(&answer.json)?;
    }
    Ok(())
}

/// Parses the arguments of the command line.
fn arguments(text: &str) -> Result<JsonObject> {
    let text = if text == "-" {
        let mut read = String::new();
        let stdin = std::io::stdin().read_to_string(&mut read);
        stdin.map_err(|error| Error::io("read", Path::new("standard input"), error))?;
        read
    } else {
        text.to_owned()
    };
    serde_json::from_str(&text).map_err(|error| Error::Argument {
        name: "--json",
        value: format!("{:?}", crate::base::text::prefix(&text, 200)),
        expected: format!("a JSON object ({error})"),
    })
}
