//! How often strict and fast choose the same block scale.
//!
//! The two differ where they compare candidates: in the input's domain in FP32, or in the scaled
//! domain. The table is that of TransformerEngine's PR 3068: block scale bytes that are equal, and
//! how many are not, for each way to scale, bound, element type and metric.

use std::fmt::Write;

use fouroversix::{
    Amax, Config, E4m3Max, Element, Error, ErrorPath, InputType, Metric, Outputs, Rule,
    ScaleLayout, Scaling,
};
use fouroversix_cli::Engine;
use fouroversix_core::shape::check_dimension;
use half::{bf16, f16};
use serde::Serialize;
use xxhash_rust::xxh3::Xxh3;

use super::sample::{self, Distribution};
use super::weights::Weights;

/// Elements in memory at a time; a multiple of every block's.
const CHUNK: usize = 1 << 23;

/// What is quantized.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// A tensor of normal elements; see [`Distribution::Normal`].
    Normal {
        /// What it depends on.
        seed: u64,
        /// `[rows, cols]`, multiples of 16.
        shape: [usize; 2],
    },
    /// A weight matrix.
    Weights(&'a Weights),
}

impl Source<'_> {
    fn shape(&self) -> [usize; 2] {
        match self {
            Self::Normal { shape, .. } => *shape,
            Self::Weights(weights) => weights.shape,
        }
    }

    /// Elements from number `first` on.
    fn fill(&self, first: usize, out: &mut [f32]) {
        match self {
            Self::Normal { seed, .. } => {
                sample::fill(Distribution::Normal, *seed, first as u64, out);
            }
            Self::Weights(weights) => out.copy_from_slice(&weights.values[first..][..out.len()]),
        }
    }
}

/// One line of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Which elements share a scale.
    pub scaling: Scaling,
    /// The bound.
    pub e4m3_max: E4m3Max,
    /// What the tensor was rounded to.
    pub element: InputType,
    /// The metric.
    pub metric: Metric,
    /// Scale bytes in which strict and fast differ.
    pub differing: u64,
    /// All scale bytes.
    pub total: u64,
}

/// The table, and what it is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// 24 rows.
    pub rows: Vec<Row>,
    /// The 64-bit XXH3 hash of the tensors' FP32 elements, little-endian, before they are rounded
    /// to the element types: equal hashes, equal tensors.
    pub hash: u64,
}

/// Every row with nothing counted yet.
fn empty_rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for scaling in [Scaling::Tensor, Scaling::Tile, Scaling::Row] {
        for e4m3_max in [E4m3Max::M256, E4m3Max::M448] {
            for element in [InputType::Bf16, InputType::F16] {
                for metric in [Metric::Mae, Metric::Mse] {
                    let (differing, total) = (0, 0);
                    rows.push(Row { scaling, e4m3_max, element, metric, differing, total });
                }
            }
        }
    }
    rows
}

