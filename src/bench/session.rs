//! Loading what a plan needs, and measuring it in order.

use std::time::Duration;

use super::cosine::{CorpusCosines, Cosines, TEXTS, cosines};
use super::machine::machine;
use super::measure::Bencher;
use super::other_target::OtherTarget;
use super::plan::{Length, Plan, TargetOptions};
use super::report::{Against, Report, Roof};
use super::texts::{self, Corpus};
use super::vectors::SearchedVectors;
use crate::base::config::{DeviceChoice, DtypeChoice, Settings, VllmMode, process_env};
use crate::base::error::{Error, Result};
use crate::base::telemetry::RunContext;
use crate::device::{Cpu, Device, Dtype};
use crate::embedding::engine::{Endpoint, Engine, batch_max};
use crate::embedding::models::{self, ModelFolder};
use crate::embedding::nn::Cost;
use crate::index::versions::DataFolder;

/// The text that shows that an endpoint answers, and the dimension of its vectors.
const PROBE: &str = "codeintel";
/// Time limit of a measured request to the endpoint: the largest value of endpoint.timeout_ms.
const TIMEOUT_MS: u64 = 600_000;

/// What a session reports while it works.
pub enum Progress<'a> {
    /// The step that begins.
    Step(&'a str),
    /// The number of steps that each end with [`Progress::CellDone`].
    Cells(usize),
    CellDone,
}

/// All that one run measures with.
pub struct Session<'a> {
    plan: &'a Plan,
    run: &'a RunContext,
    progress: &'a (dyn Fn(Progress<'_>) + Sync),
    settings: Settings,
    data: DataFolder,
    folder: ModelFolder,
    device: Device,
    engine: Engine,
    remote: Option<Remote>,
}

/// The other target that is measured too.
struct Remote {
    other_target: OtherTarget,
    dim: usize,
}

