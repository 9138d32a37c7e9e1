//! Which operations is every network made of?
//!
//! Each runs in the rayon pool of its caller ([`crate::device::Cpu::install`]) and splits its work by
//! the shapes alone, never by the number of threads, so that any number of
//! threads gives the same bytes.

mod attention;
mod embed;
mod finish;
mod glu;
mod linear;
mod math;
mod norm;
mod peak;
mod pool;
mod rotary;
mod scores;
mod shared;
mod tile;
mod words;

pub use attention::{Attention, Mask, RelativeBias, attention};
pub use embed::{Embedding, Tokens, embed};
pub use glu::glu;
pub use linear::{Activation, Linear, linear};
pub use norm::{Norm, NormKind, norm, norm_heads, residual, residual_norm};
pub use peak::peak_gflops;
pub use pool::{Segment, normalize, pool};
pub use rotary::{Rotary, rotary};
pub(in crate::device) use tile::int16_is_fast;

#[cfg(test)]
mod reference;
#[cfg(all(test, feature = "cuda"))]
pub(crate) use reference::{ACTIVATIONS, Numbers, ends};
