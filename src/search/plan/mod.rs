//! What kind of query is it, and how deep does each channel search?

mod error_text;
mod gate;
pub(super) mod profile;
mod shape;

pub(super) use gate::plan;
pub use gate::{Leg, Plan};
pub use profile::{QueryClass, QueryProfile};
