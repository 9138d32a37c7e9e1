//! Values of settings: parsing from text, and formatting for the default file.

use std::fmt::Display;
use std::str::FromStr;

/// A value that can be read from text and written to the default file.
pub trait Value: Sized {
    fn parse(text: &str) -> std::result::Result<Self, String>;
    fn toml(&self) -> String;
}

macro_rules! value {
    ($($type:ty, $expected:literal);*) => {$(
        impl Value for $type {
            fn parse(text: &str) -> std::result::Result<Self, String> {
                <$type>::from_str(text.trim()).map_err(|_| $expected.to_owned())
            }
            fn toml(&self) -> String {
                self.to_string()
            }
        }
    )*};
}
value!(usize, "a whole number"; u64, "a whole number"; f32, "a number"; f64, "a number"; bool, "true or false");

impl Value for String {
    fn parse(text: &str) -> std::result::Result<Self, String> {
        Ok(text.to_owned())
    }
    fn toml(&self) -> String {
        format!("{self:?}")
    }
}

/// The device that runs the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceChoice {
    Auto,
    Cpu,
    /// The GPU with this number.
    Cuda(usize),
    /// The GPU of an Apple processor.
    Metal,
}

impl Display for DeviceChoice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(ordinal) => write!(f, "cuda:{ordinal}"),
            Self::Metal => f.write_str("metal"),
        }
    }
}

impl Value for DeviceChoice {
    fn parse(text: &str) -> std::result::Result<Self, String> {
        let ordinal = |text: &str| text.strip_prefix("cuda:").and_then(|n| n.parse().ok());
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            "metal" => Ok(Self::Metal),
            _ => ordinal(text)
                .map(Self::Cuda)
                .ok_or_else(|| "auto, cpu, cuda, cuda:N, such as cuda:0, or metal".to_owned()),
        }
    }
    fn toml(&self) -> String {
        format!("{:?}", self.to_string())
    }
}

/// An enum whose values are words.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }
        impl $name {
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }
        impl Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
        impl Value for $name {
            fn parse(text: &str) -> std::result::Result<Self, String> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(format!("one of {}", [$($word),+].join(", "))),
                }
            }
            fn toml(&self) -> String {
                format!("{:?}", self.as_str())
            }
        }
    };
}

words! {
    /// Kind of FAISS index.
    DenseKind { Auto = "auto", Flat = "flat", IvfFlat = "ivf_flat", IvfPq = "ivf_pq", Hnsw = "hnsw" }
}
words! {
    /// How the rankings of the channels are fused.
    FusionChoice { Convex = "convex", Rrf = "rrf" }
}
words! {
    /// How the best chunks of a search are ranked once more.
    RerankMethod {
        Off = "off", Exact = "exact", MaxSim = "maxsim", CrossEncoder = "cross_encoder", Listwise = "listwise",
    }
}
words! {
    /// Where a server searches vectors.
    DenseDevice { Auto = "auto", Cpu = "cpu" }
}
words! {
    /// What computes the networks.
    BackendChoice { Auto = "auto", Native = "native", Candle = "candle" }
}
words! {
    /// The instructions that our kernels use.
    InstructionsChoice { Auto = "auto", Avx512 = "avx512", Avx2 = "avx2", Portable = "portable" }
}
words! {
    /// Number format of the linear layers.
    DtypeChoice {
        Auto = "auto", F32 = "f32", Bf16 = "bf16", F16 = "f16", Int16 = "int16", Int8 = "int8",
    }
}
words! {
    /// How a query's text is recorded on spans.
    CaptureQuery { Full = "full", Hash = "hash", None = "none" }
}
words! {
    /// Whether spans also carry the older names of attributes.
    SemconvCompat { None = "none", Part2 = "part2" }
}
words! {
    /// Where embeddings are computed.
    VllmMode { Inproc = "inproc", Http = "http", Auto = "auto" }
}
words! {
    /// Whether a server without an index is ready.
    IndexNeed { Auto = "auto", Required = "required" }
}
words! {
    /// Whether `/metrics` is served on the main port.
    MetricsRoute { On = "on", Gone = "gone" }
}
