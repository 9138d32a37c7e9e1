//! Tests of several workers on one queue.

use std::sync::Barrier;

use super::*;

/// The tiny BERT on a worker that waits in its first batch until the other worker also has one.
struct Meeting {
    compute: Box<dyn Compute>,
    barrier: Arc<Barrier>,
    batches: Arc<AtomicUsize>,
}

impl Compute for Meeting {
    fn launch(&mut self, batch: &Ragged, request: &BatchRequest) -> Result<Launch> {
        if self.batches.fetch_add(1, Ordering::SeqCst) == 0 {
            self.barrier.wait();
        }
        self.compute.launch(batch, request)
    }
}

#[test]
fn two_workers_on_one_queue_answer_each_text_once_with_the_vectors_of_one_worker() {
    let single = Engine::start(&bert(), &settings(), None).unwrap();
    let barrier = Arc::new(Barrier::new(2));
    let counts = [Arc::<AtomicUsize>::default(), Arc::default()];
    let worker = |batches: &Arc<AtomicUsize>| -> Box<dyn Compute> {
        let options = EngineOptions::default();
        let Loaded { compute, .. } = load(&bert(), &settings().engine, options).unwrap();
        Box::new(Meeting { compute, barrier: barrier.clone(), batches: batches.clone() })
    };
    let d = single.identity().dim;
    let double = engine_on(&settings(), None, None, d, counts.iter().map(worker).collect());
    std::thread::scope(|scope| {
        for t in 0..4 {
            let (single, double) = (&single, &double);
            scope.spawn(move || {
                let lane = if t % 2 == 0 { Lane::Interactive } else { Lane::Bulk };
                let texts: Vec<_> = (0..30).map(|i| format!("fn f{t}_{i}() -> u32")).collect();
                let texts: Vec<_> = texts.iter().map(String::as_str).collect();
                let expected = embed(single, lane, &texts, &run()).unwrap().vectors;
                let vectors = embed(double, lane, &texts, &run()).unwrap().vectors;
                assert_eq!(vectors.n(), texts.len());
                let values = vectors.as_slice().iter().zip(expected.as_slice());
                assert!(values.into_iter().all(|(a, b)| (a - b).abs() < 1e-5));
            });
        }
    });
    let stats = double.stats();
    assert_eq!((stats.sequences, stats.queue_depth), (4 * 30, 0));
    let counts = counts.map(|batches| batches.load(Ordering::SeqCst) as u64);
    assert!(counts.iter().all(|batches| *batches > 0), "{counts:?}");
    assert_eq!(counts.iter().sum::<u64>(), stats.batches);
}

#[test]
fn a_lost_device_leaves_the_queue_to_the_other_and_two_lost_ones_fail_each_request() {
    let lost: [Arc<AtomicUsize>; 2] = Default::default();
    let worker = |lost: &Arc<AtomicUsize>| -> Box<dyn Compute> {
        let lost = lost.clone();
        Box::new(move |batch: &Ragged| {
            if lost.load(Ordering::SeqCst) > 0 {
                lost.fetch_add(1, Ordering::SeqCst);
                return Err(Error::DeviceLost { detail: "it fell off the bus".to_owned() });
            }
            Matrix::new(vec![1.0; 2 * batch.n()], 2)
        })
    };
    let engine = engine_on(&settings(), None, None, 2, lost.iter().map(worker).collect());
    lost[0].store(1, Ordering::SeqCst);
    let ask = || embed(&engine, Lane::Bulk, &["x"], &run());
    wait_until(|| ask().is_err_and(|error| error.kind() == ErrorKind::DeviceLost));
    assert_eq!(engine.why_not(), None, "the other one computes");
    (0..20).for_each(|_| drop(ask().unwrap()));
    assert_eq!(lost[0].load(Ordering::SeqCst), 2, "a lost device is left alone");
    lost[1].store(1, Ordering::SeqCst);
    for _ in 0..3 {
        assert_eq!(ask().unwrap_err().kind(), ErrorKind::DeviceLost);
    }
    assert!(engine.why_not().is_some_and(|why| why.contains("fell off the bus")));
}
