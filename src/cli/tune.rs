//! `codeintel tune`: finds the setting with which the vector index is searched fastest.

use super::Context;
use super::out::{BOLD, DIM, GOOD, counted, paint};
use crate::base::error::Result;
use crate::base::telemetry::labels::Tool;
use crate::bench::{TunedSetting, tune};
use crate::index::DenseIndex;
use crate::index::catalog::Catalog;

#[derive(clap::Args)]
pub struct TuneArgs {
    /// Vectors of the index to search for
    #[arg(short, long, default_value_t = 200, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub queries: u32,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

pub fn run(mut cx: Context, args: TuneArgs) -> Result<()> {
    let version = cx.app.data().current()?;
    let searched = Catalog::open(&version.folder.catalog())?.with_vectors()?;
    let index = DenseIndex::open(&version.folder.dense(), version.manifest.model.dim)?;
    let run = cx.begin(Tool::Bench, &[]);
    let searched = (searched.count() < searched.universe()).then_some(&searched);
    let tuned = tune(&index, searched, args.queries as usize, &run);
    cx.finish(&run, tuned.as_ref().err());
    let tuned = tuned?;
    let out = &mut cx.out;
    if args.json {
        return out.json(&tuned);
    }
    let Some(tuning) = tuned else {
        return out.line(format!(
            "{}: this index is exact ({}) and has no such setting",
            paint(BOLD, "Nothing to tune"),
            index.kind_name()
        ));
    };
    let queries = counted(tuning.queries, "vector");
    out.line(format!("{} {}, {queries} of its own", paint(BOLD, "Index"), tuning.factory))?;
    out.line(paint(DIM, "  recall@10   ms/query  settings"))?;
    for (i, setting) in tuning.tried.iter().enumerate() {
        let TunedSetting { recall_10, ms_per_query, .. } = setting;
        let mark = if i == tuning.chosen { paint(GOOD, " <") } else { String::new() };
        let names = assigned(setting, ", ");
        out.line(format!("  {recall_10:>9.4} {ms_per_query:>10.3}  {names}{mark}"))?;
    }
    let flags = assigned(&tuning.tried[tuning.chosen], "\n").replace("search.", "");
    out.line("The fastest within 0.005 of the best recall, for codeintel.toml:")?;
    out.line(format!("[search]\n{flags}"))
}

/// `search.nprobe = 8`, joined by `between`.
fn assigned(setting: &TunedSetting, between: &str) -> String {
    let assigned = setting.settings.iter().map(|(name, value)| format!("{name} = {value}"));
    assigned.collect::<Vec<_>>().join(between)
}