/// Quantizes each source by every mode, strict and fast, and counts over all of them.
///
/// `amax`, where there is one, takes the place of the tensors' own; rows keep theirs.
///
/// Memory is bounded: a tensor is made (twice, the first time for its amax) and quantized some rows
/// at a time. `progress` is called with the share done.
///
/// # Errors
/// [`ShapeError::Dimension`](fouroversix::ShapeError::Dimension) when a shape is not made of multiples of 16; [`Error::Device`] when the
/// driver fails.
pub fn run(
    engine: &Engine,
    sources: &[Source<'_>],
    amax: Option<f32>,
    progress: &mut dyn FnMut(f64),
) -> Result<Table, Error> {
    let elements: usize =
        sources.iter().map(|source| source.shape().iter().product::<usize>()).sum();
    let mut rows = empty_rows();
    let mut hash = Xxh3::new();
    let mut done = 0;
    for source in sources {
        let own = first_pass(source, &mut hash)?;
        let amax = amax.unwrap_or(own);
        let [_, cols] = source.shape();
        for_each_chunk(source, CHUNK, |chunk| {
            let shape = [chunk.len() / cols, cols];
            count::<bf16>(engine, chunk, shape, amax, &mut rows)?;
            count::<f16>(engine, chunk, shape, amax, &mut rows)?;
            done += chunk.len();
            progress(done as f64 / elements as f64);
            Ok(())
        })?;
    }
    Ok(Table { rows, hash: hash.digest() })
}

/// Finds the amax and adds the elements to the hash.
fn first_pass(source: &Source<'_>, hash: &mut Xxh3) -> Result<f32, Error> {
    let mut amax = 0.0_f32;
    for_each_chunk(source, CHUNK, |chunk| {
        amax = amax.max(fouroversix::amax(chunk));
        // Little-endian machines only: no other runs a GPU, or this program's tests.
        hash.update(bytemuck::cast_slice(chunk));
        Ok(())
    })?;
    Ok(amax)
}

/// Calls `each` with whole rows of at most `elements` elements where 16 rows have no more, a
/// multiple of 16 of them, from first to last.
fn for_each_chunk(
    source: &Source<'_>,
    elements: usize,
    mut each: impl FnMut(&[f32]) -> Result<(), Error>,
) -> Result<(), Error> {
    let [rows, cols] = source.shape();
    for (dimension, length) in [("rows", rows), ("columns", cols)] {
        check_dimension(dimension, length)?;
    }
    let step = (elements / cols.max(1) / 16 * 16).max(16);
    let mut chunk = Vec::new();
    for row in (0..rows).step_by(step) {
        chunk.resize(step.min(rows - row) * cols, 0.0);
        source.fill(row * cols, &mut chunk);
        each(&chunk)?;
    }
    Ok(())
}

/// Counts for the rows of one element type. `amax` is rounded as the elements are: rounding keeps
/// order, so that of the whole tensor's this makes the rounded tensor's.
fn count<T: Element>(
    engine: &Engine,
    chunk: &[f32],
    shape: [usize; 2],
    amax: f32,
    rows: &mut [Row],
) -> Result<(), Error> {
    let input: Vec<T> = chunk.iter().map(|x| T::from_f32(*x)).collect();
    let amax = Amax::Tensor(T::from_f32(amax).to_f32());
    for row in rows.iter_mut().filter(|row| row.element == T::TYPE) {
        let (scaling, layout) = (row.scaling, ScaleLayout::Linear);
        // A row's amax is within the chunk.
        let amax = (scaling != Scaling::Row).then_some(amax);
        let scales = |error_path| {
            let (metric, e4m3_max) = (row.metric, row.e4m3_max);
            let rule = Rule::FourOverSix { metric, error_path, e4m3_max };
            let config = Config::new(rule, scaling, Outputs::Rowwise, layout)?;
            let quantized = engine.quantize(&input, shape, &config, amax)?.rowwise;
            let (_, scales, _) = quantized.expect("rowwise output is configured").into_parts();
            Ok::<_, Error>(scales)
        };
        let (strict, fast) = (scales(ErrorPath::Strict)?, scales(ErrorPath::Fast)?);
        row.differing +=
            strict.iter().zip(&fast).filter(|(strict, fast)| strict != fast).count() as u64;
        row.total += strict.len() as u64;
    }
    Ok(())
}

impl Row {
    /// Percentage of scale bytes that are equal.
    #[must_use]
    pub fn equal_percent(&self) -> f64 {
        100.0 * (1.0 - self.differing as f64 / self.total.max(1) as f64)
    }

    fn names(&self) -> [&'static str; 4] {
        [
            match self.scaling {
                Scaling::Tensor => "tensor 1d",
                Scaling::Row => "row 1d",
                Scaling::Tile => "tensor 2d",
            },
            match self.e4m3_max {
                E4m3Max::M256 => "256",
                E4m3Max::M448 => "448",
            },
            match self.element {
                InputType::Bf16 => "bf16",
                InputType::F16 => "fp16",
                InputType::F32 => "fp32",
            },
            match self.metric {
                Metric::Mae => "MAE",
                Metric::Mse => "MSE",
            },
        ]
    }
}

impl Serialize for Row {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let [scaling, e4m3_max, element, metric] = self.names();
        let mut row = serializer.serialize_struct("Row", 7)?;
        row.serialize_field("scale_mode", scaling)?;
        row.serialize_field("e4m3_max", e4m3_max)?;
        row.serialize_field("dtype", element)?;
        row.serialize_field("metric", metric)?;
        row.serialize_field("equal_percent", &self.equal_percent())?;
        row.serialize_field("differing", &self.differing)?;
        row.serialize_field("total", &self.total)?;
        row.end()
    }
}

