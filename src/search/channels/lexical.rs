//! The lexical channel: BM25F over the words of a query.

use std::sync::Arc;

use super::{Channel, ChannelName, ChannelSearch, Encoded};
use crate::base::error::Result;
use crate::base::hit::Hit;
use crate::base::telemetry::Stage;
use crate::base::telemetry::attrs::{self, Attr};
use crate::index::LexicalIndex;

pub struct LexicalChannel(pub Arc<LexicalIndex>);

impl Channel for LexicalChannel {
    fn name(&self) -> ChannelName {
        ChannelName::Lexical
    }

    fn stage(&self) -> Stage {
        Stage::Lexical
    }

    fn hits_attribute(&self) -> Attr {
        attrs::SPARSE
    }

    fn search(&self, asked: &ChannelSearch, _: Option<Encoded>) -> Result<Vec<Hit>> {
        let ChannelSearch { query, depth, scope, cx } = asked;
        cx.stage(self.stage(), |s| {
            let hits = self.0.search(query, *depth, scope.as_deref())?;
            s.set(attrs::CHANNEL_HITS, hits.len());
            Ok(hits)
        })
    }
}
