//! The symbol channel: definitions that a query names.

use std::sync::Arc;

use super::{Channel, ChannelName};
use crate::base::error::Result;
use crate::base::hit::{ChunkSet, Hit};
use crate::base::telemetry::attrs::{self, Attr};
use crate::base::telemetry::{RunContext, Stage};
use crate::index::{QueryText, SymbolIndex};
use crate::search::rank::kind;

pub struct SymbolChannel(pub Arc<SymbolIndex>);

impl Channel for SymbolChannel {
    fn name(&self) -> ChannelName {
        ChannelName::Symbol
    }

    fn stage(&self) -> Stage {
        Stage::Symbol
    }

    fn hits_attribute(&self) -> Attr {
        attrs::SYMBOL
    }

    fn search(
        &self,
        query: &QueryText,
        depth: usize,
        scope: Option<&ChunkSet>,
        cx: &RunContext,
    ) -> Result<Vec<Hit>> {
        cx.stage(self.stage(), |s| {
            let hits = self.0.search(query, depth, scope, kind::penalty)?;
            s.set(attrs::CHANNEL_HITS, hits.len());
            Ok(hits)
        })
    }
}
