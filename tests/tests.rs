//! The one integration binary: each module tests one topic from outside the crate.

mod tidy;
