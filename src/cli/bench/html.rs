//! A bench as one HTML page, which loads no other file.

use super::plot::{Chart, Point, Series, escaped};
use super::table::{RATIO, columns, headlines, ratio};
use crate::bench::{Cell, Report};

const STYLE: &str = include_str!("page.css");

/// The page: headlines, plots for each length, table.
pub fn page(report: &Report) -> String {
    let title = escaped(&format!("codeintel bench: {} in {}", report.model, report.dtype));
    let mut headlines = headlines(report).into_iter();
    let first = escaped(&headlines.next().unwrap_or_default());
    let about: String = headlines.map(|line| format!("<li>{}</li>", escaped(&line))).collect();
    let notes = if report.notes.is_empty() {
        String::new()
    } else {
        let items: String =
            report.notes.iter().map(|note| format!("<li>{}</li>", escaped(note))).collect();
        format!("<h2>Notes</h2><ul class=\"notes\">{items}</ul>")
    };
    let stopped = if report.complete {
        ""
    } else {
        "<p class=\"notes\">Stopped before every cell was measured.</p>"
    };
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\
         <title>{title}</title><style>{STYLE}</style></head>\n<body><main><h1>codeintel bench: {first}</h1>\
         <ul class=\"about\">{about}</ul>{stopped}{}\n{}\n{}\n{notes}</main></body></html>\n",
        legend(report),
        plots(report),
        table(report),
    )
}

/// The colours of this process and of the endpoint; empty if there is no endpoint.
fn legend(report: &Report) -> String {
    let Some(against) = &report.against else { return String::new() };
    let key = |class: &str, name: &str| {
        let name = escaped(name);
        format!(
            "<li><svg viewBox=\"0 0 34 12\" class=\"key\" aria-hidden=\"true\">\
             <path class=\"line {class}\" d=\"M1 6L33 6\"/></svg>{name}</li>"
        )
    };
    let remote = format!("against: {}, {}", against.url, against.model);
    let local = format!("local: {}, {}", report.device, report.dtype);
    format!("<ul class=\"legend\">{}{}</ul>", key("local", &local), key("remote", &remote))
}

/// Latency and throughput side by side, for each length.
fn plots(report: &Report) -> String {
    let mut lengths: Vec<&str> = Vec::new();
    for cell in &report.cells {
        if !lengths.contains(&cell.length.as_str()) {
            lengths.push(&cell.length);
        }
    }
    let section = |length: &&str| {
        let of = match *length {
            "mixed" => "real texts of mixed length".to_owned(),
            tokens => format!("texts of {tokens} tokens"),
        };
        let latency = Chart {
            title: format!("Latency, {of}"),
            unit: "ms",
            log: true,
            series: series(report, length, |cell| Some((cell.p50_ms, Some(cell.p95_ms)))),
        };
        let throughput = Chart {
            title: format!("Throughput, {of}"),
            unit: "tokens/s",
            log: false,
            series: series(report, length, |cell| Some((cell.tokens_per_s?, None))),
        };
        format!(
            "<section><h2>{}</h2><div class=\"pair\">{}{}</div></section>",
            escaped(&capital(&of)),
            figure(&latency, "Latency: p50, the band up to p95", &format!("latency-{length}")),
            figure(&throughput, "Throughput", &format!("throughput-{length}")),
        )
    };
    lengths.iter().map(section).collect()
}

fn figure(chart: &Chart, caption: &str, id: &str) -> String {
    format!("<figure><figcaption>{caption}</figcaption>{}</figure>", chart.svg(id))
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |c| c.to_uppercase().chain(chars).collect())
}

/// One line for each target that was measured. `value` returns the value and the upper edge of its
/// band.
fn series(
    report: &Report,
    length: &str,
    value: impl Fn(&Cell) -> Option<(f64, Option<f64>)>,
) -> Vec<Series> {
    let line = |class: &'static str| {
        let of = |cell: &&Cell| cell.length == length && cell.is_local() == (class == "local");
        let mut cells: Vec<&Cell> = report.cells.iter().filter(of).collect();
        cells.sort_by_key(|cell| cell.batch);
        let point = |cell: &&Cell| {
            let (value, high) = value(cell)?;
            Some(Point { batch: cell.batch, value, high })
        };
        Series { name: class.to_owned(), class, points: cells.iter().filter_map(point).collect() }
    };
    ["local", "remote"].map(line).into_iter().filter(|series| !series.points.is_empty()).collect()
}

fn table(report: &Report) -> String {
    let compared = report.against.is_some();
    let mut headings: Vec<(&str, &str)> = columns(report).map(|c| (c.head, c.meaning)).collect();
    if compared {
        headings.push((RATIO, "texts per second, divided by those of the other target"));
    }
    let mut head: String = headings
        .iter()
        .map(|(head, meaning)| {
            format!("<th scope=\"col\" title=\"{}\">{head}</th>", escaped(meaning))
        })
        .collect();
    if compared {
        head.insert_str(0, "<th scope=\"col\"></th>");
    }
    let cells = |cell| -> String {
        columns(report).map(|c| format!("<td>{}</td>", escaped(&(c.value)(cell)))).collect()
    };
    let mut rows = String::new();
    for (local, remote) in report.pairs() {
        if compared {
            rows += &format!(
                "<tr class=\"local\"><th scope=\"row\">local</th>{}<td><b>{}</b></td></tr>",
                cells(local),
                ratio(local, remote)
            );
        } else {
            rows += &format!("<tr>{}</tr>", cells(local));
        }
        if let Some(remote) = remote {
            rows += &format!(
                "<tr class=\"remote\"><th scope=\"row\">against</th>{}<td></td></tr>",
                cells(remote)
            );
        }
        rows.push('\n');
    }
    let meanings: String = headings
        .iter()
        .map(|(head, meaning)| format!("<dt>{head}</dt><dd>{}</dd>", escaped(meaning)))
        .collect();
    format!(
        "<section><h2>All figures</h2><div class=\"wide\"><table><thead><tr>{head}</tr></thead>\
         <tbody>\n{rows}</tbody></table></div><h2>What they mean</h2><dl>{meanings}</dl></section>"
    )
}
