//! What is loaded, and in which order is it measured?

use std::time::Duration;

use indicatif::ProgressBar;

use super::base::Base;
use super::cosine::{Cosines, TEXTS, cosines};
use super::machine::machine;
use super::measure::Bencher;
use super::plan::{Length, Plan};
use super::texts::{self, Corpus};
use crate::base::config::{DeviceChoice, DtypeChoice, Settings, VllmMode, process_env};
use crate::base::error::{Error, Result};
use crate::base::telemetry::RunContext;
use crate::cli::Context;
use crate::cli::args::BenchArgs;
use crate::device::{Cpu, Device, Dtype};
use crate::embedding::engine::{Endpoint, Engine, batch_max};
use crate::embedding::models::{self, ModelFolder};
use crate::embedding::nn::Cost;
use crate::index::versions::DataFolder;
use crate::tools::wire::{Against, Bench, Roof};

/// What the endpoint embeds to show that it is there, and how long its vectors are.
const PROBE: &str = "codeintel";
/// How long the endpoint may take for a request that is measured: the longest of vllm.timeout_ms.
const TIMEOUT_MS: u64 = 600_000;

/// All that one run measures with.
pub struct Session<'a> {
    args: &'a BenchArgs,
    plan: &'a Plan,
    run: &'a RunContext,
    bar: &'a ProgressBar,
    settings: Settings,
    data: DataFolder,
    folder: ModelFolder,
    device: Device,
    engine: Engine,
    /// With the number of values of its vectors.
    endpoint: Option<(Endpoint, usize)>,
}

impl<'a> Session<'a> {
    /// Loads the model, without a vector cache, and asks the endpoint whether it is there.
    pub fn open(
        cx: &Context,
        args: &'a BenchArgs,
        plan: &'a Plan,
        run: &'a RunContext,
        bar: &'a ProgressBar,
    ) -> Result<Self> {
        let mut settings = cx.settings.clone();
        (settings.vllm_mode, settings.cache_bytes_max) = (VllmMode::Inproc, 0);
        let folder = models::resolve(&settings.model_name, &settings.models_folder(process_env))?;
        let endpoint = args.against.as_deref().map(|url| {
            settings.vllm_url = url.to_owned();
            settings.vllm_model = args.against_model.clone().unwrap_or_default();
            // A request that is sent twice is no figure.
            settings.vllm_retries_max = 0;
            let d = Endpoint::new(&settings, &folder.name)?.embed(&[PROBE], run)?.vectors.d();
            settings.vllm_timeout_ms = TIMEOUT_MS;
            Ok((Endpoint::new(&settings, &folder.name)?, d))
        });
        let endpoint = endpoint.transpose()?;
        let engine = Engine::start(&folder, &settings, None)?;
        let cpu = Cpu::new(settings.threads)?;
        let cpu = if engine.on_gpu() { cpu } else { cpu.with_dtype(settings.dtype)? };
        let device = Device::Cpu(cpu);
        let data = cx.data();
        Ok(Self { args, plan, run, bar, settings, data, folder, device, engine, endpoint })
    }

