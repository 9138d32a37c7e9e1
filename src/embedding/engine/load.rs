//! Loading of a model folder, with or without its weights.

use super::worker::compute::{BatchRequest, BatchRows, Compute, Launch};
use super::{EngineOptions, PromptKind};
use crate::base::config::{
    BackendChoice, DeviceChoice, DtypeChoice, EndpointSettings, EngineSettings,
};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::telemetry::labels::Mode;
use crate::base::vector::Matrix;
use crate::device::{Device, Dtype, Selection};
use crate::embedding::engine::endpoint::Remote;
use crate::embedding::models::identity::{ModelIdentity, revision};
use crate::embedding::models::{ModelFolder, Task};
use crate::embedding::nn::{
    AGREEMENT_MIN, Classifier, Cuts, Encoder, NetworkKind, Pooler, Pooling, ScoreActivation,
    SentenceConfig, Similarity, Splade, TextConfig, agreement,
};
use crate::embedding::token::Ragged;

/// Tokens read from a text if the folder does not state the model's limit.
const TOKENS_MAX_UNKNOWN: usize = 512;

/// A model that is ready to compute in this process.
pub(super) struct Loaded {
    pub identity: ModelIdentity,
    pub device: Device,
    /// Why it is this device.
    pub reason: String,
    pub compute: Box<dyn Compute>,
    /// The fewest tokens in a batch that keep the whole device busy.
    pub busy_tokens: usize,
}

/// Loads the weights of the model for its task.
pub(super) fn load(
    folder: &ModelFolder,
    settings: &EngineSettings,
    options: EngineOptions,
) -> Result<Loaded> {
    match options.task {
        Task::Embed => load_embedder(folder, settings, options),
        Task::Expand => load_splade(folder, settings),
        Task::Score => load_classifier(folder, settings),
        Task::TokenVectors => load_encoder(folder, settings),
    }
}

fn load_embedder(
    folder: &ModelFolder,
    settings: &EngineSettings,
    options: EngineOptions,
) -> Result<Loaded> {
    let load = |device: &Device| Encoder::load(&folder.path, device);
    let (Selection { device, reason }, encoder) = on_device(folder, settings, load, |it| it)?;
    let mut sentence = SentenceConfig::read(&folder.path)?;
    sentence.pooling = options.pooling.map_or(sentence.pooling, Into::into);
    sentence.normalize = options.normalize.unwrap_or(sentence.normalize);
    let pooler = Pooler::load(&folder.path, &sentence, encoder.hidden_dim(), &device)?;
    let positions = encoder.max_positions();
    let identity = ModelIdentity {
        name: folder.name.clone(),
        revision: revision(&folder.path)?,
        pooling: sentence.pooling.clone(),
        // The reference does not normalise again what is left of a vector.
        normalize: sentence.normalize && pooler.is_whole(),
        dim: pooler.dim(),
        max_tokens: sentence.max_seq_length.unwrap_or(positions).min(positions),
        dtype: device.dtype(),
        document_prompt: PromptKind::Document.prompt(&sentence.prompts).to_owned(),
        task: Task::Embed,
        activation: ScoreActivation::default(),
        cuts: Cuts::None,
        similarity: sentence.similarity,
        mode: Mode::Inproc,
    };
    let busy_tokens = encoder.busy_tokens();
    let compute = compute(encoder, pooler);
    Ok(Loaded { identity, device, reason, compute, busy_tokens })
}

/// A model with a classification head.
fn load_classifier(folder: &ModelFolder, settings: &EngineSettings) -> Result<Loaded> {
    let load = |device: &Device| Classifier::load(&folder.path, device);
    let (Selection { device, reason }, classifier) =
        on_device(folder, settings, load, Classifier::encoder)?;
    let (labels, positions) = (classifier.labels(), classifier.max_positions());
    let identity = head_identity(folder, &device, Task::Score, labels, positions)?;
    let busy_tokens = classifier.busy_tokens();
    let compute = Box::new(move |batch: &Ragged| classifier.logits(batch));
    Ok(Loaded { identity, device, reason, compute, busy_tokens })
}

