//! Charts as inline SVG, with axes that can be read.

use super::escape::escaped;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 250.0;
const LEFT: f64 = 78.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 46.0;

/// Steps between the ticks of an axis, at most.
const STEPS: f64 = 8.0;

/// What the axes of a chart show.
#[derive(Clone, Copy, Debug)]
pub(super) struct Titles<'a> {
    pub(super) x: &'a str,
    pub(super) y: &'a str,
}

/// What the bars of a chart stand for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Bins<'a> {
    /// One name each.
    Names(&'a [String]),
    /// Equal parts of a range of numbers.
    Range(f64, f64),
}

/// Two series over the same places, one dot each; a dot's tooltip names the place.
pub(super) fn dots(titles: Titles<'_>, names: &[&str], first: &[f64], second: &[f64]) -> String {
    let finite = || first.iter().chain(second).copied().filter(|value| value.is_finite());
    let (low, high) = finite().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    if low > high {
        return "<p>No finite values.</p>".to_owned();
    }
    let margin = ((high - low) * 0.08).max(high.abs() * 1e-3).max(f64::MIN_POSITIVE);
    let y = Axis::up(low - margin, high + margin);
    // Tensor 1 is in the middle of the first slot.
    let x = Axis::across(0.5, names.len() as f64 + 0.5);
    let mut body = y.grid() + &x.whole_ticks();
    for (class, series) in [("plain", second), ("chosen", first)] {
        for (i, (&value, name)) in series.iter().zip(names).enumerate() {
            if value.is_finite() {
                body += &format!(
                    "<circle class={class} cx={:.1} cy={:.1} r=3><title>{}: {value:.5}</title>\
                     </circle>",
                    x.place(i as f64 + 1.0),
                    y.place(value),
                    escaped(name)
                );
            }
        }
    }
    frame(titles, &body)
}

/// Bars with a count and a share in the tooltip.
pub(super) fn bars(titles: Titles<'_>, bins: Bins<'_>, counts: &[u64]) -> String {
    let most = counts.iter().copied().max().unwrap_or(0).max(1) as f64;
    let total = counts.iter().sum::<u64>().max(1) as f64;
    let y = Axis::up(0.0, most * 1.04);
    let slots = Axis::across(0.0, counts.len().max(1) as f64);
    let mut body = y.grid();
    for (i, &count) in counts.iter().enumerate() {
        let (left, right) = (slots.place(i as f64 + 0.1), slots.place(i as f64 + 0.9));
        let top = y.place(count as f64);
        body += &format!(
            "<rect class=chosen x={left:.1} y={top:.1} width={:.1} height={:.1}><title>{}: {count} \
             ({:.2}%)</title></rect>",
            right - left,
            HEIGHT - BOTTOM - top,
            escaped(&bins.describe(i, counts.len())),
            100.0 * count as f64 / total
        );
    }
    body += &match bins {
        Bins::Names(names) => {
            let middle = |i: usize| slots.place(i as f64 + 0.5);
            names.iter().enumerate().map(|(i, name)| label(middle(i), name)).collect()
        }
        Bins::Range(low, high) => Axis::across(low, high).ticks_below(),
    };
    frame(titles, &body)
}

impl Bins<'_> {
    fn describe(&self, index: usize, count: usize) -> String {
        match self {
            Self::Names(names) => names.get(index).cloned().unwrap_or_default(),
            Self::Range(low, high) => {
                let edge = |i: usize| low + (high - low) * i as f64 / count as f64;
                format!("{:.2} to {:.2}", edge(index), edge(index + 1))
            }
        }
    }
}

/// Maps values to places.
struct Axis {
    low: f64,
    high: f64,
    /// Where the lowest and the highest value are.
    places: (f64, f64),
}

impl Axis {
    fn across(low: f64, high: f64) -> Self {
        Self { low, high, places: (LEFT, WIDTH - RIGHT) }
    }

    fn up(low: f64, high: f64) -> Self {
        Self { low, high, places: (HEIGHT - BOTTOM, TOP) }
    }

    fn place(&self, value: f64) -> f64 {
        let share = (value - self.low) / (self.high - self.low);
        self.places.0 + (self.places.1 - self.places.0) * share
    }

    /// Round numbers on the axis with their texts, 1, 2 or 5 times a power of ten apart.
    fn ticks(&self) -> Vec<(f64, String)> {
        let rough = (self.high - self.low) / STEPS;
        let power = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .into_iter()
            .map(|factor| factor * power)
            .find(|step| *step >= rough)
            .unwrap_or(rough);
        let first = (self.low / step).ceil() as i64;
        let last = (self.high / step).floor() as i64;
        let unit = Unit::of(self.low.abs().max(self.high.abs()), step);
        let tick = |i| (i as f64 * step, unit.text(i as f64 * step));
        (first..=last).map(tick).collect()
    }

