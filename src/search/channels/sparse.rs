//! The sparse channel: chunks whose learned sparse vectors (SPLADE) share weighted words with that of
//! the query. It is there only if the version has a sparse index.

use super::{Channel, ChannelName, ChannelSearch, Encoded, Encoding};
use crate::base::error::{Error, Result};
use crate::base::hit::Hit;
use crate::base::telemetry::Stage;
use crate::base::telemetry::attrs::{self, Attr};
use crate::embedding::engine::{EmbedRequest, Engine, PromptKind};
use crate::index::{Impacts, SparseIndex};

pub struct SparseChannel {
    pub index: SparseIndex,
    pub engine: Option<Engine>,
}

impl Channel for SparseChannel {
    fn name(&self) -> ChannelName {
        ChannelName::Sparse
    }

    fn stage(&self) -> Stage {
        Stage::Splade
    }

    fn hits_attribute(&self) -> Attr {
        attrs::SPLADE
    }

    fn submit<'a>(&'a self, asked: &'a ChannelSearch) -> Option<Encoding<'a>> {
        let engine = self.engine.as_ref()?;
        let texts = [asked.query.raw.as_str()];
        let request = EmbedRequest::query(&texts, PromptKind::Query);
        Some(Encoding::Expansion(engine.submit_expansion(request, &asked.cx)))
    }

    fn search(&self, asked: &ChannelSearch, encoded: Option<Encoded>) -> Result<Vec<Hit>> {
        let ChannelSearch { depth, scope, cx, .. } = asked;
        cx.stage(self.stage(), |s| {
            let Some(Encoded::Expansion(expanded)) = encoded else {
                let what = "the sparse channel".to_owned();
                let remedy = "the sparse model of the index is not loaded, the log says why; search the \
                              other channels, or set index.sparse_model to its folder";
                return Err(Error::Unavailable { what, remedy: remedy.to_owned() });
            };
            let query = Impacts::new(&expanded.vectors[0])?;
            let hits = self.index.search(&query, *depth, scope.as_deref());
            s.set(attrs::CHANNEL_HITS, hits.len());
            Ok(hits)
        })
    }
}
