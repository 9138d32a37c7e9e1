//! How fast are texts embedded here, how near to f32, and how fast by an endpoint? Which setting
//! searches vectors fastest without losing neighbours?
//!
//! A [`Plan`] says what is measured, a [`Session`] loads what is needed and measures it, and the
//! [`Report`] holds the figures. Nothing is printed here.

mod cosine;
mod machine;
mod measure;
mod other_target;
mod plan;
mod report;
mod session;
mod texts;
mod tune;
mod vectors;

pub use plan::{Options, Plan, TargetOptions};
pub use report::{Cell, Report};
pub use session::{Progress, Session};
pub use tune::{TunedSetting, tune};
