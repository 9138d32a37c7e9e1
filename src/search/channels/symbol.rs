//! The symbol channel: definitions that a query names.

use std::sync::Arc;

use super::{Channel, ChannelName, ChannelSearch, Encoded};
use crate::base::error::Result;
use crate::base::hit::Hit;
use crate::base::telemetry::Stage;
use crate::base::telemetry::attrs::{self, Attr};
use crate::index::SymbolIndex;
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

    fn search(&self, asked: &ChannelSearch, _: Option<Encoded>) -> Result<Vec<Hit>> {
        let ChannelSearch { query, depth, scope, cx, .. } = asked;
        cx.stage(self.stage(), |s| {
            let hits = self.0.search(query, *depth, scope.as_deref(), kind::penalty)?;
            s.set(attrs::CHANNEL_HITS, hits.len());
            Ok(hits)
        })
    }
}
