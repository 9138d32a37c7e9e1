//! Charts over batch sizes as SVG.

use std::fmt::Write;

/// One line of a chart.
pub struct Series {
    pub name: String,
    /// The CSS class that decides its colour and its marks: `local` or `remote`.
    pub class: &'static str,
    pub points: Vec<Point>,
}

pub struct Point {
    pub batch: usize,
    pub value: f64,
    /// The upper edge of a band whose lower edge is the value.
    pub high: Option<f64>,
}

pub struct Chart {
    pub title: String,
    /// The label of the value axis.
    pub unit: &'static str,
    /// Whether the value axis is logarithmic; otherwise it begins at 0.
    pub log: bool,
    pub series: Vec<Series>,
}

const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 270.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 26.0;
const BOTTOM: f64 = 44.0;
/// Approximate number of grid lines of a linear axis.
const STEPS: f64 = 5.0;

impl Chart {
    /// `id` must be unique in the page.
    pub fn svg(&self, id: &str) -> String {
        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-labelledby=\"{id}-t {id}-d\">\
             <title id=\"{id}-t\">{}</title><desc id=\"{id}-d\">{}</desc>",
            escaped(&self.title),
            escaped(&self.description()),
        );
        let axes = Axes::new(self);
        axes.draw(&mut svg, self.unit);
        for series in &self.series {
            series.draw(&mut svg, &axes, self.unit);
        }
        svg + "</svg>"
    }

    /// The values in words, for screen readers.
    fn description(&self) -> String {
        let series = self.series.iter().map(|series| {
            let points = series.points.iter();
            let points = points.map(|p| format!("{} at {}", short(p.value), p.batch));
            format!("{}: {}", series.name, points.collect::<Vec<_>>().join(", "))
        });
        format!("{} by texts per request. {}.", self.unit, series.collect::<Vec<_>>().join(". "))
    }
}

/// The mapping from values to coordinates.
struct Axes {
    batches: Vec<usize>,
    ticks: Vec<f64>,
    log: bool,
}

impl Axes {
    fn new(chart: &Chart) -> Self {
        let points = || chart.series.iter().flat_map(|series| &series.points);
        let mut batches: Vec<usize> = points().map(|point| point.batch).collect();
        batches.sort_unstable();
        batches.dedup();
        let max = points().map(|p| p.high.unwrap_or(p.value)).fold(0.0, f64::max);
        let min = points().map(|p| p.value).fold(max, f64::min);
        let ticks = if chart.log { decades(min, max) } else { steps(max) };
        Self { batches, ticks, log: chart.log }
    }

    fn x(&self, batch: usize) -> f64 {
        let log = |batch: usize| (batch.max(1) as f64).log2();
        let (first, last) = (self.batches.first(), self.batches.last());
        let (first, last) = (first.map_or(0.0, |b| log(*b)), last.map_or(0.0, |b| log(*b)));
        let room = WIDTH - LEFT - RIGHT;
        let share = if last > first { (log(batch) - first) / (last - first) } else { 0.5 };
        // Some room at both ends, so that no mark lies on an edge.
        LEFT + room * (0.03 + 0.94 * share)
    }

    fn y(&self, value: f64) -> f64 {
        let min = self.ticks[0];
        let max = self.ticks[self.ticks.len() - 1];
        let share = if self.log {
            (value / min).ln() / (max / min).ln()
        } else {
            (value - min) / (max - min)
        };
        HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * share
    }

    fn draw(&self, svg: &mut String, unit: &str) {
        let (right, floor) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for tick in &self.ticks {
            let (y, text) = (self.y(*tick), short(*tick));
            let (at, base) = (LEFT - 8.0, y + 4.0);
            *svg += &format!("<path class=\"grid\" d=\"M{LEFT} {y:.1}H{right}\"/>");
            *svg += &format!("<text class=\"y\" x=\"{at}\" y=\"{base:.1}\">{text}</text>");
        }
        for batch in &self.batches {
            let (x, base) = (self.x(*batch), floor + 16.0);
            *svg += &format!("<text class=\"x\" x=\"{x:.1}\" y=\"{base}\">{batch}</text>");
        }
        let (middle, base) = (f64::midpoint(LEFT, right), HEIGHT - 8.0);
        *svg += &format!("<path class=\"axis\" d=\"M{LEFT} {floor}H{right}\"/>");
        *svg += &format!("<text class=\"name\" x=\"4\" y=\"14\">{unit}</text>");
        *svg +=
            &format!("<text class=\"x name\" x=\"{middle}\" y=\"{base}\">texts per request</text>");
    }
}