impl<'a> Session<'a> {
    /// Loads the model, without a vector cache, and checks that the other target answers.
    pub fn open(
        settings: &Settings,
        data: DataFolder,
        plan: &'a Plan,
        run: &'a RunContext,
        progress: &'a (dyn Fn(Progress<'_>) + Sync),
    ) -> Result<Self> {
        progress(Progress::Step("the model"));
        let mut settings = settings.clone();
        settings.vllm.mode = VllmMode::Inproc;
        settings.engine.cache_bytes_max = 0;
        let folder = models::resolve(&settings.model.name, &settings.model.places(process_env))?;
        let other_target = plan.against.as_ref().map(|against| match against {
            TargetOptions::Candle => OtherTarget::candle(&folder, &settings),
            TargetOptions::Endpoint { url, model } => {
                settings.endpoint.url.clone_from(url);
                settings.endpoint.model = model.clone().unwrap_or_default();
                // The latency of a request that was sent twice would be wrong.
                settings.endpoint.retries_max = 0;
                // An endpoint that does not answer at all is named soon.
                Endpoint::new(&settings.endpoint, &folder.name)?.embed(&[PROBE], run)?;
                settings.endpoint.timeout_ms = TIMEOUT_MS;
                let endpoint = Endpoint::new(&settings.endpoint, &folder.name)?;
                Ok(OtherTarget::Endpoint(Box::new(endpoint)))
            }
        });
        let remote = other_target.transpose()?.map(|other_target| {
            let dim = other_target.embed(&[PROBE], run)?.vectors.d();
            Ok::<_, Error>(Remote { other_target, dim })
        });
        let remote = remote.transpose()?;
        let engine = Engine::start(&folder, &settings, None)?;
        let cpu = Cpu::new(settings.engine.threads)?;
        let cpu = if engine.on_gpu() { cpu } else { cpu.with_dtype(settings.engine.dtype)? };
        let device = Device::Cpu(cpu);
        Ok(Self { plan, run, progress, settings, data, folder, device, engine, remote })
    }

    /// Measures on as many threads as the engine has: tokenising takes no more either. The error is
    /// what ended the run before its last cell.
    pub fn measure(&self) -> Result<(Report, Option<Error>)> {
        self.device.host().install(|| {
            let mut notes = Vec::new();
            self.step("texts");
            let real = texts::real(self.plan, &self.data, self.engine.tokenizer())?;
            let corpora = self.corpora(&real.texts, &mut notes)?;
            self.step("cosines to f32");
            let cosines = self.cosines(&corpora)?;
            self.step("the roof");
            let mut report = self.report(real.source, &cosines, notes)?;
            self.step("vectors");
            let vectors =
                self.plan.vectors.map(|n| SearchedVectors::new(&self.engine, n)).transpose()?;
            if vectors.is_some()
                && self.engine.on_gpu()
                && let Err(why) = self.engine.search_device()
            {
                report.notes.push(format!("the vectors are searched on the CPU: {why}"));
            }
            let stopped = self.cells(&corpora, &cosines, vectors.as_ref(), &mut report).err();
            report.complete = stopped.is_none();
            Ok((report, stopped))
        })
    }

    fn step(&self, name: &str) {
        (self.progress)(Progress::Step(name));
    }

    fn corpora(&self, real: &[String], notes: &mut Vec<String>) -> Result<Vec<Corpus>> {
        let batch_max = self.plan.batch_max();
        let mut corpora = Vec::new();
        for &length in &self.plan.lengths {
            match texts::corpus(length, batch_max.max(TEXTS), real, self.engine.tokenizer())? {
                Ok(corpus) => corpora.push(corpus),
                Err(why) => notes.push(why),
            }
        }
        for corpus in corpora.iter().filter(|corpus| corpus.distinct() < batch_max) {
            let (length, distinct) = (corpus.length, corpus.distinct());
            let texts = if distinct == 1 { "text" } else { "texts" };
            notes.push(format!(
                "length {length}: only {distinct} different {texts}; equal texts of one request are \
                 computed once in this process, so larger requests look faster than they are"
            ));
        }
        if corpora.is_empty() {
            let lengths = self.plan.lengths.iter().map(Length::to_string);
            return Err(Error::Argument {
                name: "--lengths",
                value: lengths.collect::<Vec<_>>().join(","),
                expected: format!("a length that can be measured; {}", notes.join("; ")),
            });
        }
        Ok(corpora)
    }

    /// Of each corpus.
    fn cosines(&self, corpora: &[Corpus]) -> Result<Vec<CorpusCosines>> {
        let reference = if self.engine.identity().dtype == Dtype::F32 {
            self.engine.clone()
        } else {
            let mut exact = self.settings.clone();
            exact.engine.dtype = DtypeChoice::F32;
            exact.engine.device = DeviceChoice::Cpu;
            Engine::start(&self.folder, &exact, None)?
        };
        let other_target = self.remote.as_ref().map(|remote| &remote.other_target);
        corpora
            .iter()
            .map(|corpus| cosines(corpus, &reference, &self.engine, other_target, self.run))
            .collect()
    }

    /// All of the report but its cells.
    fn report(
        &self,
        texts: &'static str,
        cosines: &[CorpusCosines],
        notes: Vec<String>,
    ) -> Result<Report> {
        let (identity, device) = (self.engine.identity(), &self.device);
        let (name, threads) = (self.engine.device_name().to_owned(), device.host().threads());
        let dtype = identity.dtype.as_str();
        let computes = self.engine.device().unwrap_or(device);
        let what = if computes.is_gpu() {
            format!("cuBLASLt on square matrices in {dtype}")
        } else {
            format!("the {dtype} tile loop of {name} on operands in L1, threads: {threads}")
        };
        let roof = Roof { gflops: computes.peak_gflops()?, what };
        let compared: Option<Vec<&Cosines>> =
            cosines.iter().map(|cosines| cosines.remote.as_ref()).collect();
        let against = self.remote.as_ref().map(|remote| Against {
            url: remote.other_target.name().to_owned(),
            model: remote.other_target.model().to_owned(),
            dim: remote.dim,
            cosine: compared.map(|compared| Cosines::joined(compared).summary()),
        });
        Ok(Report {
            measured_at: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            machine: machine(device),
            model: identity.name.clone(),
            device: name,
            dtype,
            threads,
            roof,
            vectors: self.plan.vectors,
            cosine: Cosines::joined(cosines.iter().map(|cosines| &cosines.local)).summary(),
            texts: texts.to_owned(),
            against,
            complete: false,
            notes,
            cells: Vec::new(),
        })
    }

    fn cells(
        &self,
        corpora: &[Corpus],
        cosines: &[CorpusCosines],
        vectors: Option<&SearchedVectors>,
        report: &mut Report,
    ) -> Result<()> {
        let bencher = Bencher {
            engine: &self.engine,
            vectors,
            other_target: self.remote.as_ref().map(|remote| &remote.other_target),
            cost: &Cost::read(&self.folder.path)?,
            roof_gflops: report.roof.gflops,
            batch_tokens_max: batch_max(&self.settings.engine, self.engine.on_gpu()).0,
            duration_min: Duration::from_secs_f64(self.plan.seconds),
            run: self.run,
        };
        (self.progress)(Progress::Cells(corpora.len() * self.plan.batch_sizes.len()));
        for (corpus, cosines) in corpora.iter().zip(cosines) {
            for &batch in &self.plan.batch_sizes {
                self.step(&format!("{batch} texts, length {}", corpus.length));
                let mut cells = bencher.cells(corpus, batch, &mut report.notes)?;
                for cell in &mut cells {
                    let of_target = if cell.is_local() {
                        Some(&cosines.local)
                    } else {
                        cosines.remote.as_ref()
                    };
                    cell.cosine = of_target.map(|cosines| cosines.summary().mean);
                }
                let texts_per_s = cells[0].sequences_per_s;
                tracing::info!(length = %corpus.length, batch, texts_per_s, "measured");
                report.cells.extend(cells);
                (self.progress)(Progress::CellDone);
            }
        }
        Ok(())
    }
}