impl Table {
    /// A Markdown table.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let mut out = "| scale mode | A | dtype | metric | equal scales | differing | total |\n\
                       |---|--:|---|---|--:|--:|--:|\n"
            .to_owned();
        for row in &self.rows {
            let [scaling, e4m3_max, element, metric] = row.names();
            let Row { differing, total, .. } = row;
            let equal = row.equal_percent();
            writeln!(
                out,
                "| {scaling} | {e4m3_max} | {element} | {metric} | {equal:.5}% | {differing} | {total} |"
            )
            .expect("writing to a string");
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NORMAL: Source<'static> = Source::Normal { seed: 46, shape: [1024, 7168] };

    #[test]
    fn strict_and_fast_differ_as_seldom_as_published() {
        let table = run(&Engine::Cpu, &[NORMAL], None, &mut |_| {}).unwrap();
        assert_eq!(table.rows.len(), 24);
        let total: u64 = 1024 * 7168 / 16;
        for row in &table.rows {
            assert_eq!(row.total, total);
            // Published for 96 times as many scales: 1D 2949 to 30259, 2D 16 to 240 in tiles of 16.
            let published = match (row.scaling, row.e4m3_max, row.metric) {
                (Scaling::Tile, ..) => 240,
                (_, E4m3Max::M256, Metric::Mae) => 8730,
                (_, E4m3Max::M256, Metric::Mse) => 2949,
                (_, E4m3Max::M448, Metric::Mae) => 30_259,
                (_, E4m3Max::M448, Metric::Mse) => 9704,
            };
            // Below, because counts depend on where the amax puts the scales, and because fp16
            // has eight times the significands of bf16, hence fewer near ties.
            assert!(row.differing <= published / 96 * 3 + 16, "{row:?}");
            let exact = (row.scaling, row.e4m3_max) == (Scaling::Tensor, E4m3Max::M256);
            if exact && row.element == InputType::Bf16 {
                assert!(row.differing >= published / 96 / 3, "{row:?}");
            }
        }
    }

    /// With the amax that the published tensor seems to have had, counts come close to all of its.
    #[test]
    fn the_amax_decides_how_many_differ() {
        let published = [(E4m3Max::M256, 8730, 2949), (E4m3Max::M448, 30_259, 9704)];
        let table = run(&Engine::Cpu, &[NORMAL], Some(5.90625), &mut |_| {}).unwrap();
        for (bound, mae, mse) in published {
            for (metric, published) in [(Metric::Mae, mae), (Metric::Mse, mse)] {
                let row = table.rows.iter().find(|row| {
                    (row.scaling, row.e4m3_max, row.element, row.metric)
                        == (Scaling::Tensor, bound, InputType::Bf16, metric)
                });
                let (count, expected) =
                    (row.unwrap().differing as f64, f64::from(published) / 96.0);
                // Four standard deviations of a count.
                assert!(
                    (count - expected).abs() < 4.0 * expected.sqrt(),
                    "{count}, not {expected}"
                );
            }
        }
    }

    #[test]
    fn chunks_make_up_the_tensor() {
        let shape = [112, 512];
        let source = Source::Normal { seed: 1, shape };
        let (mut rows, mut values) = (Vec::new(), Vec::new());
        for_each_chunk(&source, 47 * 512, |chunk| {
            rows.push(chunk.len() / shape[1]);
            values.extend_from_slice(chunk);
            Ok(())
        })
        .unwrap();
        assert_eq!(rows, [32, 32, 32, 16]);
        let mut whole = vec![0.0_f32; shape[0] * shape[1]];
        sample::fill(Distribution::Normal, 1, 0, &mut whole);
        assert!(values == whole);
    }

    #[test]
    fn weights_are_counted_together() {
        let weights = |name: &str, seed| {
            let mut values = vec![0.0; 256 * 512];
            sample::fill(Distribution::Normal, seed, 0, &mut values);
            Weights { name: name.to_owned(), shape: [256, 512], values }
        };
        let (a, b) = (weights("a", 1), weights("b", 2));
        let both =
            run(&Engine::Cpu, &[Source::Weights(&a), Source::Weights(&b)], None, &mut |_| {})
                .unwrap();
        let apart = [&a, &b]
            .map(|it| run(&Engine::Cpu, &[Source::Weights(it)], None, &mut |_| {}).unwrap());
        for (i, row) in both.rows.iter().enumerate() {
            let sum: u64 = apart.iter().map(|table| table.rows[i].differing).sum();
            assert_eq!((row.differing, row.total), (sum, 2 * 256 * 32));
        }
    }

    #[test]
    fn shapes_are_checked() {
        let source = Source::Normal { seed: 1, shape: [24, 32] };
        let error = run(&Engine::Cpu, &[source], None, &mut |_| {}).unwrap_err();
        assert!(error.to_string().contains("24 rows"), "{error}");
    }
}
