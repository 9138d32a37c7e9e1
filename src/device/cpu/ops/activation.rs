//! The activations of linear layers.

/// A function of each value, after the product and the bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Activation {
    None,
    /// x Phi(x), Phi the normal distribution.
    Gelu,
    /// The approximation of gelu by tanh.
    GeluTanh,
    Relu,
    /// x / (1 + e^-x).
    Silu,
    Tanh,
}

impl Activation {
    pub const ALL: [Self; 6] =
        [Self::None, Self::Gelu, Self::GeluTanh, Self::Relu, Self::Silu, Self::Tanh];

    /// `gelu_tanh`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gelu => "gelu",
            Self::GeluTanh => "gelu_tanh",
            Self::Relu => "relu",
            Self::Silu => "silu",
            Self::Tanh => "tanh",
        }
    }
}