/// A model with a masked-language-model head.
fn load_splade(folder: &ModelFolder, settings: &EngineSettings) -> Result<Loaded> {
    let load = |device: &Device| Splade::load(&folder.path, device);
    let (Selection { device, reason }, splade) =
        on_device(folder, settings, load, Splade::encoder)?;
    let (vocab, positions) = (splade.vocab_size(), splade.max_positions());
    let identity = head_identity(folder, &device, Task::Expand, vocab, positions)?;
    let busy_tokens = splade.busy_tokens();
    let compute = Box::new(Expander(splade));
    Ok(Loaded { identity, device, reason, compute, busy_tokens })
}

/// positions: tokens of the longest sequence that the network accepts.
fn head_identity(
    folder: &ModelFolder,
    device: &Device,
    task: Task,
    dim: usize,
    positions: usize,
) -> Result<ModelIdentity> {
    let text = TextConfig::read(&folder.path)?;
    let activation = match task {
        Task::Score => ScoreActivation::read(&folder.path, dim)?,
        _ => ScoreActivation::default(),
    };
    Ok(ModelIdentity {
        name: folder.name.clone(),
        revision: revision(&folder.path)?,
        pooling: Pooling::Max.into(),
        normalize: false,
        dim,
        max_tokens: text.max_seq_length.unwrap_or(positions).min(positions),
        dtype: device.dtype(),
        document_prompt: PromptKind::Document.prompt(&text.prompts).to_owned(),
        task,
        activation,
        cuts: Cuts::None,
        similarity: Similarity::default(),
        mode: Mode::Inproc,
    })
}

/// A model whose hidden states are the results.
fn load_encoder(folder: &ModelFolder, settings: &EngineSettings) -> Result<Loaded> {
    let load = |device: &Device| Encoder::load(&folder.path, device);
    let (Selection { device, reason }, encoder) = on_device(folder, settings, load, |it| it)?;
    let (d, positions) = (encoder.hidden_dim(), encoder.max_positions());
    let identity = head_identity(folder, &device, Task::TokenVectors, d, positions)?;
    let busy_tokens = encoder.busy_tokens();
    let compute = Box::new(TokenEncoder(encoder));
    Ok(Loaded { identity, device, reason, compute, busy_tokens })
}

struct TokenEncoder(Encoder);

impl Compute for TokenEncoder {
    fn launch(&mut self, batch: &Ragged, _: &BatchRequest) -> Result<Launch> {
        let hidden = self.0.forward(batch)?;
        let d = hidden.d();
        let ranges = batch.cu_seqlens.windows(2).map(|ends| ends[0] as usize..ends[1] as usize);
        let tokens = ranges
            .map(|range| Matrix::new(hidden.as_slice()[range.start * d..range.end * d].to_vec(), d))
            .collect::<Result<_>>()?;
        Ok(Launch::Done(BatchRows::Tokens(tokens).into()))
    }
}

struct Expander(Splade);

impl Compute for Expander {
    fn launch(&mut self, batch: &Ragged, _: &BatchRequest) -> Result<Launch> {
        let expansions = self.0.expand(batch)?;
        Ok(Launch::Done(BatchRows::Sparse(expansions).into()))
    }
}

fn compute(encoder: Encoder, pooler: Pooler) -> Box<dyn Compute> {
    #[cfg(feature = "cuda")]
    if pooler.is_on_gpu() {
        return Box::new(super::gpu::OnGpu { encoder, pooler });
    }
    Box::new(move |batch: &Ragged| pooler.embed(&encoder, batch))
}

