//! `codeintel completions`: prints a completion script for a shell.

use clap::CommandFactory;

use super::Context;
use super::args::Args;
use crate::base::error::Result;

#[derive(clap::Args)]
pub struct CompletionsArgs {
    pub shell: clap_complete::Shell,
}

pub fn run(mut cx: Context, args: CompletionsArgs) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "codeintel", &mut script);
    cx.out.raw(&script)
}
