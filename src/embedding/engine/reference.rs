//! What a model computes for the texts of its reference.

use super::{EmbedRequest, Engine, EngineOptions, Lane, PromptKind, ScoreRequest, Task};
use crate::base::config::{BackendChoice, DeviceChoice, DtypeChoice, Settings, VllmMode};
use crate::base::error::{Error, Result};
use crate::base::telemetry::labels::Tool;
use crate::base::telemetry::{RunContext, Telemetry};
use crate::device::Dtype;
use crate::embedding::models::{ModelFolder, Reference, task_of};
use crate::embedding::nn::{Cost, PROBES};

/// Bytes of weights in f32 beyond which a pull does not load a model to compute its reference.
const WEIGHT_BYTES_MAX: u64 = 8 << 30;

/// The reference of the model in `folder` by the CPU in f32; `None` for one that is too large.
pub fn exact_reference(folder: &ModelFolder, settings: &Settings) -> Result<Option<Reference>> {
    if Cost::read(&folder.path)?.weight_bytes(Dtype::F32) > WEIGHT_BYTES_MAX {
        return Ok(None);
    }
    let mut settings = settings.clone();
    settings.engine.device = DeviceChoice::Cpu;
    settings.engine.dtype = DtypeChoice::F32;
    settings.engine.backend = BackendChoice::Auto;
    reference(folder, &settings).map(Some)
}

/// The reference of the model in `folder` by the device and the numbers of `settings`.
pub fn reference(folder: &ModelFolder, settings: &Settings) -> Result<Reference> {
    let mut settings = settings.clone();
    settings.vllm.mode = VllmMode::Inproc;
    let start = |task| {
        let options = EngineOptions { task, ..EngineOptions::default() };
        Engine::start_with(folder, &settings, None, options)
    };
    let task = task_of(&folder.path)?;
    let engine = match start(task) {
        // Many encoders name the head that they were trained with, but do not have it.
        Err(Error::ModelBroken { .. }) if task == Task::Expand => start(Task::Embed)?,
        engine => engine?,
    };
    // It belongs to no run and is not measured as one.
    let cx = RunContext::new(&Telemetry::detached(), Tool::Embed, &[]);
    let request = EmbedRequest::bulk(&PROBES, PromptKind::None);
    Ok(Reference::new(match engine.identity().task {
        Task::Score => {
            let pairs = PROBES.map(|probe| (PROBES[0], probe));
            let scores = engine.score(ScoreRequest { pairs: &pairs, lane: Lane::Bulk }, &cx)?;
            scores.logits.rows().map(<[f32]>::to_vec).collect()
        }
        Task::Expand => {
            let expansions = engine.expand(request, &cx)?.vectors;
            expansions.into_iter().map(|vector| vector.weights).collect()
        }
        Task::Embed | Task::TokenVectors => {
            engine.embed(request, &cx)?.vectors.rows().map(<[f32]>::to_vec).collect()
        }
    }))
}