/// Calls `load` with the device of the settings. If the settings leave the choice open, a model
/// that cannot be loaded on the GPU, or that computes something else there, is loaded on the CPU.
/// encoder: the network in what was loaded.
fn on_device<M>(
    folder: &ModelFolder,
    settings: &EngineSettings,
    load: impl Fn(&Device) -> Result<M>,
    encoder: impl Fn(&M) -> &Encoder,
) -> Result<(Selection, M)> {
    let kind = NetworkKind::read(&folder.path)?;
    let mut selection = match kind {
        NetworkKind::Layers => Selection::open(settings)?,
        NetworkKind::CandleTransformers => open_candle(folder, settings)?,
        NetworkKind::Static => open_static(folder, settings)?,
    };
    let load_checked = |device: &Device| {
        let loaded = load(device)?;
        if settings.verify && device.is_gpu() {
            verify(folder, encoder(&loaded))?;
        }
        Ok(loaded)
    };
    let mut loaded = load_checked(&selection.device);
    if let Err(
        error @ (Error::ModelUnsupported { .. }
        | Error::Unavailable { .. }
        | Error::OutOfMemory { .. }),
    ) = &loaded
        && settings.device == DeviceChoice::Auto
        && selection.device.is_gpu()
    {
        let why = format!("auto: {error}");
        selection = match kind {
            NetworkKind::Layers | NetworkKind::Static => Selection::cpu(settings, &why)?,
            NetworkKind::CandleTransformers => Selection::candle_cpu(settings, &why)?,
        };
        loaded = load(&selection.device);
    }
    let Selection { device, reason: why } = &selection;
    let (name, dtype) = (device.name(), device.dtype().as_str());
    tracing::info!(device = name, dtype, why, "the network's device");
    Ok((selection, loaded?))
}

/// The device for a network of candle-transformers.
fn open_candle(folder: &ModelFolder, settings: &EngineSettings) -> Result<Selection> {
    if settings.backend == BackendChoice::Native {
        return Err(Error::ModelUnsupported {
            found: format!("{} with engine.backend = native", folder.name),
            supported:
                "engine.backend = auto or candle for this family, which candle-transformers \
                        computes"
                    .to_owned(),
        });
    }
    if !matches!(settings.dtype, DtypeChoice::Auto | DtypeChoice::F32) {
        return Err(Error::Argument {
            name: "engine.dtype",
            value: settings.dtype.to_string(),
            expected: "auto or f32 for this family, which candle-transformers computes".to_owned(),
        });
    }
    let mut selection = Selection::candle(settings)?;
    selection.reason = "candle-transformers computes this family".to_owned();
    Ok(selection)
}

/// The device of a static model, of which a GPU would only copy what the CPU reads.
fn open_static(folder: &ModelFolder, settings: &EngineSettings) -> Result<Selection> {
    match settings.device {
        DeviceChoice::Auto | DeviceChoice::Cpu => {
            Selection::cpu(settings, "the model is a table of token vectors")
        }
        other => Err(Error::ModelUnsupported {
            found: format!("{}, a static model, with engine.device = {other}", folder.name),
            supported: "engine.device = auto or cpu for static models".to_owned(),
        }),
    }
}

/// Refuses a device whose vectors are not those of the CPU.
fn verify(folder: &ModelFolder, encoder: &Encoder) -> Result<()> {
    let cosine = agreement(&folder.path, encoder)?;
    if cosine >= AGREEMENT_MIN {
        return Ok(());
    }
    Err(Error::Unavailable {
        what: format!(
            "the device {} for {}, whose vectors there have a cosine of {cosine:.4} to those of the \
             CPU in f32, less than {AGREEMENT_MIN}",
            encoder.device().name(),
            folder.name
        ),
        remedy: "use engine.device = cpu, or engine.verify = false to accept these vectors"
            .to_owned(),
    })
}

