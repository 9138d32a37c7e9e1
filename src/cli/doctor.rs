//! `codeintel doctor`: checks what works on this machine.

use super::Context;
use super::args::JsonArgs;
use super::out::{BAD, BOLD, GOOD, WARN, bytes, counted, paint};
use crate::base::config::{DenseKind, Settings, VllmMode, process_env};
use crate::base::error::{Error, Result};
use crate::base::vector::Matrix;
use crate::device::{Candle, Cpu, Device, Dtype, Selection};
use crate::embedding::engine::{batch_max, probe};
use crate::embedding::models::{self, Manifest, ModelEntry};
use crate::embedding::nn::{AGREEMENT_MIN, Cost, Encoder, NetworkKind, agreement};
use crate::index::catalog::Catalog;
use crate::index::versions::DataFolder;
use crate::index::{DenseIndex, DenseParams};
use crate::tools::wire::DoctorCheck;

/// Doctor reports a note if less disk space than this is free.
const DISK_BYTES_MIN: u64 = 1 << 30;
/// The fraction of the peak rate that whole networks reach at least
/// (benches/results/2026-11-29-models.md).
const SHARE_OF_PEAK: f64 = 0.4;
/// This repository has 12 tokens a line.
const TOKENS_OF_100_000_LINES: f64 = 1.2e6;
/// A model is recommended if 100,000 lines are indexed within this.
const INDEX_S_MAX: f64 = 600.0;

#[derive(clap::Args)]
pub struct DoctorArgs {
    #[command(flatten)]
    pub output: JsonArgs,
    /// Also load the model, and compare every way to compute it with the CPU in f32
    #[arg(long)]
    pub verify: bool,
}

pub fn run(mut cx: Context, args: DoctorArgs) -> Result<()> {
    let settings = cx.app.settings();
    let opened = Selection::open(&settings.engine);
    let selected = opened.as_ref().ok();
    let mut checks =
        vec![program(), processor(settings), device(&opened), libraries(selected), model(settings)];
    checks.extend(selected.and_then(|selected| memory(settings, selected)));
    checks.extend(selected.map(recommendation));
    if args.verify {
        checks
            .extend(selected.map(|selected| verification(settings, selected)).unwrap_or_default());
    }
    checks.extend([
        index(cx.app.data()),
        disk("disk of the index", cx.app.data().path()),
        disk("disk of the models", &settings.model.folder(process_env)),
    ]);
    checks.extend(endpoint(settings));
    let json = args.output.json;
    if json {
        cx.out.json(&checks)?;
    }
    for check in checks.iter().filter(|_| !json) {
        let mark = match check.state {
            "ok" => paint(GOOD, "ok  "),
            "note" => paint(WARN, "note"),
            _ => paint(BAD, "fail"),
        };
        cx.out.line(format!(
            "{mark} {}  {}",
            paint(BOLD, format!("{:<20}", check.name)),
            check.found
        ))?;
        if let Some(remedy) = &check.remedy {
            cx.out.line(format!("     {:<20}  -> {remedy}", ""))?;
        }
    }
    let failed: Vec<&str> =
        checks.iter().filter(|check| check.state == "fail").map(|check| check.name).collect();
    if failed.is_empty() {
        return Ok(());
    }
    // The table has said why, and what to do.
    Err(Error::Unavailable { what: failed.join(", "), remedy: "see the checks above".to_owned() })
}

fn ok(name: &'static str, found: impl Into<String>) -> DoctorCheck {
    DoctorCheck { name, state: "ok", found: found.into(), remedy: None }
}

