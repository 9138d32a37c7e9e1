//! The activations of linear layers.

/// A function of each value, after the product and the bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
