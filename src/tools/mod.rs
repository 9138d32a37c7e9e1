//! What can be asked, whoever asks? What is open, and the JSON of every answer.

mod app;
mod runs;
pub mod wire;

pub use app::Server;
pub use runs::RunFolder;
