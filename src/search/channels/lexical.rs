//! The lexical channel: BM25F over the words of a query.

use std::sync::Arc;

use super::{Channel, ChannelName};
use crate::base::error::Result;
use crate::base::hit::{ChunkSet, Hit};
use crate::base::telemetry::attrs::{self, Attr};
use crate::base::telemetry::{RunContext, Stage};
use crate::index::{LexicalIndex, QueryText};

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

    fn search(
        &self,
        query: &QueryText,
        depth: usize,
        scope: Option<&ChunkSet>,
        cx: &RunContext,
    ) -> Result<Vec<Hit>> {
        cx.stage(self.stage(), |s| {
            let hits = self.0.search(query, depth, scope)?;
            s.set(attrs::CHANNEL_HITS, hits.len());
            Ok(hits)
        })
    }
}
