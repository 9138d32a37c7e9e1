//! What was set, by whom, and is it valid?
//!
//! Raw settings (defaults < `codeintel.toml` < `CODEINTEL_*` < flags) become checked [`Settings`].
//! One table, [`KEYS`], gives the default file, the help texts and the checks.

mod environment;
mod hub;
mod load;
mod settings;
mod value;

pub use environment::{Secret, process_env};
pub use hub::{Hub, ModelPlaces};
pub use load::FILE_NAME;
pub use settings::{
    ChunkSettings, DataSettings, EndpointSettings, EngineSettings, IndexSettings, KEYS, Key,
    MetricsSettings, ModelSettings, SearchSettings, ServeSettings, Settings, SourceSettings,
    TelemetrySettings, VllmSettings, clone_folder, default_file, help,
};
pub use value::{
    BackendChoice, CaptureQuery, DenseDevice, DenseKind, DeviceChoice, DtypeChoice, FusionChoice,
    IndexNeed, InstructionsChoice, MetricsRoute, RerankMethod, SemconvCompat, Value, VllmMode,
};
