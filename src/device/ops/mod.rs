//! Which operations is every network made of?
//!
//! Each runs in the rayon pool of its caller ([`super::Device::install`]) and splits its work by
//! the shapes alone, never by the number of threads, so that any number of
//! threads gives the same bytes.

mod attention;
mod embed;
mod linear;
mod math;
mod matmul;
mod norm;
mod pool;
mod tile;
mod words;

pub use attention::attention;
pub use embed::{Embedding, embed_norm};
pub use linear::{Activation, Linear, linear};
pub use norm::{Norm, residual_norm};
pub use pool::{Segment, pool};

#[cfg(test)]
mod reference;