    /// Measures on as many threads as the engine has: tokenising takes no more either. The error is
    /// what ended the run before its last cell.
    pub fn measure(&self) -> Result<(Bench, Option<Error>)> {
        self.device.host().install(|| {
            let mut notes = Vec::new();
            self.bar.set_message("texts");
            let (real, source) = texts::real(self.args, &self.data, self.engine.tokenizer())?;
            let corpora = self.corpora(&real, &mut notes)?;
            self.bar.set_message("cosines to f32");
            let cosines = self.cosines(&corpora)?;
            self.bar.set_message("the roof");
            let mut bench = self.bench(source, &cosines, notes)?;
            self.bar.set_message("vectors");
            let base = self.plan.vectors.map(|n| Base::new(&self.engine, n)).transpose()?;
            if let (Some(_), true, Err(why)) =
                (&base, self.engine.on_gpu(), self.engine.search_device())
            {
                bench.notes.push(format!("the vectors are searched on the CPU: {why}"));
            }
            let stopped = self.cells(&corpora, &cosines, base.as_ref(), &mut bench).err();
            bench.complete = stopped.is_none();
            Ok((bench, stopped))
        })
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
            notes.push(format!(
                "length {length}: only {distinct} different texts; equal ones of one request are computed \
                 once here, so larger requests look faster than they are"
            ));
        }
        match corpora.is_empty() {
            false => Ok(corpora),
            true => Err(Error::Argument {
                name: "--lengths",
                value: self
                    .plan
                    .lengths
                    .iter()
                    .map(Length::to_string)
                    .collect::<Vec<_>>()
                    .join(","),
                expected: format!("a length that can be measured; {}", notes.join("; ")),
            }),
        }
    }

    /// Of each corpus, here and at an endpoint whose vectors can be compared.
    fn cosines(&self, corpora: &[Corpus]) -> Result<Vec<(Cosines, Option<Cosines>)>> {
        let (dtype, device) = (DtypeChoice::F32, DeviceChoice::Cpu);
        let exact = Settings { dtype, device, ..self.settings.clone() };
        let reference = match self.engine.identity().dtype {
            Dtype::F32 => self.engine.clone(),
            _ => Engine::start(&self.folder, &exact, None)?,
        };
        let endpoint = self.endpoint.as_ref().map(|(endpoint, _)| endpoint);
        let of = |corpus| cosines(corpus, &reference, &self.engine, endpoint, self.run);
        corpora.iter().map(of).collect()
    }

    /// All but the cells.
    fn bench(
        &self,
        texts: String,
        cosines: &[(Cosines, Option<Cosines>)],
        notes: Vec<String>,
    ) -> Result<Bench> {
        let (identity, device) = (self.engine.identity(), &self.device);
        let (name, threads) = (self.engine.device_name().to_owned(), device.host().threads());
        let dtype = identity.dtype.as_str();
        let computes = self.engine.device().unwrap_or(device);
        let what = match computes.is_gpu() {
            true => format!("cuBLASLt on square matrices in {dtype}"),
            false => {
                format!("the {dtype} tile loop of {name} on operands in L1, threads: {threads}")
            }
        };
        let roof = Roof { gflops: computes.peak_gflops()?, what };
        let there: Option<Vec<&Cosines>> =
            cosines.iter().map(|(_, there)| there.as_ref()).collect();
        let against = self.endpoint.as_ref().map(|(endpoint, dim)| Against {
            url: endpoint.base().to_owned(),
            model: endpoint.model().to_owned(),
            dim: *dim,
            cosine: there.map(|there| Cosines::joined(there).told()),
        });
        Ok(Bench {
            measured_at: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            machine: machine(device),
            model: identity.name.clone(),
            device: name,
            dtype,
            threads,
            roof,
            vectors: self.plan.vectors,
            cosine: Cosines::joined(cosines.iter().map(|(here, _)| here)).told(),
            texts,
            against,
            complete: false,
            notes,
            cells: Vec::new(),
        })
    }

    fn cells(
        &self,
        corpora: &[Corpus],
        cosines: &[(Cosines, Option<Cosines>)],
        base: Option<&Base>,
        bench: &mut Bench,
    ) -> Result<()> {
        let bencher = Bencher {
            engine: &self.engine,
            base,
            endpoint: self.endpoint.as_ref().map(|(endpoint, _)| endpoint),
            cost: &Cost::read(&self.folder.path)?,
            roof_gflops: bench.roof.gflops,
            batch_tokens_max: batch_max(&self.settings, self.engine.on_gpu()).0,
            least: Duration::from_secs_f64(self.plan.seconds),
            run: self.run,
        };
        self.bar.set_length((corpora.len() * self.plan.batch_sizes.len()) as u64);
        for (corpus, (here, there)) in corpora.iter().zip(cosines) {
            for &batch in &self.plan.batch_sizes {
                self.bar.set_message(format!("{batch} texts, length {}", corpus.length));
                let mut cells = bencher.cells(corpus, batch, &mut bench.notes)?;
                for cell in &mut cells {
                    let cosines = if cell.is_here() { Some(here) } else { there.as_ref() };
                    cell.cosine = cosines.map(|cosines| cosines.told().mean);
                }
                let texts_per_s = cells[0].sequences_per_s;
                tracing::info!(length = %corpus.length, batch, texts_per_s, "measured");
                bench.cells.extend(cells);
                self.bar.inc(1);
            }
        }
        Ok(())
    }
}
