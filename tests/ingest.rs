//! Does the write journey keep its promises? Whole journeys with real components.

mod content;
mod fulldisk;
mod increments;
mod processes;
