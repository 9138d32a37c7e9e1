//! Tests of a device that computes asynchronously, with one batch queued behind another.

use std::sync::mpsc::{Receiver, Sender, channel};

use super::*;

/// An asynchronous device: a batch is complete when the worker waits for it. It reports each call,
/// and batch number `failing` fails when it completes.
struct Distant {
    told: Sender<(&'static str, usize)>,
    batches: usize,
    failing: usize,
}

impl Compute for Distant {
    fn launch(&mut self, batch: &Ragged, request: &BatchRequest) -> Result<Launch> {
        assert!(request.vectors && request.searches.is_empty());
        let (told, number, n) = (self.told.clone(), self.batches, batch.n());
        let fails = number == self.failing;
        self.batches += 1;
        told.send(("launched", number)).unwrap();
        Ok(Launch::Running(Box::new(move || {
            told.send(("done", number)).unwrap();
            assert!(!fails, "the device fell off the bus");
            let vectors = Matrix::new(vec![number as f32; 2 * n], 2)?;
            Ok(BatchRows::Dense(vectors).into())
        })))
    }
}

/// An engine on this device with at most one text per batch.
fn distant(failing: usize) -> (Engine, Receiver<(&'static str, usize)>) {
    let (told, heard) = channel();
    let mut settings = settings();
    settings.engine.max_batch_seqs = 1;
    let compute = Box::new(Distant { told, batches: 0, failing });
    (engine_of(&settings, None, None, 2, compute), heard)
}

#[test]
fn the_next_batch_is_launched_before_the_one_at_hand_is_done_and_each_gets_its_own_vectors() {
    let (engine, heard) = distant(usize::MAX);
    let answer = embed(&engine, Lane::Bulk, &["a", "b", "c"], &run()).unwrap();
    let mut first: Vec<f32> = answer.vectors.rows().map(|row| row[0]).collect();
    first.sort_by(f32::total_cmp);
    assert_eq!(first, [0.0, 1.0, 2.0]);
    engine.stop();
    let order = [("launched", 0), ("launched", 1), ("done", 0), ("launched", 2), ("done", 1)];
    assert_eq!(heard.iter().take(5).collect::<Vec<_>>(), order);
    let stats = engine.stats();
    assert_eq!((stats.batches, stats.sequences), (3, 3));
}

#[test]
fn a_batch_that_fails_on_its_way_ends_its_own_request_and_not_the_one_behind_it() {
    let (engine, heard) = distant(0);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| embed(&engine, Lane::Bulk, &["a"], &run()));
        assert_eq!(heard.recv().unwrap(), ("launched", 0));
        let error = first.join().unwrap().unwrap_err().to_string();
        assert!(error.contains("fell off the bus"), "{error}");
    });
    let answer = embed(&engine, Lane::Bulk, &["b"], &run()).unwrap();
    assert_eq!(answer.vectors.row(0), [1.0, 1.0]);
}
