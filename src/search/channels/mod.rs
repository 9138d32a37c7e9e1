//! Which chunks may answer? One file a channel.

pub(super) mod dense;