impl Series {
    fn draw(&self, svg: &mut String, axes: &Axes, unit: &str) {
        let class = self.class;
        let place = |batch, value| format!("{:.1} {:.1}", axes.x(batch), axes.y(value));
        let line: Vec<String> = self.points.iter().map(|p| place(p.batch, p.value)).collect();
        let band = self.points.iter().rev();
        let band: Vec<_> = band.filter_map(|p| Some(place(p.batch, p.high?))).collect();
        let line = line.join("L");
        if !band.is_empty() {
            *svg += &format!("<path class=\"band {class}\" d=\"M{line}L{}Z\"/>", band.join("L"));
        }
        *svg += &format!("<path class=\"line {class}\" d=\"M{line}\"/>");
        for point in &self.points {
            let (x, y) = (axes.x(point.batch), axes.y(point.value));
            let name = escaped(&self.name);
            let value = short(point.value);
            let high = point.high.map_or_else(String::new, |p95| format!(", p95 {}", short(p95)));
            let mark = match class {
                "local" => format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\">"),
                _ => format!(
                    "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"7\" height=\"7\">",
                    x - 3.5,
                    y - 3.5
                ),
            };
            let end = if class == "local" { "circle" } else { "rect" };
            let _ = write!(
                svg,
                "<g class=\"mark {class}\">{mark}<title>{name}, batch {}: {value} {unit}{high}\
                 </title></{end}></g>",
                point.batch
            );
        }
    }
}

/// 0 and round numbers above it, the last not below `max`.
fn steps(max: f64) -> Vec<f64> {
    let max = if max > 0.0 { max } else { 1.0 };
    let power = 10_f64.powf((max / STEPS).log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].map(|n| n * power);
    let step = step.into_iter().find(|step| step * STEPS >= max).unwrap_or(10.0 * power);
    (0..=(max / step).ceil() as u32).map(|i| f64::from(i) * step).collect()
}

/// Round numbers that enclose `min` to `max`: 1, 2 and 5 times powers of ten, or only the powers if
/// those were too many.
fn decades(min: f64, max: f64) -> Vec<f64> {
    let min = if min > 0.0 { min } else { 1.0 };
    let max = max.max(1.01 * min);
    let of = |factors: &[f64]| -> Vec<f64> {
        let powers = min.log10().floor() as i32..=max.log10().ceil() as i32;
        let all = powers.flat_map(|p| factors.iter().map(move |f| f * 10_f64.powi(p)));
        let all: Vec<f64> = all.collect();
        // From the last tick that is not above `min` to the first that is not below `max`.
        let first = all.iter().rposition(|tick| *tick <= min).unwrap_or(0);
        let last = all.iter().position(|tick| *tick >= max).unwrap_or(all.len() - 1);
        all[first..=last].to_vec()
    };
    let ticks = of(&[1.0, 2.0, 5.0]);
    if ticks.len() > 9 { of(&[1.0]) } else { ticks }
}

/// A number as a label: `950`, `1.5k`, `12M`.
fn short(value: f64) -> String {
    let (scaled, suffix) = match value {
        v if v >= 999_500.0 => (v / 1e6, "M"),
        v if v >= 999.5 => (v / 1e3, "k"),
        v => (v, ""),
    };
    let digits = match scaled {
        v if v == 0.0 || v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 0.1 => 2,
        _ => 4,
    };
    let text = format!("{scaled:.digits$}");
    let shortest =
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{shortest}{suffix}")
}

/// `text` with the characters escaped that have a meaning in HTML.
pub fn escaped(text: &str) -> String {
    let signs = [("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\"", "&quot;")];
    signs.iter().fold(text.to_owned(), |text, (sign, word)| text.replace(sign, word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_enclose_the_values() {
        assert_eq!(steps(4.0), [0.0, 1.0, 2.0, 3.0, 4.0]);
        assert_eq!(steps(9_300.0), [0.0, 2_000.0, 4_000.0, 6_000.0, 8_000.0, 10_000.0]);
        assert_eq!(decades(3.0, 70.0), [2.0, 5.0, 10.0, 20.0, 50.0, 100.0]);
        assert_eq!(decades(3.0, 9_000.0), [1.0, 10.0, 100.0, 1_000.0, 10_000.0]);
        assert_eq!(decades(5.0, 5.0), [5.0, 10.0]);
    }

    #[test]
    fn labels_are_short() {
        let labels = [0.0, 0.05, 2.5, 20.0, 950.0, 1_500.0, 12_500.0, 2e6].map(short);
        assert_eq!(labels, ["0", "0.05", "2.5", "20", "950", "1.5k", "12.5k", "2M"]);
    }

    #[test]
    fn a_chart_describes_its_values_in_words_and_escapes_names() {
        let points = vec![Point { batch: 1, value: 3.0, high: Some(4.0) }];
        let series = vec![Series { name: "a<b".to_owned(), class: "remote", points }];
        let chart = Chart { title: "t".to_owned(), unit: "ms", log: true, series };
        let svg = chart.svg("one");
        assert!(
            svg.contains("<desc id=\"one-d\">ms by texts per request. a&lt;b: 3 at 1."),
            "{svg}"
        );
        assert!(svg.contains("p95 4") && !svg.contains("a<b") && !svg.contains("NaN"), "{svg}");
    }
}