    /// Lines across the chart with their values on the left.
    fn grid(&self) -> String {
        let line = |(value, text): (f64, String)| {
            let y = self.place(value);
            format!(
                "<line class=grid x1={LEFT} x2={} y1={y:.1} y2={y:.1} />\
                 <text x={} y={:.1} text-anchor=end>{text}</text>",
                WIDTH - RIGHT,
                LEFT - 6.0,
                y + 4.0
            )
        };
        self.ticks().into_iter().map(line).collect()
    }

    /// Values below the chart.
    fn ticks_below(&self) -> String {
        let ticks = self.ticks().into_iter();
        ticks.map(|(value, text)| label(self.place(value), &text)).collect()
    }

    /// Whole numbers below the chart, for things that are counted.
    fn whole_ticks(&self) -> String {
        let whole = self.ticks().into_iter().filter(|(value, _)| value.fract() == 0.0);
        whole.map(|(value, _)| label(self.place(value), &format!("{value}"))).collect()
    }
}

/// A mark below the chart and what it says.
fn label(x: f64, text: &str) -> String {
    let bottom = HEIGHT - BOTTOM;
    format!(
        "<line class=grid x1={x:.1} x2={x:.1} y1={bottom} y2={} />\
         <text x={x:.1} y={} text-anchor=middle>{}</text>",
        bottom + 4.0,
        bottom + 16.0,
        escaped(text)
    )
}

/// How the numbers of an axis are written: large ones as 20 k, 3 M or 1.5 G.
struct Unit {
    scale: f64,
    name: &'static str,
    digits: usize,
}

impl Unit {
    /// For numbers up to `largest` that are `step` apart.
    fn of(largest: f64, step: f64) -> Self {
        let (scale, name) = match largest {
            large if large >= 1e9 => (1e9, " G"),
            large if large >= 1e6 => (1e6, " M"),
            large if large >= 1e4 => (1e3, " k"),
            _ => (1.0, ""),
        };
        let digits = (-(step / scale).log10().floor()).clamp(0.0, 9.0) as usize;
        Self { scale, name, digits }
    }

    fn text(&self, value: f64) -> String {
        let Self { scale, name, digits } = self;
        if value == 0.0 { "0".to_owned() } else { format!("{:.digits$}{name}", value / scale) }
    }
}

fn frame(titles: Titles<'_>, body: &str) -> String {
    let (x, y) = (escaped(titles.x), escaped(titles.y));
    let (middle, bottom) = ((LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 8.0);
    let height = (TOP + HEIGHT - BOTTOM) / 2.0;
    format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=img aria-label=\"{y} by {x}\">{body}\
         <text class=title x={middle} y={bottom} text-anchor=middle>{x}</text>\
         <text class=title x=14 y={height} text-anchor=middle \
         transform=\"rotate(-90 14 {height})\">{y}</text></svg>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_numbers_inside_the_axis() {
        let axes: [(f64, f64, &[&str]); 6] = [
            (0.0, 1.0, &["0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
            (-8.3, 4.1, &["-8", "-6", "-4", "-2", "0", "2", "4"]),
            (0.0071, 0.0086, &["0.0072", "0.0074", "0.0076", "0.0078", "0.0080", "0.0082"]),
            (0.0, 29_000.0, &["0", "5 k", "10 k", "15 k", "20 k", "25 k"]),
            (0.0, 2_600_000_000.0, &["0", "0.5 G", "1.0 G", "1.5 G", "2.0 G", "2.5 G"]),
            (20.3, 20.31, &["20.300", "20.302", "20.304"]),
        ];
        for (low, high, texts) in axes {
            let ticks = Axis::up(low, high).ticks();
            assert!((3..=9).contains(&ticks.len()), "{low} to {high}: {ticks:?}");
            let slack = (high - low) * 1e-9;
            for ((value, text), expected) in ticks.iter().zip(texts) {
                assert_eq!(text, expected);
                assert!(*value >= low - slack && *value <= high + slack, "{ticks:?}");
            }
        }
    }

    #[test]
    fn charts_of_one_value_or_none_are_charts() {
        let titles = Titles { x: "tensors", y: "dB" };
        let one = dots(titles, &["a"], &[20.0], &[20.0]);
        assert!(one.contains("<circle") && !one.contains("NaN"), "{one}");
        assert!(!dots(titles, &["a"], &[f64::NAN], &[f64::INFINITY]).contains("<svg"));
        let empty = bars(titles, Bins::Range(-1.0, 0.0), &[0; 4]);
        assert!(!empty.contains("NaN") && !empty.contains("inf"), "{empty}");
    }
}
