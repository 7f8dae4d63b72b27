//! How much each rule loses: relative mean squared error, and signal to quantization noise.

mod plot;
mod table;

use std::fmt::Write;

use fouroversix_core::{Config, E4m3Max, ErrorPath, Metric, Outputs, Rule, ScaleLayout, Scaling};
use half::bf16;

pub use table::{Row, Table};

use table::SCALINGS;

use super::sample::{self, Distribution};
use super::weights::Weights;
use fouroversix::Element;
use fouroversix::Error;
use fouroversix::cpu::map4;
use fouroversix::{Deviation, deviation};

/// What is quantized.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// `[rows, cols]` of the random tensors, multiples of 16.
    pub shape: [usize; 2],
    /// What they depend on.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { shape: [8192, 4096], seed: 46 }
    }
}

/// How block scales are chosen, map4 alone included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    Rule(Rule),
    Map4(E4m3Max),
}

const fn four_over_six(metric: Metric, e4m3_max: E4m3Max) -> Choice {
    Choice::Rule(Rule::FourOverSix { metric, error_path: ErrorPath::Strict, e4m3_max })
}

/// The choices, and what tables call them.
const CHOICES: [(&str, Choice); 7] = [
    ("plain", Choice::Rule(Rule::Plain)),
    ("map4 only, A = 448", Choice::Map4(E4m3Max::M448)),
    ("map4 only, A = 256", Choice::Map4(E4m3Max::M256)),
    ("MAE, A = 448", four_over_six(Metric::Mae, E4m3Max::M448)),
    ("MAE, A = 256", four_over_six(Metric::Mae, E4m3Max::M256)),
    ("MSE, A = 448", four_over_six(Metric::Mse, E4m3Max::M448)),
    ("MSE, A = 256", four_over_six(Metric::Mse, E4m3Max::M256)),
];

/// Quantizes random bf16 tensors of each distribution, and the weights (as FP32, figures over all
/// of them), by each rule, strict, on the CPU. `progress` is called with a line for each source.
///
/// # Errors
/// [`ShapeError::Dimension`](fouroversix::ShapeError::Dimension) when the shape is not made of multiples of 16.
pub fn run(
    options: &Options,
    weights: Option<(&str, &[Weights])>,
    progress: &mut dyn FnMut(&str),
) -> Result<Table, Error> {
    let mut rows = Vec::new();
    for distribution in Distribution::ALL {
        progress(distribution.name());
        let mut input = vec![bf16::ZERO; options.shape[0] * options.shape[1]];
        sample::fill(distribution, options.seed, 0, &mut input);
        measure(distribution.name(), &[(&input, options.shape)], &mut rows)?;
    }
    if let Some((name, weights)) = weights {
        progress(name);
        let tensors: Vec<_> = weights.iter().map(|it| (it.values.as_slice(), it.shape)).collect();
        measure(name, &tensors, &mut rows)?;
    }
    Ok(Table { rows })
}

/// Appends a source's rows.
fn measure<T: Element>(
    source: &str,
    tensors: &[(&[T], [usize; 2])],
    rows: &mut Vec<Row>,
) -> Result<(), Error> {
    for (scaling_name, scaling) in SCALINGS {
        for (rule, choice) in CHOICES {
            let mut sum = Deviation::default();
            let (mut map4_blocks, mut blocks) = (0, 0);
            for (input, shape) in tensors {
                let (part, choices) = quantize(input, *shape, scaling, choice)?;
                sum = sum + part;
                map4_blocks += choices.map4;
                blocks += choices.blocks;
            }
            let chose = matches!(choice, Choice::Rule(Rule::FourOverSix { .. }));
            rows.push(Row {
                source: source.to_owned(),
                scaling: scaling_name,
                rule,
                relative_mse: sum.relative_mse(),
                sqnr_db: sum.sqnr_db(),
                map4_share: chose.then(|| map4_blocks as f64 / f64::max(blocks as f64, 1.0)),
            });
        }
    }
    Ok(())
}

