//! What does a user of a GPU see, and what where it fails? `make cuda-test` runs these on the emulated driver.
//!
//! Failures are injected by variables that only the emulated driver reads. Without a device each test
//! says so in one line and passes, as those of src/device/cuda do.

use serde_json::{Value, json};

use crate::cli::piped;
use crate::http::{Serving, wait_for};
use crate::readside::{Place, Ran};

const TEXTS: &str = "fn main() {}\nhow is a header parsed\nx\n";
/// Without a cache, on the GPU. What a server computes when it starts takes an emulated one long.
const FLAGS: [&str; 6] = [
    "--device",
    "cuda:0",
    "--set",
    "engine.cache_bytes_max=0",
    "--set",
    "engine.max_batch_tokens=48",
];

/// `None`, and a line that says so, where there is no emulated device.
fn place(what: &str) -> Option<Place> {
    let place = Place::new(&[]);
    let found = place.cli(&["doctor", "--device", "cuda:0"]).out;
    if !found.contains("emulated on the CPU in bf16") {
        println!("no emulated CUDA device here: not run: {what}");
        return None;
    }
    Some(place)
}

fn embed(place: &Place, flags: &[&str]) -> Ran {
    piped(place, &[&["embed"], flags].concat(), TEXTS.as_bytes())
}

fn vectors(ran: Ran) -> Vec<Vec<f64>> {
    let line = |line: &str| serde_json::from_str::<Value>(line).unwrap()["embedding"].clone();
    let floats = |values: Value| -> Vec<f64> { serde_json::from_value(values).unwrap() };
    ran.ok().lines().map(|text| floats(line(text))).collect()
}

fn assert_near(a: &[Vec<f64>], b: &[Vec<f64>], least: f64) {
    assert_eq!((a.len(), b.len()), (3, 3));
    for (a, b) in a.iter().zip(b) {
        let cosine: f64 = a.iter().zip(b).map(|(a, b)| a * b).sum();
        assert!(cosine >= least, "cosine {cosine}");
    }
}

#[test]
fn cuda_embeds_as_the_cpu_does_and_auto_takes_it() {
    let Some(place) = place("embed") else { return };
    let cpu = vectors(embed(&place, &["--device", "cpu", "--dtype", "f32"]));
    for flags in [&FLAGS[..], &FLAGS[2..], &[&FLAGS[..], &["--dtype", "f16"]].concat()] {
        assert_near(&vectors(embed(&place, flags)), &cpu, 0.9985);
    }
    let told = embed(&place, &[&FLAGS[2..], &["--report", "-v"]].concat()).err;
    assert!(told.contains("cuda:0 emulated on the CPU"), "{told}");
    let other = embed(&place, &["--device", "cuda:7"]);
    assert_eq!(other.code, Some(16), "{}", other.err);
    assert!(other.err.contains("the last is cuda:0"), "{}", other.err);
    let exact = embed(&place, &["--device", "cuda", "--dtype", "int8"]);
    assert_eq!(exact.code, Some(2), "{}", exact.err);
    assert!(exact.err.contains("auto, bf16 or f16 on a GPU"), "{}", exact.err);
}

/// A server on a device that fails after so many launches, ready unless it failed before.
fn serve(place: &Place, fail_after: &str, flags: &[&str]) -> Serving {
    let mut args = vec!["serve", "--address", "127.0.0.1:0"];
    args.extend(FLAGS);
    args.extend(flags);
    let mut command = place.command(&args);
    command.env("EMULATED_CUDA_FAIL_AFTER", fail_after);
    let server = Serving::of(command);
    wait_for("the engine", || engine(&server)["device"].is_string());
    server
}

fn engine(server: &Serving) -> Value {
    server.get("/readyz").json()["probes"]["engine"].clone()
}

#[test]
fn cuda_that_is_lost_makes_a_server_not_ready_and_says_why() {
    let Some(place) = place("a lost device") else { return };
    let server = serve(&place, "100000", &[]);
    let before = engine(&server);
    assert_eq!(before["ready"], json!(true), "{before}");
    let [used, total, peak] =
        ["used", "total", "peak"].map(|key| before["gpu_memory_bytes"][key].as_u64().unwrap());
    assert!(0 < used && used <= peak && peak <= total, "{before}");
    drop(server);

    // What it computes when it starts takes more launches than one token does.
    let launches = 60;
    let mut command = place.command(&[&["embed"][..], &FLAGS].concat());
    command.env("EMULATED_CUDA_FAIL_AFTER", launches.to_string());
    std::fs::write(place.path().join("texts.txt"), TEXTS).unwrap();
    let failed = Ran::of(command.arg("texts.txt").output().unwrap());
    assert_eq!(failed.code, Some(19), "{}", failed.err);
    assert!(failed.err.contains("of no more use to this process"), "{}", failed.err);
}
