//! What sort of question is it, and what do the channels do about it?

pub(super) mod gate;
pub(super) mod profile;
mod shape;

pub use gate::Plan;
pub use profile::{QueryClass, QueryProfile};
