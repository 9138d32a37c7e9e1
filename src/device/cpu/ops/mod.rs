//! Which operations is every network made of?
//!
//! Each runs in the rayon pool of its caller ([`crate::device::Cpu::install`]) and splits its work
//! by the shapes alone, never by the number of threads, so that any number of threads computes the
//! same bytes.

mod activation;
mod attention;
mod embedding;
mod epilogue;
mod flash_attention;
mod glu;
mod linear;
mod math;
mod norm;
mod packing;
mod peak;
mod pooling;
mod rotary;
mod shared;
mod tile;

pub use activation::Activation;
pub use attention::{Attention, Mask, RelativeBias};
pub use embedding::{Embedding, Tokens, embed};
pub use flash_attention::attention;
pub use glu::glu;
pub use linear::{Linear, linear};
pub use norm::{Norm, NormKind, norm, norm_heads, residual, residual_norm};
pub use peak::peak_gflops;
pub use pooling::{Pooling, normalize, pool, pool_all};
pub use rotary::{Rotary, rotary};
pub(in crate::device) use tile::int16_is_fast;

#[cfg(test)]
mod reference;
#[cfg(all(test, feature = "cuda"))]
pub(crate) use reference::{Numbers, ends};
