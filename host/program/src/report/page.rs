//! The HTML page: one file, nothing fetched from elsewhere.

use fouroversix::checkpoint::{Figures, Histograms, Summary};

use super::super::print::counts_map4;
use super::about::About;
use super::escape::escaped;
use super::row::Row;
use super::svg::{self, Bins, Titles};

/// Tensors in the list of the worst.
const WORST: usize = 10;

/// Bins of the histogram of changes.
const BINS: usize = 20;

const STYLE: &str = "
:root{color-scheme:light dark;--chosen:#0a6ed1;--plain:#c2571a;--line:#8884}
body{font:15px/1.45 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;width:100%}
td,th{padding:.2rem .5rem;border-bottom:1px solid var(--line);text-align:right}
td:first-child,th:first-child{text-align:left;word-break:break-all}
svg{width:100%;height:auto}
svg text{font-size:11px;fill:currentColor}
svg .title{font-size:12px;font-weight:600}
.grid{stroke:var(--line)}
.chosen{fill:var(--chosen)}.plain{fill:var(--plain)}
b.chosen{color:var(--chosen)}b.plain{color:var(--plain)}
";

/// What the charts of tensors have below.
const TENSORS: &str = "tensor, by its number in the checkpoint's order";

/// The whole page.
pub(super) fn page(about: &About, summary: &Summary, rows: &[Row<'_>]) -> String {
    let rule = escaped(&summary.options.get("rule").cloned().unwrap_or_default());
    let names: Vec<&str> = rows.iter().map(|row| row.record.name.as_str()).collect();
    let both = |figure: fn(&Figures) -> f64| -> (Vec<f64>, Vec<f64>) {
        rows.iter().map(|row| (figure(&row.chosen), figure(&row.plain))).unzip()
    };
    let (mse, plain_mse) = both(Figures::relative_mse);
    let (sqnr, plain_sqnr) = both(Figures::sqnr_db);
    let legend =
        format!("<p><b class=chosen>● {rule}</b> &nbsp; <b class=plain>● plain NVFP4</b></p>");
    let dots = |y, first: &[f64], second: &[f64]| {
        svg::dots(Titles { x: TENSORS, y }, &names, first, second)
    };
    let counts = counts_map4(&rule);
    let map4 = if counts {
        let (map4, plain_map4) = both(Figures::map4_share);
        section("Share of map4", &legend, dots("share of blocks", &map4, &plain_map4))
    } else {
        String::new()
    };
    let mut worst: Vec<&Row<'_>> = rows.iter().collect();
    worst.sort_by(|a, b| b.chosen.relative_mse().total_cmp(&a.chosen.relative_mse()));
    worst.truncate(WORST);
    let sections = [
        totals(summary, rows, &rule),
        section(
            "Signal to quantization noise",
            &legend,
            dots("SQNR in dB, higher is better", &sqnr, &plain_sqnr),
        ),
        section("Relative MSE", &legend, dots("relative MSE", &mse, &plain_mse)),
        map4,
        histograms(rows),
        section("The worst tensors", "", tensor_table(worst.into_iter(), counts)),
        section("Every tensor", "", tensor_table(rows.iter(), counts)),
        kept(summary),
    ];
    format!(
        "<!DOCTYPE html>\n<html lang=en><head><meta charset=utf-8><meta name=viewport \
         content=\"width=device-width\"><title>{title} in NVFP4</title><style>{STYLE}</style>\
         </head><body><h1>{title} in NVFP4</h1>{}{}</body></html>\n",
        about.line(),
        sections.concat(),
        title = escaped(&about.model),
    )
}

fn section(title: &str, intro: &str, body: String) -> String {
    format!("<h2>{title}</h2>{intro}{body}\n")
}

fn totals(summary: &Summary, rows: &[Row<'_>], rule: &str) -> String {
    let (mut chosen, mut plain) = (Figures::default(), Figures::default());
    let mut elements = 0;
    for row in rows {
        chosen.add(&row.chosen);
        plain.add(&row.plain);
        elements += row.record.shape[0] * row.record.shape[1];
    }
    let line = |name: &str, figures: &Figures| {
        format!(
            "<tr><td>{name}<td>{:.6}<td>{:.3}<td>{}</tr>",
            figures.relative_mse(),
            figures.sqnr_db(),
            share(figures, counts_map4(rule))
        )
    };
    let better = rows.iter().filter(|row| row.change() < 0.0).count();
    format!(
        "<p>{} quantized tensors with {elements} weights, format {}; {} tensors stay as they were. \
         The error is lower than with plain NVFP4 for {better} of {} tensors, by {:.2}% overall.</p>\
         <table><tr><th>rule<th>relative MSE<th>SQNR (dB)<th>map4</tr>{}{}</table>",
        rows.len(),
        escaped(&summary.format),
        summary.kept.len(),
        rows.len(),
        -100.0 * (chosen.relative_mse() / plain.relative_mse() - 1.0),
        line(rule, &chosen),
        line("plain NVFP4", &plain)
    )
}

/// The share of map4, or a dash under a rule that has none.
fn share(figures: &Figures, counts: bool) -> String {
    if counts { format!("{:.1}%", 100.0 * figures.map4_share()) } else { "–".to_owned() }
}

fn histograms(rows: &[Row<'_>]) -> String {
    let mut all = Histograms::default();
    for row in rows {
        all.add(&row.record.histograms);
    }
    let magnitudes = ["0", "0.5", "1", "1.5", "2", "3", "4", "6"].map(str::to_owned);
    let exponents: Vec<String> = (0..16)
        .map(|field| if field == 0 { "subnormal".to_owned() } else { format!("2^{}", field - 7) })
        .collect();
    let (low, high, counts) = changes(rows);
    let titles = |x, y| Titles { x, y };
    [
        section(
            "Histogram: change of the error against plain NVFP4",
            "<p>Tensors by the change of their relative MSE, in percent; below 0 is better.</p>",
            svg::bars(
                titles("change of the relative MSE in percent", "tensors"),
                Bins::Range(low, high),
                &counts,
            ),
        ),
        section(
            "Histogram: magnitudes of codes",
            "",
            svg::bars(titles("magnitude", "codes"), Bins::Names(&magnitudes), &all.magnitudes),
        ),
        section(
            "Histogram: exponents of block scales",
            "<p>A checkpoint whose scales pile up on the left wastes their range.</p>",
            svg::bars(
                titles("exponent of the E4M3 scale", "block scales"),
                Bins::Names(&exponents),
                &all.scale_exponents,
            ),
        ),
    ]
    .concat()
}

/// Tensors by change of error, in percent: where the first bin begins, the last ends, and how many
/// are in each.
fn changes(rows: &[Row<'_>]) -> (f64, f64, Vec<u64>) {
    let percent: Vec<f64> =
        rows.iter().map(|row| 100.0 * row.change()).filter(|value| value.is_finite()).collect();
    let low = percent.iter().copied().fold(0.0, f64::min).floor();
    let high = percent.iter().copied().fold(low + 1.0, f64::max).ceil();
    let width = (high - low) / BINS as f64;
    let mut counts = vec![0; BINS];
    for value in percent {
        // In 0..BINS, the highest value joining the last bin.
        counts[(((value - low) / width) as usize).min(BINS - 1)] += 1;
    }
    (low, high, counts)
}

fn tensor_table<'a>(rows: impl Iterator<Item = &'a Row<'a>>, counts: bool) -> String {
    let mut text = String::from(
        "<table><tr><th>tensor<th>shape<th>relative MSE<th>plain<th>change<th>SQNR (dB)\
         <th>plain<th>map4<th>largest error</tr>",
    );
    for row in rows {
        let [rows, cols] = row.record.shape;
        text += &format!(
            "<tr><td>{}<td>{rows}×{cols}<td>{:.6}<td>{:.6}<td>{:+.2}%<td>{:.3}<td>{:.3}<td>{}\
             <td>{:.4e}</tr>",
            escaped(&row.record.name),
            row.chosen.relative_mse(),
            row.plain.relative_mse(),
            100.0 * row.change(),
            row.chosen.sqnr_db(),
            row.plain.sqnr_db(),
            share(&row.chosen, counts),
            row.chosen.max_error
        );
    }
    text + "</table>"
}

fn kept(summary: &Summary) -> String {
    let lines: String = summary
        .kept
        .iter()
        .map(|(name, reason)| format!("<tr><td>{}<td>{}</tr>", escaped(name), escaped(reason)))
        .collect();
    section("Kept as they were", "", format!("<table><tr><th>tensor<th>why</tr>{lines}</table>"))
}
