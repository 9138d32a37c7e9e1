//! The constants of the factors. `scripts/learn-ranking` learns them, and the weights of the channels in
//! `plan/gate.rs`, from sets of questions; docs/evaluation.md says from which.

/// The share of a question's words, by how rare they are, from which on the lexical channel has its full
/// weight, and the least part of its weight.
pub const SUPPORT_FULL: f64 = 0.35;
pub const SUPPORT_LEAST: f64 = 0.2;

/// What is added to 1 where a chunk defines an identifier of the query, and where one defined name has
/// all of the query's terms.
pub const DEFINITION_NAMED: f64 = 0.1;
pub const DEFINITION_COVERED: f64 = 0.7;

/// What is added to 1 where all terms of a file's stem, or of its folders, are in the query, and where
/// all terms of the query are in the path.
pub const FILE_STEM: f64 = 0.5;
pub const FILE_FOLDERS: f64 = 0.5;
pub const FILE_COVERED: f64 = 0.05;

/// What is added to 1 for the file with most support, and the power of the scores that are added up as
/// support, so that many weak chunks do not outweigh a strong one.
pub const SUPPORT: f64 = 0.75;
pub const SUPPORT_POWER: f64 = 1.4;