/// Queries the endpoint for the length of its vectors and compares it with that of the folder.
/// failed: why the model could not be loaded in this process, if that was tried.
///
/// If the folder is complete and only the device failed, the endpoint is assumed to serve the model
/// of the folder, so that an index built in this process can still be searched.
pub(super) fn describe(
    folder: &ModelFolder,
    settings: &EngineSettings,
    remote: &Remote,
    failed: Option<&Error>,
) -> Result<ModelIdentity> {
    let sentence = SentenceConfig::read(&folder.path)?;
    let limits = Encoder::limits(&folder.path).ok();
    let dim = remote.dimension()?;
    // With dense layers, the vectors do not have the length of the hidden states.
    let poolings = sentence.pooling.as_slice().len();
    let is_pooled = sentence.dense.is_empty() && sentence.truncate_dim.is_none();
    let hidden = limits.map(|(d, _)| d * poolings).filter(|_| is_pooled);
    if let Some(d) = hidden.filter(|d| *d != dim) {
        let what = format!("the model {:?} at {}", remote.model(), remote.base());
        let remedy = format!(
            "its vectors have {dim} values, those of {} have {d}; set endpoint.model, or model.name to \
             the model that the endpoint serves",
            folder.name
        );
        return Err(Error::Unavailable { what, remedy });
    }
    let positions = limits.map(|(_, positions)| positions);
    let max_tokens = match (sentence.max_seq_length, positions) {
        (Some(tokens), Some(positions)) => tokens.min(positions),
        (tokens, positions) => tokens.or(positions).unwrap_or(TOKENS_MAX_UNKNOWN),
    };
    let whole = failed.is_some_and(|error| {
        !matches!(
            error.kind(),
            ErrorKind::Model | ErrorKind::ModelMissing | ErrorKind::PathNotFound
        )
    });
    let (mode, revision, dtype) = if whole {
        let dtype = Selection::open(settings).map_or(Dtype::F32, |on| on.device.dtype());
        (Mode::Inproc, revision(&folder.path)?, dtype)
    } else {
        (Mode::Http, remote.model().to_owned(), Dtype::F32)
    };
    Ok(ModelIdentity {
        name: folder.name.clone(),
        revision,
        pooling: sentence.pooling,
        normalize: sentence.normalize,
        dim,
        max_tokens,
        dtype,
        document_prompt: PromptKind::Document.prompt(&sentence.prompts).to_owned(),
        task: Task::Embed,
        activation: ScoreActivation::default(),
        cuts: Cuts::None,
        similarity: sentence.similarity,
        mode,
    })
}

/// Requests one vector from the endpoint of the settings and returns a sentence about the response.
/// name: the name of the model if `endpoint.model` is empty.
pub fn probe(settings: &EndpointSettings, name: &str) -> Result<String> {
    let remote = Remote::new(settings, name)?;
    let d = remote.dimension()?;
    Ok(format!("{}, model {:?}, vectors of {d} values", remote.base(), remote.model()))
}

/// Returns an error if `options` override pooling or normalisation, which the endpoint decides.
pub(super) fn refuse(options: EngineOptions) -> Result<()> {
    match options.pooling {
        _ if options.normalize.is_none() && options.pooling.is_none() => Ok(()),
        pooling => Err(Error::Argument {
            name: "pooling",
            value: pooling.map_or("another length of vectors", |p| p.as_str()).to_owned(),
            expected: "none, as long as vllm.mode lets an endpoint embed".to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::base::error::ErrorKind;

    fn golden(name: &str) -> ModelFolder {
        ModelFolder::at(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name))
    }

    #[test]
    fn a_device_that_computes_other_vectors_is_refused_with_the_cosine() {
        let device = Device::cpu(1).unwrap();
        let encoder = Encoder::load(&golden("distilbert").path, &device).unwrap();
        verify(&golden("distilbert"), &encoder).unwrap();
        let error = verify(&golden("bert"), &encoder).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        let text = error.to_string();
        assert!(text.contains("less than 0.999") && text.contains("engine.verify"), "{text}");
    }

    #[test]
    fn a_family_of_candle_transformers_needs_candle() {
        let settings = |backend| EngineSettings { backend, threads: 1, ..Default::default() };
        let options = EngineOptions::default();
        let loaded = load(&golden("t5"), &settings(BackendChoice::Auto), options).unwrap();
        assert_eq!(
            (loaded.device.name().as_str(), loaded.identity.dtype),
            ("candle cpu", Dtype::F32)
        );
        assert!(loaded.reason.contains("candle-transformers"), "{}", loaded.reason);
        let refused = load(&golden("t5"), &settings(BackendChoice::Native), options);
        let text = refused.err().unwrap().to_string();
        assert!(
            text.contains("engine.backend = native") && text.contains("auto or candle"),
            "{text}"
        );
        let int8 = EngineSettings { dtype: DtypeChoice::Int8, ..settings(BackendChoice::Auto) };
        let text = load(&golden("t5"), &int8, options).err().unwrap().to_string();
        assert!(text.contains("engine.dtype") && text.contains("int8"), "{text}");
        let candle = load(&golden("bert"), &settings(BackendChoice::Candle), options).unwrap();
        assert_eq!(candle.device.name(), "candle cpu");
    }
}
