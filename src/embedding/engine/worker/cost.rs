//! The cost model of a device: the expected time of a batch.
//!
//! The model is a line, `a + b * tokens`, fitted to the measured batches by weighted least squares.
//! Older batches weigh less, and so do larger ones, because their times vary more. The state is
//! five sums, however many batches were measured.

use std::time::Duration;

/// The factor by which a batch's weight decays with each later one: about the last twenty matter.
const DECAY: f64 = 0.95;
/// The weight of an artificial batch of 0 tokens and 0 seconds, as a fraction of all others. It
/// makes the fit well defined when all batches have the same size.
const ORIGIN: f64 = 0.1;
/// A measured time is clamped to within this factor of the expected one. A pause of the machine
/// then hardly changes the fit, and a device that has become slower is learned over a few batches.
const SURPRISE_MAX: f64 = 2.0;

/// The cost model of one device.
#[derive(Debug, Clone)]
pub(super) struct CostModel {
    /// Weighted sums over the batches: of 1, tokens, seconds, tokens squared, and tokens times
    /// seconds.
    n: f64,
    x: f64,
    y: f64,
    xx: f64,
    xy: f64,
    /// `(a, b)`: seconds per batch and seconds per token, both at least 0.
    line: Option<(f64, f64)>,
    /// The average relative error of the expected times, 0 to 1.
    error: f64,
}

impl CostModel {
    pub fn new() -> Self {
        Self { n: 0.0, x: 0.0, y: 0.0, xx: 0.0, xy: 0.0, line: None, error: 1.0 }
    }

    /// Adds the measurement of a batch of `tokens`.
    pub fn observe(&mut self, tokens: usize, took: Duration) {
        let (x, mut y) = (tokens.max(1) as f64, took.as_secs_f64().max(1e-9));
        if let Some((a, b)) = self.line {
            let expected = a + b * x;
            let error = ((y - expected).abs() / expected).min(1.0);
            self.error += (1.0 - DECAY) * (error - self.error);
            y = y.clamp(expected / SURPRISE_MAX, expected * SURPRISE_MAX);
        }
        let weight = 1.0 / x;
        for (sum, value) in [
            (&mut self.n, 1.0),
            (&mut self.x, x),
            (&mut self.y, y),
            (&mut self.xx, x * x),
            (&mut self.xy, x * y),
        ] {
            *sum = *sum * DECAY + weight * value;
        }
        self.line = Some(self.fit());
    }

    fn fit(&self) -> (f64, f64) {
        let n = self.n * (1.0 + ORIGIN);
        let (x, y) = (self.x / n, self.y / n);
        let b = (self.xy / n - x * y) / (self.xx / n - x * x);
        let a = y - b * x;
        // A falling line or one that begins below 0 is noise. Use a line through the origin
        // instead.
        if a >= 0.0 && b > 0.0 { (a, b) } else { (0.0, self.xy / self.xx) }
    }

    /// The expected time of `tokens` in `batches` batches; `None` before the first measurement.
    pub fn expected(&self, batches: usize, tokens: usize) -> Option<Duration> {
        let (a, b) = self.line?;
        Some(Duration::from_secs_f64(a * batches as f64 + b * tokens as f64))
    }

    /// A lower bound for the time of a batch of `tokens`; zero while the estimates are unreliable.
    pub fn least(&self, tokens: usize) -> Duration {
        let sure = (1.0 - 2.0 * self.error).max(0.0);
        self.expected(1, tokens).unwrap_or_default().mul_f64(sure)
    }

    /// The tokens of a batch that takes `time`; `None` before the first measurement.
    pub fn tokens_within(&self, time: Duration) -> Option<usize> {
        let (a, b) = self.line?;
        Some(((time.as_secs_f64() - a) / b).max(0.0) as usize)
    }

    /// Tokens per second without the constant time per batch; 0 before the first measurement.
    pub fn tokens_per_s(&self) -> u64 {
        self.line.map_or(0, |(_, b)| (1.0 / b) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A device with 5 ms per batch and 10,000 tokens per second.
    fn took(tokens: usize) -> Duration {
        Duration::from_millis(5) + Duration::from_micros(100) * tokens as u32
    }

    fn learned(batches: impl IntoIterator<Item = (usize, Duration)>) -> CostModel {
        let mut cost = CostModel::new();
        batches.into_iter().for_each(|(tokens, took)| cost.observe(tokens, took));
        cost
    }

    fn assert_near(found: Duration, right: Duration, share: f64) {
        let off = found.as_secs_f64() / right.as_secs_f64() - 1.0;
        assert!(off.abs() < share, "{found:?} for {right:?}");
    }

    #[test]
    fn a_line_is_found_and_what_is_not_known_is_not_said() {
        let cost = CostModel::new();
        assert_eq!((cost.expected(1, 10), cost.tokens_within(took(10))), (None, None));
        assert_eq!((cost.least(1000), cost.tokens_per_s()), (Duration::ZERO, 0));

        let cost = learned((0..40).map(|i| [12, 400, 1500, 3000][i % 4]).map(|t| (t, took(t))));
        for tokens in [12, 100, 1000, 4000] {
            assert_near(cost.expected(1, tokens).unwrap(), took(tokens), 0.1);
        }
        let tokens = cost.tokens_within(Duration::from_millis(100)).unwrap();
        assert!((900..1000).contains(&tokens), "{tokens}");
        assert_eq!(cost.tokens_within(Duration::from_micros(1)), Some(0));
        assert!((9_000..11_000).contains(&cost.tokens_per_s()), "{cost:?}");
        let least = cost.least(1000);
        assert!(least > took(1000) / 2 && least < took(1000), "{least:?}");
    }

    #[test]
    fn batches_of_one_size_give_a_line_through_it() {
        let cost = learned((0..30).map(|_| (500, took(500))));
        assert_near(cost.expected(1, 500).unwrap(), took(500), 0.01);
        assert_near(cost.expected(1, 1000).unwrap(), took(500) * 2, 0.01);
    }

    #[test]
    fn one_batch_that_the_machine_paused_bends_little_and_a_slower_device_is_believed() {
        let sizes = [12, 400, 1500, 3000];
        let steady = || (0..40).map(|i| sizes[i % 4]).map(|tokens| (tokens, took(tokens)));
        let paused = learned(steady().chain([(1500, Duration::from_secs(60))]));
        assert_near(paused.expected(1, 1500).unwrap(), took(1500), 0.35);
        let slower = (0..80).map(|i| sizes[i % 4]).map(|tokens| (tokens, took(tokens) * 8));
        let slower = learned(steady().chain(slower));
        assert_near(slower.expected(1, 1500).unwrap(), took(1500) * 8, 0.1);
    }

    #[test]
    fn times_that_fall_or_scatter_never_give_a_negative_time_or_certainty() {
        let falling = learned((0..40).map(|i| [(100, 9), (3000, 1)][i % 2]).map(ms));
        let scattered = learned((0..40).map(|i| [(500, 1), (500, 90), (700, 3)][i % 3]).map(ms));
        for cost in [falling, scattered] {
            let (a, b) = cost.line.unwrap();
            assert!(a >= 0.0 && b > 0.0, "{cost:?}");
            assert_eq!(cost.least(3000), Duration::ZERO, "{cost:?}");
        }
    }

    fn ms((tokens, ms): (usize, u64)) -> (usize, Duration) {
        (tokens, Duration::from_millis(ms))
    }
}
