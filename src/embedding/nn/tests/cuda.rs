//! Networks on a GPU against the reference, in bf16 and in f16.
//!
//! `make cuda-test` runs them on an emulated driver; docs/gpu-status.md lists which have run on a
//! GPU, and where.

use std::panic::{AssertUnwindSafe, catch_unwind};

use half::f16;

use super::checkpoint::Checkpoint;
use super::families::{EMBEDDERS, read_texts};
use super::gpu_network::GpuNetwork;
use super::*;
use crate::base::config::{DeviceChoice, EngineSettings};
use crate::device::Selection;
use crate::device::cuda::{Arena, BatchLayout, Graphs};

/// The minimum cosine between a vector and the reference, after hundreds of roundings: bf16 has 8
/// bits of precision, f16 has 11.
const FLOORS: [(DtypeChoice, f32); 2] = [(DtypeChoice::Bf16, 0.9999), (DtypeChoice::F16, 0.99999)];

fn device(dtype: DtypeChoice) -> Device {
    let settings =
        EngineSettings { device: DeviceChoice::Cuda(0), dtype, threads: 2, ..Default::default() };
    Selection::open(&settings).unwrap().device
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// The longest text that is also computed alone. An emulated device takes seconds for longer ones.
const ALONE_TOKENS_MAX: usize = 24;

#[test]
#[ignore = "needs a CUDA device; `make cuda-test` emulates one"]
fn cuda_gives_the_vectors_of_every_family_alone_and_in_a_ragged_batch() {
    let poolings = [Pooling::Mean, Pooling::Cls, Pooling::Last];
    for (dtype, floor) in FLOORS {
        let device = device(dtype);
        for (name, _) in EMBEDDERS {
            let expected = expected(name);
            let all = read_texts(name, &expected);
            let encoder = Encoder::load(&golden(name), &device).unwrap();
            let mut least = 1.0_f32;
            let mut check = |order: &[usize], pooling: Pooling| {
                let want = matrix(&expected[pooling.as_str()]);
                let batch = batch(&all, order);
                let got = encoder.pooled(&batch, &[pooling], true).unwrap();
                for (got, &i) in got.chunks_exact(want.d()).zip(order) {
                    least = least.min(cosine(got, want.row(i)));
                }
            };
            check(&(0..all.n()).rev().collect::<Vec<_>>(), Pooling::Mean);
            for i in (0..all.n()).filter(|&i| all.seq(i).len() <= ALONE_TOKENS_MAX) {
                check(&[i], poolings[i % poolings.len()]);
            }
            eprintln!("{name} in {dtype} on {}: least cosine {least}", device.name());
            assert!(least >= floor, "{name} in {dtype}: {least}");
        }
    }
}

#[test]
#[ignore = "needs a CUDA device; `make cuda-test` emulates one"]
fn cuda_gives_the_hidden_states_that_heads_on_the_host_read() {
    for (dtype, floor) in FLOORS {
        let device = device(dtype);
        let name = "bert_rerank";
        let wanted = expected(name);
        let sequences = wanted["cu_seqlens"].elem_count() - 1;
        let all = Ragged {
            ids: whole_numbers(&wanted["input_ids"]),
            token_type_ids: whole_numbers(&wanted["token_type_ids"])
                .iter()
                .map(|&kind| kind as u8)
                .collect(),
            cu_seqlens: whole_numbers(&wanted["cu_seqlens"]),
            truncated: vec![false; sequences],
            left_out: vec![0; sequences],
        };
        let classifier = Classifier::load(&golden(name), &device).unwrap();
        let got = classifier.logits(&all).unwrap();
        let error = worst(got.as_slice(), matrix(&wanted["logits"]).as_slice());
        assert!(error < 0.05, "{name} in {dtype}: {error}");

        let name = "bert_splade";
        let wanted = expected(name);
        let all = read_texts(name, &wanted);
        let want = matrix(&wanted["splade"]);
        let splade = Splade::load(&golden(name), &device).unwrap();
        for (i, sparse) in splade.expand(&all).unwrap().iter().enumerate() {
            let mut full = vec![0.0; want.d()];
            sparse
                .ids
                .iter()
                .zip(&sparse.weights)
                .for_each(|(&id, &weight)| full[id as usize] = weight);
            let cosine = cosine(&full, want.row(i));
            assert!(cosine >= floor, "{name} {i} in {dtype}: {cosine}");
        }
    }
}

#[test]
#[ignore = "needs a CUDA device; `make cuda-test` emulates one"]
fn cuda_computes_an_empty_batch_and_empty_sequences() {
    let device = device(DtypeChoice::F16);
    let encoder = Encoder::load(&golden("bert"), &device).unwrap();
    let pooled =
        |lengths: &[usize]| encoder.pooled(&random_batch(lengths), &[Pooling::Mean], true).unwrap();
    assert!(pooled(&[]).is_empty());
    assert_eq!(pooled(&[0, 0]), vec![0.0; 2 * 64]);
    let (got, want) = (pooled(&[0, 5, 0, 3]), pooled(&[5, 3]));
    assert_eq!(got[64..128], want[..64]);
    assert_eq!(got[192..], want[64..]);
    assert_eq!(encoder.forward(&random_batch(&[5, 3])).unwrap().n(), 8);
}

#[test]
#[ignore = "needs a CUDA device; `make cuda-test` emulates one"]
fn cuda_refuses_heads_that_no_kernel_takes_when_the_model_is_loaded() {
    let device = device(DtypeChoice::Auto);
    let folder = copy_of_bert();
    edit_json(&folder.path().join("config.json"), "num_attention_heads", "8");
    let error = Encoder::load(folder.path(), &device).err().unwrap();
    assert_eq!(error.kind(), crate::base::error::ErrorKind::Model);
    let error = error.to_string();
    assert!(error.contains("heads of 8") && error.contains("16, 32, 64"), "{error}");
}

#[test]
#[ignore = "needs a CUDA device; `make cuda-test` emulates one"]
fn cuda_says_which_memory_is_missing_and_a_smaller_batch_is_computed_after_that() {
    let open = |share| {
        let (device, gpu_memory_utilization) = (DeviceChoice::Cuda(0), share);
        let settings = EngineSettings { device, gpu_memory_utilization, ..Default::default() };
        Selection::open(&settings).unwrap().device
    };
    let total = open(0.9).memory().unwrap().total_bytes;
    // Enough for the weights, the workspace of cuBLASLt and a batch of about 1,000 tokens.
    let room = open((35 << 20) as f32 / total as f32);
    let encoder = Encoder::load(&golden("bert"), &room).unwrap();
    let pooled = |tokens: usize| {
        encoder.pooled(&random_batch(&vec![10; tokens / 10]), &[Pooling::Mean], true)
    };
    let error = pooled(10_000).unwrap_err();
    assert!(
        matches!(error, crate::base::error::Error::OutOfMemory { tokens: 10_000, bytes: 1.. }),
        "{error}"
    );
    assert_eq!(pooled(100).unwrap().len(), 10 * 64);

    let tiny = open((32 << 20) as f32 / total as f32);
    let error = Encoder::load(&golden("bert"), &tiny).err().unwrap().to_string();
    assert!(error.contains("engine.gpu_memory_utilization"), "{error}");
}

fn on_gpu(name: &str, device: &Device) -> GpuNetwork<f16> {
    GpuNetwork::load(&Checkpoint::open(&golden(name)).unwrap(), &device.gpu().unwrap().cuda)
        .unwrap()
}

#[test]
#[ignore = "needs a CUDA device; `make cuda-test` emulates one"]
fn cuda_gives_the_same_bytes_by_launches_and_by_the_graph_of_another_batch() {
    let device = device(DtypeChoice::F16);
    // One frame: 33 to 40 tokens in 3 or 4 sequences.
    let batches = [&[7, 20, 1, 9][..], &[17, 16, 3, 4], &[0, 33, 2]].map(random_batch);
    for name in ["bert", "mpnet", "modernbert", "qwen3", "gemma3_text"] {
        let pooled = |network: &GpuNetwork<f16>, batch: &Ragged| {
            network.pooled(batch, Pooling::Mean, true).unwrap()
        };
        let launched = |batch: &Ragged| {
            let network = on_gpu(name, &device);
            (pooled(&network, batch), network.hidden(batch).unwrap().as_slice().to_vec())
        };
        let want = batches.each_ref().map(launched);
        let network = on_gpu(name, &device);
        let check = |order: &[usize]| {
            for &i in order {
                assert_eq!(pooled(&network, &batches[i]), want[i].0, "{name} {i}");
            }
            assert_eq!(network.hidden(&batches[0]).unwrap().as_slice(), want[0].1, "{name}");
        };
        check(&[0, 1, 2, 0, 1]);
        // This batch needs larger buffers, so that the addresses in the graph are invalid.
        pooled(&network, &random_batch(&[300]));
        check(&[2, 0, 1, 2]);
        assert!(!network.refuses_graphs(), "{name}");
    }
}

#[test]
#[ignore = "needs a CUDA device; `make cuda-test` emulates one"]
fn cuda_has_two_batches_in_flight_and_each_keeps_its_values() {
    let device = device(DtypeChoice::F16);
    let network = on_gpu("bert", &device);
    let pooling = Pooling::Mean;
    let batches = [&[5][..], &[5, 3], &[40, 2, 9]].map(random_batch);
    let want = batches.each_ref().map(|batch| network.pooled(batch, pooling, true).unwrap());
    let launch = |i: usize| network.launch(&batches[i], pooling, true).unwrap();
    // The first round launches each operation, the second records a graph, the third uses it.
    for _ in 0..3 {
        let (mut first, mut second) = (launch(0), launch(1));
        let vectors = first.read_back_vectors().unwrap();
        assert_eq!(first.wait().unwrap().values(&vectors), want[0]);
        drop(launch(2));
        let mut third = launch(2);
        let vectors = (second.read_back_vectors().unwrap(), third.read_back_vectors().unwrap());
        assert_eq!(third.wait().unwrap().values(&vectors.1), want[2]);
        assert_eq!(second.wait().unwrap().values(&vectors.0), want[1]);
    }
    let (first, second) = (launch(0), launch(1));
    std::thread::scope(|scope| {
        let third = scope.spawn(|| network.pooled(&batches[2], pooling, true).unwrap());
        drop(first);
        assert_eq!(third.join().unwrap(), want[2]);
    });
    drop(second);
}

#[test]
#[ignore = "needs a CUDA device; `make cuda-test` emulates one"]
fn cuda_launches_go_on_after_a_record_of_what_a_graph_cannot_hold() {
    let device = device(DtypeChoice::F16);
    let (network, batch) = (on_gpu("bert", &device), random_batch(&[5]));
    let pooled = || network.pooled(&batch, Pooling::Mean, true).unwrap();
    let (want, cuda) = (pooled(), &device.gpu().unwrap().cuda);
    let frame = BatchLayout::new(&[0, 5]).frame;
    let mut graphs = Graphs::new(cuda).unwrap();
    for _ in 0..3 {
        graphs.run(cuda, frame, 0, || Arena::new(cuda, 1).map(drop)).unwrap();
    }
    assert!(graphs.refused());
    assert_eq!(pooled(), want);
    let mut graphs = Graphs::new(cuda).unwrap();
    graphs.run(cuda, frame, 0, || Ok(())).unwrap();
    let run = || graphs.run(cuda, frame, 0, || panic!("a mistake"));
    assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
    assert_eq!(pooled(), want);
    graphs.run(cuda, frame, 0, || Ok(())).unwrap();
}