fn note(name: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> DoctorCheck {
    DoctorCheck { name, state: "note", found: found.into(), remedy: Some(remedy.into()) }
}

fn failed(name: &'static str, error: &Error) -> DoctorCheck {
    DoctorCheck { name, state: "fail", found: error.to_string(), remedy: None }
}

fn program() -> DoctorCheck {
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    ok("program", format!("codeintel {} for {arch} {os}", env!("CARGO_PKG_VERSION")))
}

fn processor(settings: &Settings) -> DoctorCheck {
    match Cpu::new(settings.engine.threads) {
        Ok(cpu) => ok("processor", format!("{}, {}", cpu.name(), counted(cpu.threads(), "thread"))),
        Err(error) => failed("processor", &error),
    }
}

/// The device that runs the network, and why it was chosen. On a GPU, this check loads the kernels.
fn device(opened: &Result<Selection>) -> DoctorCheck {
    let (device, reason) = match opened {
        Ok(Selection { device, reason }) => (device, reason),
        Err(error) => return failed("device", error),
    };
    let mut found = format!("{} in {} ({reason})", device.name(), device.dtype().as_str());
    if let Some(memory) = device.memory() {
        let [used, total] = [memory.used_bytes, memory.total_bytes].map(bytes);
        found += &format!(", {used} of {total} used");
    }
    ok("device", found)
}

fn libraries(selected: Option<&Selection>) -> DoctorCheck {
    let search = || -> Result<_> { Ok((Catalog::library_version()?, search_with_faiss()?)) };
    let (duckdb, index) = match search() {
        Ok(found) => found,
        Err(error) => return failed("libraries", &error),
    };
    let versions = format!("DuckDB {duckdb}, {}, FAISS searches", tantivy::version_string());
    match selected.map_or(Ok(None), |selected| index.place(&selected.device, None)) {
        Ok(None) => ok("libraries", versions),
        Ok(Some(_)) => ok("libraries", format!("{versions}, also on the GPU")),
        Err(error) => {
            note("libraries", format!("{versions}, but not on the GPU"), error.to_string())
        }
    }
}

/// Builds an index of two vectors and searches for the second one.
fn search_with_faiss() -> Result<DenseIndex> {
    let vectors = Matrix::new(vec![1.0, 0.0, 0.0, 1.0], 2)?;
    let index = DenseIndex::build(&vectors, DenseKind::Flat, 0)?;
    let params = DenseParams { nprobe: 1, ef_search: 1, k_factor: 4, filter: None };
    let hits = index.search(&[0.0, 1.0], 1, &params)?;
    match hits.first() {
        Some(hit) if hit.id.row() == 1 => Ok(index),
        _ => Err(Error::Internal { what: "FAISS", detail: format!("it found {hits:?}") }),
    }
}

fn model(settings: &Settings) -> DoctorCheck {
    match models::resolve(&settings.model.name, &settings.model.places(process_env)) {
        Ok(model) => match NetworkKind::read(&model.path) {
            Ok(kind) => {
                let (name, path) = (&model.name, model.path.display());
                ok("model", format!("{name} in {path} ({})", kind.as_str()))
            }
            Err(error) => failed("model", &error),
        },
        Err(Error::ModelMissing { model, looked_in, remedy }) => {
            note("model", format!("{model} is not in {looked_in}"), remedy)
        }
        Err(error) => failed("model", &error),
    }
}

/// The device memory that the model needs, computed from its config.json alone; `None` if there is
/// no model, which another check says.
fn memory(settings: &Settings, Selection { device, .. }: &Selection) -> Option<DoctorCheck> {
    let model = models::resolve(&settings.model.name, &settings.model.places(process_env)).ok()?;
    let read = || {
        let (cost, threads) = (Cost::read(&model.path)?, device.host().threads());
        let dtype = match NetworkKind::read(&model.path)? {
            NetworkKind::Layers => device.dtype(),
            NetworkKind::CandleTransformers | NetworkKind::Static => Dtype::F32,
        };
        let weights = bytes(cost.weight_bytes(dtype));
        let dtype = dtype.as_str();
        if device.is_gpu() {
            let batch = bytes(cost.gpu_batch_bytes(batch_max(&settings.engine, true).0));
            return Ok(format!(
                "{weights} of weights in {dtype}, at most {batch} of activations per batch"
            ));
        }
        let scratch = bytes(threads as u64 * cost.scratch_bytes());
        Ok(format!(
            "{weights} of weights in {dtype}, at most {scratch} of activations on {}",
            counted(threads, "thread")
        ))
    };
    Some(match read() {
        Ok(found) => ok("memory of the model", found),
        Err(error) => failed("memory of the model", &error),
    })
}

/// The best model of the manifest that indexes 100,000 lines of code in some minutes here, and what
/// the others would take.
fn recommendation(Selection { device, .. }: &Selection) -> DoctorCheck {
    const NAME: &str = "recommended model";
    let rate = match device.peak_gflops() {
        Ok(peak) => SHARE_OF_PEAK * peak * 1e3,
        Err(error) => return failed(NAME, &error),
    };
    let embedders = Manifest::builtin().models().iter().filter(|entry| entry.pooling != "splade");
    // The more a model computes, the better it is: the manifest has no others.
    let mut timed: Vec<_> = embedders.map(|entry| (entry, rate / entry.mflop)).collect();
    timed.sort_by(|a, b| a.1.total_cmp(&b.1));
    let describe = |(entry, tokens_per_s): &(&ModelEntry, f64)| {
        let minutes = (TOKENS_OF_100_000_LINES / tokens_per_s / 60.0).ceil();
        format!("{} about {tokens_per_s:.0} tokens/s, {minutes} min", entry.name)
    };
    let all: Vec<String> = timed.iter().map(describe).collect();
    let enough = |timed: &&(&ModelEntry, f64)| TOKENS_OF_100_000_LINES / timed.1 <= INDEX_S_MAX;
    let found = format!("for 100,000 lines of code: {}", all.join("; "));
    match timed.iter().find(enough) {
        Some((entry, _)) => ok(NAME, format!("{}; {found}", entry.name)),
        None => note(
            NAME,
            format!("a static model; {found}"),
            "codeintel model distill all-MiniLM-L6-v2; docs/models.md compares them",
        ),
    }
}

/// Compares the model on the selected device, and with the operations of candle, with the CPU in
/// f32. Nothing is compared if there is no model, which another check says.
fn verification(settings: &Settings, selected: &Selection) -> Vec<DoctorCheck> {
    const NAME: &str = "verification";
    let folder = models::resolve(&settings.model.name, &settings.model.places(process_env));
    let Ok(model) = folder else { return Vec::new() };
    let mut ways = vec![Ok(selected.device.clone())];
    if !matches!(selected.device, Device::Candle(_)) {
        ways.push(Cpu::new(settings.engine.threads).map(|cpu| Device::Candle(Candle::on_cpu(cpu))));
    }
    let compare = |device: Result<Device>| {
        let device = device?;
        let encoder = Encoder::load(&model.path, &device)?;
        Ok::<_, Error>((agreement(&model.path, &encoder)?, encoder))
    };
    let check = |way| match compare(way) {
        Ok((cosine, encoder)) => {
            let (name, dtype) = (encoder.device().name(), encoder.device().dtype().as_str());
            let found = format!("{name} in {dtype}: a cosine of {cosine:.6} to the CPU in f32");
            if cosine >= AGREEMENT_MIN {
                ok(NAME, found)
            } else {
                DoctorCheck {
                    name: NAME,
                    state: "fail",
                    found: format!("{found}, less than {AGREEMENT_MIN}"),
                    remedy: Some("use engine.device = cpu".to_owned()),
                }
            }
        }
        Err(error) => failed(NAME, &error),
    };
    ways.into_iter().map(check).collect()
}

/// Checks the endpoint; `None` if this process embeds.
fn endpoint(settings: &Settings) -> Option<DoctorCheck> {
    if settings.vllm.mode == VllmMode::Inproc {
        return None;
    }
    let folder = models::resolve(&settings.model.name, &settings.model.places(process_env));
    let name = folder.map_or_else(|_| settings.model.name.clone(), |folder| folder.name);
    Some(match probe(&settings.endpoint, &name) {
        Ok(found) => ok("endpoint", found),
        Err(error) => failed("endpoint", &error),
    })
}

fn index(data: &DataFolder) -> DoctorCheck {
    match data.current() {
        Ok(version) => {
            let manifest = &version.manifest;
            let (name, chunks) = (&manifest.version, counted(manifest.live_chunks, "chunk"));
            ok("index", format!("version {name}, {chunks}, {}", manifest.dense_kind))
        }
        Err(Error::IndexMissing { data }) => {
            note("index", format!("none in {}", data.display()), "codeintel index PATH")
        }
        Err(error) => failed("index", &error),
    }
}

fn disk(name: &'static str, folder: &std::path::Path) -> DoctorCheck {
    let existing =
        folder.ancestors().find(|path| path.is_dir()).unwrap_or(std::path::Path::new("."));
    match rustix::fs::statvfs(existing) {
        Ok(stat) => {
            let free = stat.f_bavail * stat.f_frsize;
            let found = format!("{} free at {}", bytes(free), existing.display());
            if free < DISK_BYTES_MIN {
                note(name, found, "free some space, or use another folder")
            } else {
                ok(name, found)
            }
        }
        Err(errno) => note(name, format!("unknown: {errno}"), "check the folder"),
    }
}
