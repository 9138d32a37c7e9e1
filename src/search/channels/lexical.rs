//! The lexical channel: BM25F over the words of a query, and of its best chunks if RM3 is on.

use std::sync::Arc;

use super::{Channel, ChannelName, ChannelSearch, Encoded};
use crate::base::error::Result;
use crate::base::hit::{ChunkId, Hit};
use crate::base::telemetry::Stage;
use crate::base::telemetry::attrs::{self, Attr};
use crate::index::LexicalIndex;
use crate::index::catalog::Catalog;
use crate::index::{FEEDBACK_DOCS, Feedback};

pub struct LexicalChannel {
    pub index: Arc<LexicalIndex>,
    pub catalog: Arc<Catalog>,
}

impl LexicalChannel {
    /// The words of the best of `hits`.
    fn feedback(&self, hits: &[Hit]) -> Result<Feedback> {
        let best = &hits[..hits.len().min(FEEDBACK_DOCS)];
        let ids: Vec<ChunkId> = best.iter().map(|hit| hit.id).collect();
        let rows = self.catalog.rows(&ids)?.rows;
        let docs = rows.iter().zip(best).map(|(row, hit)| (row.text.as_str(), hit.score));
        self.index.feedback(docs)
    }
}

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
        let ChannelSearch { query, depth, rm3, scope, cx } = asked;
        cx.stage(self.stage(), |s| {
            let mut hits = self.index.search(query, *depth, scope.as_deref())?;
            if *rm3 && !hits.is_empty() {
                let feedback = self.feedback(&hits)?;
                s.set(attrs::RM3_TERMS, feedback.terms());
                hits = self.index.search_with(query, &feedback, *depth, scope.as_deref())?;
            }
            s.set(attrs::CHANNEL_HITS, hits.len());
            Ok(hits)
        })
    }
}
