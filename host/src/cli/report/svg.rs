//! Charts as inline SVG.

use super::page::escaped;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 70.0;
const BOTTOM: f64 = 30.0;
const TOP: f64 = 12.0;

/// Two series over the same places, one dot each; a dot's tooltip names the place.
pub(super) fn dots(names: &[&str], first: &[f64], second: &[f64], unit: &str) -> String {
    let finite = || first.iter().chain(second).copied().filter(|value| value.is_finite());
    let (low, high) = finite().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    if low > high {
        return "<p>No finite values.</p>".to_owned();
    }
    let margin = ((high - low) * 0.08).max(high.abs() * 1e-3).max(f64::MIN_POSITIVE);
    let (low, high) = (low - margin, high + margin);
    let x = |i: usize| LEFT + (WIDTH - LEFT - 10.0) * (i as f64 + 0.5) / names.len() as f64;
    let y = |value: f64| TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / (high - low);
    let mut body = String::new();
    for step in 0..=4 {
        let value = low + (high - low) * f64::from(step) / 4.0;
        body += &format!(
            "<line class=grid x1={LEFT} x2={WIDTH} y1={0:.1} y2={0:.1} />\
             <text x={1} y={2:.1} text-anchor=end>{value:.4}</text>",
            y(value),
            LEFT - 6.0,
            y(value) + 4.0
        );
    }
    for (class, series) in [("plain", second), ("chosen", first)] {
        for (i, (&value, name)) in series.iter().zip(names).enumerate() {
            if value.is_finite() {
                body += &format!(
                    "<circle class={class} cx={:.1} cy={:.1} r=3><title>{}: {value:.5} {unit}\
                     </title></circle>",
                    x(i),
                    y(value),
                    escaped(name)
                );
            }
        }
    }
    frame(&body)
}

/// Bars with a label below and a count in the tooltip.
pub(super) fn bars(labels: &[String], counts: &[u64]) -> String {
    let most = counts.iter().copied().max().unwrap_or(0).max(1) as f64;
    let total = counts.iter().sum::<u64>().max(1) as f64;
    let slot = (WIDTH - LEFT - 10.0) / counts.len().max(1) as f64;
    let mut body = String::new();
    for (i, (label, &count)) in labels.iter().zip(counts).enumerate() {
        let height = (HEIGHT - TOP - BOTTOM) * count as f64 / most;
        let left = LEFT + slot * i as f64;
        body += &format!(
            "<rect class=chosen x={:.1} y={:.1} width={:.1} height={height:.1}><title>{label}: \
             {count} ({:.2}%)</title></rect><text x={:.1} y={:.1} text-anchor=middle>{label}</text>",
            left + slot * 0.1,
            HEIGHT - BOTTOM - height,
            slot * 0.8,
            100.0 * count as f64 / total,
            left + slot / 2.0,
            HEIGHT - BOTTOM + 16.0
        );
    }
    frame(&body)
}

fn frame(body: &str) -> String {
    format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=img>{body}</svg>")
}
