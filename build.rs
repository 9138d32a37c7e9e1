//! Sets the run paths of the binary and the tests, so that they find the libraries of DuckDB and of
//! FAISS for GPUs without LD_LIBRARY_PATH. With the feature `cuda` it compiles `kernels/*.cu`.

#![allow(clippy::disallowed_methods, clippy::print_stderr)] // A build script talks to cargo.

use std::env;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=DUCKDB_LIB_DIR");
    println!("cargo:rustc-link-arg=-Wl,-rpath,$ORIGIN");
    let bundled = env::var_os("CARGO_FEATURE_BUNDLED").is_some();
    if let (false, Ok(folder)) = (bundled, env::var("DUCKDB_LIB_DIR")) {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{folder}");
    }
    if env::var_os("CARGO_FEATURE_CUDA").is_some() {
        compile_kernels();
    }
}

/// One run of nvcc.
struct Job {
    kernel: PathBuf,
    arguments: [String; 2],
    output: PathBuf,
}

/// Compiles every kernel to machine code for each architecture, and to PTX, which the driver of a newer
/// GPU compiles; writes the table `kernels.rs`.
fn compile_kernels() {
    println!("cargo:rerun-if-changed=kernels");
    let out = PathBuf::from(variable("OUT_DIR").expect("cargo sets OUT_DIR"));
    let (nvcc, architectures, kernels) = (nvcc(), architectures(), kernels());
    let lowest = architectures[0];
    let (mut jobs, mut list) = (Vec::new(), String::new());
    for kernel in &kernels {
        let name = kernel.file_stem().expect("kernels/ has only files").to_string_lossy();
        let mut job = |arguments: [String; 2], file: String| {
            jobs.push(Job { kernel: kernel.clone(), arguments, output: out.join(&file) });
            file
        };
        let cubins: String = architectures.iter().fold(String::new(), |mut list, arch| {
            let code = format!("-gencode=arch=compute_{arch},code=sm_{arch}");
            let file = job(["-cubin".to_owned(), code], format!("{name}.sm_{arch}.cubin"));
            write!(list, "({arch}, include_bytes!({file:?})), ").expect("a String accepts writes");
            list
        });
        let code = format!("-gencode=arch=compute_{lowest},code=compute_{lowest}");
        let ptx = job(["-ptx".to_owned(), code], format!("{name}.ptx"));
        writeln!(
            list,
            "    Image {{ module: {name:?}, cubins: &[{cubins}], ptx: include_str!({ptx:?}) }},"
        )
        .expect("a String accepts writes");
    }
    run(&nvcc, &jobs);
    let text = format!("static IMAGES: [Image; {}] = [\n{list}];\n", kernels.len());
    fs::write(out.join("kernels.rs"), text).expect("OUT_DIR is writable");
}

/// The files `kernels/*.cu`, sorted.
fn kernels() -> Vec<PathBuf> {
    let files = fs::read_dir("kernels").expect("kernels/ is in the tree").flatten();
    let mut kernels: Vec<PathBuf> = files.map(|file| file.path()).collect();
    kernels.retain(|path| path.extension().is_some_and(|end| end == "cu"));
    kernels.sort();
    kernels
}

/// Compute capabilities without the point, ascending: 90 is Hopper.
fn architectures() -> Vec<u32> {
    let text = variable("CODEINTEL_CUDA_ARCHS").unwrap_or_else(|| "90".to_owned());
    let parse = |arch: &str| match arch.trim().parse() {
        Ok(arch) if arch >= 80 => arch,
        _ => fail(&format!(
            "CODEINTEL_CUDA_ARCHS = {text:?} is not valid: expected compute capabilities from 80 on \
             (bf16 on the tensor cores), such as 90 or 80,90"
        )),
    };
    let mut architectures: Vec<u32> = text.split(',').map(parse).collect();
    architectures.sort_unstable();
    architectures.dedup();
    architectures
}

/// The compiler named by NVCC, or that of CUDA_HOME, CUDA_PATH, `scripts/cuda-toolkit` or PATH, in this
/// order.
fn nvcc() -> PathBuf {
    let toolkit = |folder: String| Path::new(&folder).join("bin/nvcc");
    let cache = || {
        let folder = variable("XDG_CACHE_HOME").map(PathBuf::from);
        let folder = folder.or_else(|| Some(Path::new(&variable("HOME")?).join(".cache")));
        Some(folder?.join("codeintel/cuda-13.0/bin/nvcc"))
    };
    let named = [
        variable("NVCC").map(PathBuf::from),
        variable("CUDA_HOME").map(toolkit),
        variable("CUDA_PATH").map(toolkit),
        cache().filter(|nvcc| nvcc.exists()),
        Some(PathBuf::from("nvcc")),
    ];
    let nvcc = named.into_iter().flatten().next().expect("the last one is always present");
    if !Command::new(&nvcc).arg("--version").output().is_ok_and(|ran| ran.status.success()) {
        fail(&format!(
            "the feature `cuda` needs the CUDA compiler, but {} cannot be run; install it with \
             scripts/cuda-toolkit (no GPU and no root needed), or set CUDA_HOME to a toolkit of 12.0 \
             or newer",
            nvcc.display()
        ));
    }
    nvcc
}

/// Runs the jobs, as many in parallel as cargo allows.
fn run(nvcc: &Path, jobs: &[Job]) {
    let threads = variable("NUM_JOBS").and_then(|n| n.parse().ok()).unwrap_or(1);
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let mut command = Command::new(nvcc);
            command.args(["-std=c++17", "-O3"]).args(&job.arguments).arg("-o").arg(&job.output);
            let ran = command.arg(&job.kernel).output().expect("nvcc ran before");
            if !ran.status.success() {
                let errors = String::from_utf8_lossy(&ran.stderr);
                fail(&format!("{} does not compile:\n{errors}", job.kernel.display()));
            }
        }
    };
    std::thread::scope(|scope| {
        (0..jobs.len().min(threads)).for_each(|_| {
            scope.spawn(work);
        });
    });
}

/// An environment variable, on which the build then depends; an empty one counts as unset.
fn variable(name: &str) -> Option<String> {
    println!("cargo:rerun-if-env-changed={name}");
    env::var(name).ok().filter(|value| !value.is_empty())
}

fn fail(message: &str) -> ! {
    eprintln!("error: {message}");
    std::process::exit(1);
}