fn quantize<T: Element>(
    input: &[T],
    shape: [usize; 2],
    scaling: Scaling,
    choice: Choice,
) -> Result<(Deviation, fouroversix::Choices), Error> {
    let rule = match choice {
        Choice::Map4(bound) => {
            let tensor = map4(input, shape, scaling, bound)?;
            return Ok((deviation(tensor.view(), input)?, fouroversix::Choices::default()));
        }
        Choice::Rule(rule) => rule,
    };
    let [rows, cols] = shape;
    let config = Config::new(rule, scaling, Outputs::Rowwise, ScaleLayout::Linear)?;
    let mut codes = vec![0; rows * cols / 2];
    let mut scales = vec![0; rows * cols / 16];
    let mut global_amax = vec![0.0; if scaling == Scaling::Row { rows } else { 1 }];
    let out = fouroversix::Nvfp4Mut {
        codes: &mut codes,
        scales: &mut scales,
        global_amax: &mut global_amax,
    };
    let out = fouroversix::QuantizedMut { rowwise: Some(out), columnwise: None };
    let choices = fouroversix::quantize_into(input, shape, &config, None, out)?;
    let (scale_layout, e4m3_max) = (ScaleLayout::Linear, rule.e4m3_max());
    let view = fouroversix::Nvfp4View {
        codes: &codes,
        scales: &scales,
        global_amax: &global_amax,
        shape,
        scale_layout,
        e4m3_max,
    };
    Ok((deviation(view, input)?, choices))
}

impl Table {
    /// A Markdown table for each source.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let mut out = String::new();
        for rows in self.sources() {
            let source = &rows[0].source;
            write!(
                out,
                "## {source}\n\n| scaling | rule | relative MSE | against plain | SQNR dB | map4 \
                 |\n|---|---|--:|--:|--:|--:|\n"
            )
            .expect("writing to a string");
            for row in rows {
                let plain = rows.iter().find(|it| it.scaling == row.scaling);
                let plain = plain.expect("the row itself is one").relative_mse;
                let against = 100.0 * (row.relative_mse / plain - 1.0);
                let share = row.map4_share;
                let share = share.map_or_else(|| "–".into(), |it| format!("{:.1}%", 100.0 * it));
                let Row { scaling, rule, relative_mse, sqnr_db, .. } = row;
                writeln!(
                    out,
                    "| {scaling} | {rule} | {relative_mse:.5} | {against:+.1}% | {sqnr_db:.3} | \
                     {share} |"
                )
                .expect("writing to a string");
            }
            out.push('\n');
        }
        out
    }

    /// A plot of all sources, one file without outside resources.
    #[must_use]
    pub fn to_svg(&self) -> String {
        plot::svg(self)
    }

    fn sources(&self) -> impl Iterator<Item = &[Row]> {
        self.rows.chunk_by(|a, b| a.source == b.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let options = Options { shape: [512, 4096], seed: 46 };
        let mut values = vec![0.0; 64 * 256];
        sample::fill(Distribution::Laplace, 1, 0, &mut values);
        let weights = [Weights { name: "w".to_owned(), shape: [64, 256], values }];
        run(&options, Some(("a <model>", &weights)), &mut |_| {}).unwrap()
    }

    #[test]
    fn known_figures_of_normal_data() {
        let table = table();
        for (scaling, rule, expected) in [
            ("tensor", "plain", 0.00904),
            ("tensor", "MAE, A = 256", 0.00779),
            ("tensor", "MSE, A = 256", 0.00756),
            ("tile", "plain", 0.01239),
            ("tile", "MSE, A = 256", 0.01237),
        ] {
            let found =
                |row: &&Row| row.source == "normal" && row.scaling == scaling && row.rule == rule;
            let actual = table.rows.iter().find(found).unwrap().relative_mse;
            assert!((actual / expected - 1.0).abs() < 0.01, "{scaling} {rule}: {actual}");
        }
    }

    #[test]
    fn choosing_by_squared_error_is_never_worse_than_either_candidate() {
        let table = table();
        assert_eq!(table.rows.len(), 5 * 3 * 7);
        for rows in table.rows.chunks(7) {
            let mse = |rule: &str| {
                rows.iter().find(|row| row.rule == rule).expect("every rule is there").relative_mse
            };
            // The slack is for sums in FP32, and for scales of map6 that round unlike plain's.
            assert!(mse("MSE, A = 256") <= mse("map4 only, A = 256") * 1.0001, "{rows:?}");
            assert!(mse("MSE, A = 448") <= mse("map4 only, A = 448") * 1.0001, "{rows:?}");
            assert!(mse("MSE, A = 448") <= mse("plain") * 1.0001, "{rows:?}");
            let sqnr = -10.0 * rows[0].relative_mse.log10();
            assert!((rows[0].sqnr_db - sqnr).abs() < 1e-9);
        }
    }

    #[test]
    fn tables_and_plots_have_every_source() {
        let table = table();
        let (markdown, svg) = (table.to_markdown(), table.to_svg());
        for distribution in Distribution::ALL {
            assert!(markdown.contains(&format!("## {}\n", distribution.name())));
            assert!(svg.contains(distribution.name()));
        }
        assert!(svg.contains("a &lt;model&gt;") && !svg.contains("<model>"));
        assert_eq!(svg.matches("<title>").count(), table.rows.len());
        // The name space is the only address in it.
        assert_eq!(svg.matches("http").count(), 1);
    }
}
