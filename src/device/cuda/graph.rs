//! CUDA graphs, by which a small batch is one launch for the host, not one for each operation.
//!
//! The launches of a pass depend on the frame of its batch alone. So they are recorded once as a
//! graph, and batches of the same frame replay it, with other values at the same addresses.

use std::collections::HashMap;
use std::sync::Arc;

use cudarc::driver::{CudaGraph, CudaStream, result, sys};

use super::batch::Frame;
use super::capture::{NO_FLAGS, Recording, between_records};
use super::context::Cuda;
use super::error::failed;
use crate::base::error::{Error, Result};

/// Batches of up to 4096 tokens have 33 buckets, and mixed traffic a few numbers of sequences in
/// each; the driver keeps some hundred kilobytes for each graph.
const FRAMES_MAX: usize = 128;

/// After so many failures in a row to record a graph, none is tried any more.
const FAILURES_MAX: u32 = 3;

/// The graphs of one network, for the frames that were used last. The driver destroys a graph when
/// the device is done with it.
pub struct Graphs {
    seen: HashMap<Frame, Seen>,
    /// The number of moves of memory when the graphs were recorded.
    moves: usize,
    runs: u64,
    /// How many times in a row the driver failed to record one.
    failures: u32,
    /// For recording. It is not the device's stream, which other threads use meanwhile.
    stream: Arc<CudaStream>,
}

struct Seen {
    graph: Option<Graph>,
    /// The number of its last run.
    last: u64,
}

struct Graph(CudaGraph);

// SAFETY: a graph may be used by any thread, by one at a time: `Graphs` gives nobody a reference.
unsafe impl Send for Graph {}

impl Graphs {
    pub fn new(cuda: &Cuda) -> Result<Self> {
        let stream = cuda.context().new_stream().map_err(failed("make a stream"))?;
        Ok(Self { seen: HashMap::new(), moves: 0, runs: 0, failures: 0, stream })
    }

    /// Enqueues the launches of `launch` for a batch of this frame: the first time by calling it,
    /// so that everything is loaded and chosen, the second time by recording it, then by its graph.
    /// moves: graphs are valid until this changes.
    pub fn run(
        &mut self,
        cuda: &Cuda,
        frame: Frame,
        moves: usize,
        mut launch: impl FnMut() -> Result<()>,
    ) -> Result<()> {
        if self.moves != moves {
            self.seen.clear();
            self.moves = moves;
        }
        self.runs += 1;
        let Some(seen) = self.seen.get_mut(&frame) else {
            if self.seen.len() >= FRAMES_MAX {
                let oldest = self.seen.values().map(|seen| seen.last).min();
                self.seen.retain(|_, seen| Some(seen.last) != oldest);
            }
            launch()?;
            self.seen.insert(frame, Seen { graph: None, last: self.runs });
            return Ok(());
        };
        seen.last = self.runs;
        if seen.graph.is_none() && self.failures < FAILURES_MAX {
            match record(&self.stream, &mut launch) {
                Ok(graph) => {
                    self.failures = 0;
                    seen.graph = Some(graph);
                }
                Err(error @ Error::DeviceLost { .. }) => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, "without graphs each operation of a small batch is a launch");
                    self.failures += 1;
                }
            }
        }
        let Some(graph) = &seen.graph else { return launch() };
        cuda.bind()?;
        // SAFETY: the graph lives, and the memory that it uses has not moved; it is of the same
        // device.
        unsafe { result::graph::launch(graph.0.cu_graph_exec(), cuda.stream.cu_stream()) }
            .map_err(failed("launch a graph"))
    }

    /// Whether the driver could not record the last one.
    #[cfg(test)]
    pub fn refused(&self) -> bool {
        self.failures > 0
    }
}

/// Records the launches of `launch` on this thread, which must neither allocate nor wait meanwhile.
fn record(stream: &Arc<CudaStream>, launch: &mut dyn FnMut() -> Result<()>) -> Result<Graph> {
    let _alone = between_records();
    let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
    stream.begin_capture(mode).map_err(failed("record a graph"))?;
    let recording = Recording::on(stream);
    let launched = launch();
    drop(recording);
    let graph = stream.end_capture(NO_FLAGS);
    launched?;
    let graph = graph.map_err(failed("finish recording a graph"))?;
    Ok(Graph(graph.expect("a stream that records returns a graph")))
}

#[cfg(test)]
mod tests {
    use super::super::batch::BatchLayout;
    use super::*;

    #[test]
    fn the_graphs_that_were_used_last_are_kept_and_there_are_not_many() {
        if Cuda::count() == 0 {
            println!("no CUDA device here: not run: the number of graphs");
            return;
        }
        let cuda = Cuda::open(0, 0.9).unwrap();
        let mut graphs = Graphs::new(&cuda).unwrap();
        let mut calls = 0;
        for n in 1..=2 * FRAMES_MAX as u32 {
            for rows in [0, n] {
                let launch = || {
                    calls += u32::from(rows == 0);
                    Ok(())
                };
                graphs.run(&cuda, BatchLayout::exact(&[0, rows]).frame, 0, launch).unwrap();
            }
        }
        assert_eq!((graphs.seen.len(), calls), (FRAMES_MAX, 2));
        graphs.run(&cuda, BatchLayout::exact(&[0, 1]).frame, 1, || Ok(())).unwrap();
        assert_eq!(graphs.seen.len(), 1, "the recorded addresses are no longer valid");
    }
}
