//! The table as a picture: a panel for each source, a line for each rule, a mark for each scaling.

use std::fmt::Write;

use super::table::{Row, SCALINGS, Table};

const WIDTH: f64 = 820.0;
const LEFT: f64 = 150.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 48.0;
const LINE: f64 = 17.0;
const PANEL_GAP: f64 = 34.0;
const COLOURS: [&str; 3] = ["#0b62a4", "#d1600f", "#5a8f29"];

const STYLE: &str = "text{font:12px sans-serif;fill:#222}.head{font-weight:bold}\
                     .axis{stroke:#ddd}.rule{stroke:#f0f0f0}.end{text-anchor:end}\
                     .mid{text-anchor:middle}";

/// Maps decibels to places.
struct Axis {
    low: f64,
    high: f64,
}

impl Axis {
    /// Whole decibels around the finite figures.
    fn around(rows: &[Row]) -> Self {
        let finite = rows.iter().map(|row| row.sqnr_db).filter(|value| value.is_finite());
        let (low, high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            (low.min(value), high.max(value))
        });
        if low > high {
            return Self { low: 0.0, high: 1.0 };
        }
        Self { low: low.floor(), high: high.ceil().max(low.floor() + 1.0) }
    }

    fn x(&self, value: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * (value - self.low) / (self.high - self.low)
    }
}

pub(super) fn svg(table: &Table) -> String {
    let axis = Axis::around(&table.rows);
    let mut body = String::new();
    let mut y = TOP;
    for rows in table.sources() {
        y = panel(&mut body, &axis, rows, y) + PANEL_GAP;
    }
    let key = key();
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {y:.0}\" role=\"img\" \
         aria-label=\"Signal to quantization noise by source, rule and scaling\">\n\
         <style>{STYLE}</style>\n<rect width=\"{WIDTH}\" height=\"{y:.0}\" fill=\"#fff\"/>\n\
         {key}{body}</svg>\n"
    )
}

fn key() -> String {
    let heading = "SQNR in dB (higher is better)";
    let mut out = format!("<text class=\"head\" x=\"12\" y=\"20\">{heading}</text>\n");
    for (index, (name, _)) in SCALINGS.iter().enumerate() {
        let x = 330.0 + 100.0 * index as f64;
        writeln!(
            out,
            "{}<text x=\"{}\" y=\"20\">{name}</text>",
            mark(index, x, 16.0, ""),
            x + 10.0
        )
        .expect("writing to a string");
    }
    out
}

/// Draws a source's rows from `y` down, and returns where they end.
fn panel(out: &mut String, axis: &Axis, rows: &[Row], y: f64) -> f64 {
    let names = || rows.iter().filter(|row| row.scaling == rows[0].scaling).map(|row| row.rule);
    let bottom = y + 8.0 + LINE * names().count() as f64;
    let title = escaped(&rows[0].source);
    writeln!(out, "<text class=\"head\" x=\"12\" y=\"{y:.1}\">{title}</text>")
        .expect("writing to a string");
    let mut decibel = axis.low;
    while decibel <= axis.high {
        let x = axis.x(decibel);
        writeln!(
            out,
            "<line class=\"axis\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{bottom:.1}\"/>\
             <text class=\"mid\" x=\"{x:.1}\" y=\"{:.1}\">{decibel}</text>",
            y + 4.0,
            bottom + 12.0
        )
        .expect("writing to a string");
        decibel += 1.0;
    }
    for (line, rule) in names().enumerate() {
        let centre = y + 16.0 + LINE * line as f64;
        let right = WIDTH - RIGHT;
        writeln!(
            out,
            "<line class=\"rule\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{centre:.1}\" \
             y2=\"{centre:.1}\"/><text class=\"end\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            LEFT - 10.0,
            centre + 4.0,
            escaped(rule)
        )
        .expect("writing to a string");
        for row in rows.iter().filter(|row| row.rule == rule && row.sqnr_db.is_finite()) {
            let index = SCALINGS.iter().position(|(name, _)| *name == row.scaling);
            let title = format!("{}, {}: {:.3} dB", row.rule, row.scaling, row.sqnr_db);
            let index = index.expect("rows come from the list");
            writeln!(out, "{}", mark(index, axis.x(row.sqnr_db), centre, &title))
                .expect("writing to a string");
        }
    }
    bottom
}

/// A circle, square or triangle, so that colour is not needed to tell them apart.
fn mark(index: usize, x: f64, y: f64, title: &str) -> String {
    let colour = COLOURS[index % COLOURS.len()];
    let title =
        if title.is_empty() { String::new() } else { format!("<title>{}</title>", escaped(title)) };
    let outline = match index {
        0 => "M-5 0a5 5 0 1 0 10 0a5 5 0 1 0 -10 0z",
        1 => "M-4 -4h8v8h-8z",
        _ => "M0 -5l5 9h-10z",
    };
    format!(
        "<path transform=\"translate({x:.1} {y:.1})\" d=\"{outline}\" fill=\"none\" \
         stroke=\"{colour}\" stroke-width=\"2\">{title}</path>"
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
