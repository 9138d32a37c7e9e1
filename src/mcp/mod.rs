//! What does an agent see over the Model Context Protocol?
//!
//! The server offers the tools of [`tools`](crate::tools), the indexed files as resources and one
//! prompt. It is served over standard input and output ([`serve_stdio`]) or over HTTP ([`route`]).

mod http;
mod resources;
mod server;
mod stdio;

pub use http::route;
pub use stdio::serve_stdio;
