//! The CPU time of this process.

use std::time::Duration;

/// User and system time of all threads of this process, in nanoseconds.
pub fn process_cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes into `time`, which lives longer than the call.
    let status = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    assert_eq!(status, 0, "POSIX systems have this clock");
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_takes_time_of_the_cpu() {
        let began = process_cpu_time();
        let sum = (0..1_000_000_u64).fold(1, |sum, i| std::hint::black_box(sum ^ i));
        assert!(process_cpu_time() > began, "{sum}");
    }
}
