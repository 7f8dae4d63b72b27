//! What must hold of stochastic rounding and transforms besides the bits: on every CPU path.

use fouroversix::cpu::{Path, quantize_outputs};
use fouroversix::{
    Amax, Config, Nvfp4Tensor, Outputs, Panel, Quantized, RandomState, Rounding, Rule, ScaleLayout,
    Scaling, SignMask, Transforms,
};
use fouroversix_conformance::case::{Input, SuppliedAmax};
use fouroversix_conformance::generate::PATTERNS;
use fouroversix_conformance::oracle;
use fouroversix_core::config::InputType;

const SHAPE: [usize; 2] = [96, 80];
const STATE: RandomState = RandomState { seed: 0xFEED_5EED_0BAD_CAFE, offset: 41 };

/// Every scaling with stochastic rounding, and transforms with both roundings.
fn modes(rule: Rule) -> Vec<Config> {
    let both = |masks: [u16; 2]| Transforms {
        rowwise: Some(SignMask(masks[0])),
        columnwise: Some(SignMask(masks[1])),
    };
    let stochastic = Rounding::Stochastic(STATE);
    let mut modes = Vec::new();
    for (scaling, rounding, transforms) in [
        (Scaling::Tensor, stochastic, Transforms::NONE),
        (Scaling::Row, stochastic, Transforms::NONE),
        (Scaling::Tile, stochastic, Transforms::NONE),
        (Scaling::Tensor, stochastic, both([0xD7E8, 0x1234])),
        (Scaling::Tensor, Rounding::Nearest, both([0, 0xFFFF])),
    ] {
        let config = Config::builder().rule(rule).scaling(scaling).rounding(rounding);
        let config = config.outputs(Outputs::Both).transforms(transforms);
        modes.extend(config.build());
    }
    modes
}

fn input() -> Vec<f32> {
    PATTERNS[0].input(InputType::F32, SHAPE, 5).values()
}

fn quantize(path: Path, config: &Config, rows: &[f32], amax: Option<Amax<'_>>) -> Quantized {
    let shape = [rows.len() / SHAPE[1], SHAPE[1]];
    quantize_outputs(path, rows, shape, config, amax).unwrap()
}

/// A configuration with one of its outputs.
fn alone(config: &Config, outputs: Outputs) -> Config {
    let Transforms { rowwise, columnwise } = config.transforms();
    let transforms = Transforms {
        rowwise: rowwise.filter(|_| outputs.rowwise()),
        columnwise: columnwise.filter(|_| outputs.columnwise()),
    };
    config.to_builder().outputs(outputs).transforms(transforms).build().unwrap()
}

#[test]
fn an_output_alone_is_the_output_beside_the_other() {
    let input = input();
    for path in Path::available() {
        for rule in [Rule::Plain, Rule::MSE] {
            for config in modes(rule) {
                let whole = quantize(path, &config, &input, None);
                let rowwise = quantize(path, &alone(&config, Outputs::Rowwise), &input, None);
                let columnwise = quantize(path, &alone(&config, Outputs::Columnwise), &input, None);
                assert_eq!(rowwise.rowwise, whole.rowwise, "{path:?} {config:?}");
                assert_eq!(columnwise.columnwise, whole.columnwise, "{path:?} {config:?}");
            }
        }
    }
}

/// Rows of the whole, quantized with their place and the whole's amax.
#[test]
fn panels_give_the_bytes_of_the_whole() {
    let input = input();
    let [rows, cols] = SHAPE;
    for path in Path::available() {
        for rule in [Rule::Plain, Rule::MSE] {
            for config in modes(rule) {
                let told = format!("{path:?} {config:?}");
                let [by_row, by_column] =
                    quantize(path, &config, &input, None).into_both().unwrap();
                for (first_row, count) in [(0, 16), (16, 48), (64, 32)] {
                    let panel = Panel { first_row, rows };
                    let config = config.to_builder().panel(panel).build().unwrap();
                    let amax = match config.scaling() {
                        Scaling::Row => Amax::RowsAndColumns {
                            rows: &by_row.global_amax()[first_row..][..count],
                            columns: by_column.global_amax(),
                        },
                        _ => Amax::Outputs {
                            rowwise: by_row.global_amax()[0],
                            columnwise: by_column.global_amax()[0],
                        },
                    };
                    let rows = &input[first_row * cols..][..count * cols];
                    let [part, part_by_column] =
                        quantize(path, &config, rows, Some(amax)).into_both().unwrap();
                    let of_whole = |bytes: &[u8], per_row: usize| {
                        bytes[first_row * per_row..][..count * per_row].to_vec()
                    };
                    assert_eq!(part.codes(), of_whole(by_row.codes(), cols / 2), "{told}");
                    assert_eq!(part.scales(), of_whole(by_row.scales(), cols / 16), "{told}");
                    for column in 0..cols {
                        let [of_part, of_whole] =
                            [&part_by_column, &by_column].map(|t| line(t, column));
                        assert_eq!(
                            of_part[0],
                            &of_whole[0][first_row / 2..][..count / 2],
                            "{told}"
                        );
                        assert_eq!(
                            of_part[1],
                            &of_whole[1][first_row / 16..][..count / 16],
                            "{told}"
                        );
                    }
                }
            }
        }
    }
}

/// Codes and scales of a row of a tensor.
fn line(tensor: &Nvfp4Tensor, row: usize) -> [&[u8]; 2] {
    let length = tensor.shape()[1];
    assert_eq!(tensor.scale_layout(), ScaleLayout::Linear);
    let (codes, scales) = (tensor.codes(), tensor.scales());
    [&codes[row * length / 2..][..length / 2], &scales[row * length / 16..][..length / 16]]
}

#[test]
fn panels_outside_of_their_tensor_are_refused() {
    let input = vec![1.0_f32; 32 * 16];
    for (first_row, rows) in [(0, 16), (16, 32), (usize::MAX, 32), (1 << 40, 0)] {
        let config = Config::builder().panel(Panel { first_row, rows }).build().unwrap();
        let refused = fouroversix::quantize(&input, [32, 16], &config).unwrap_err();
        assert!(refused.to_string().contains("panel"), "{refused}");
    }
    // Columns of a panel begin and end with whole blocks.
    for (first_row, rows) in [(8, 64), (16, 72)] {
        let config = Config::builder().outputs(Outputs::Columnwise);
        let config = config.panel(Panel { first_row, rows }).build().unwrap();
        assert!(fouroversix::quantize(&input, [32, 16], &config).is_err());
    }
}

/// Offsets that differ in more draw other bytes; scales stay.
#[test]
fn the_top_bit_of_an_offset_is_not_seen() {
    let input = input();
    for path in Path::available() {
        let of = |offset: u64| {
            let rounding = Rounding::Stochastic(RandomState { offset, ..STATE });
            let config = Config::builder().outputs(Outputs::Both).rounding(rounding);
            quantize(path, &config.build().unwrap(), &input, None).into_both().unwrap()
        };
        let first = of(7);
        assert_eq!(of(7 | 1 << 63), first);
        for other in [of(8), of(7 | 1 << 62)] {
            for (first, other) in first.iter().zip(&other) {
                assert_eq!(first.scales(), other.scales());
                let differ = first.codes().iter().zip(other.codes()).filter(|(a, b)| a != b);
                assert!(differ.count() > first.codes().len() / 4);
            }
        }
    }
}

/// Every 256th of every step and its neighbours, with 64 random bytes each, against the reference.
#[test]
fn every_class_of_values_has_the_reference_codes() {
    let grid = [0.0_f32, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0];
    let mut values = vec![f32::NAN, -f32::NAN, 1e-45, -1e-39, 5.999_999_5];
    for pair in grid.windows(2) {
        for k in 0..256_u16 {
            let point = pair[0] + (pair[1] - pair[0]) * f32::from(k) / 256.0;
            values.extend([-point.next_down().max(0.0), point, -point, point.next_up()]);
        }
    }
    // A 6 in each block makes its scale 1 under this amax, and products the elements.
    let mut row = Vec::new();
    for values in values.chunks(15) {
        row.push(6.0);
        row.extend(values);
        row.resize(row.len().next_multiple_of(16), 0.25);
    }
    let shape = [64, row.len()];
    let input: Vec<f32> = row.iter().cycle().take(64 * row.len()).copied().collect();
    let config = Config::builder().rule(Rule::Plain).rounding(Rounding::Stochastic(STATE));
    let config = config.build().unwrap();
    let bits = input.iter().map(|x| x.to_bits()).collect();
    let case = Input { element: InputType::F32, shape, bits };
    let amax = 6.0 * 448.0;
    let supplied = SuppliedAmax { rowwise: vec![amax], columnwise: Vec::new() };
    let expected = oracle::quantize(config, &case, Some(&supplied)).unwrap().rowwise.unwrap();
    assert!(expected.scales.iter().all(|scale| *scale == 0x38));
    for path in Path::available() {
        let actual =
            quantize_outputs(path, &input, shape, &config, Some(Amax::Tensor(amax))).unwrap();
        assert!(actual.rowwise.unwrap().codes() == expected.codes, "{path:?}");
    }
}

/// The mean over many offsets is the product, less what its last 256th rounds down.
#[test]
fn the_mean_is_the_product() {
    let input: Vec<f32> = (0..16).map(|i| if i == 0 { 6.0 } else { 0.37 * i as f32 }).collect();
    let grid = [0.0_f64, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0];
    const DRAWS: u64 = 4096;
    let mut sums = [0.0_f64; 16];
    for offset in 0..DRAWS {
        let rounding = Rounding::Stochastic(RandomState { seed: 3, offset });
        let config = Config::builder().rule(Rule::Plain).rounding(rounding).build().unwrap();
        let amax = Some(Amax::Tensor(6.0 * 448.0));
        let tensor = fouroversix::quantize_outputs(&input, [1, 16], &config, amax).unwrap();
        let tensor = tensor.rowwise.unwrap();
        for (i, sum) in sums.iter_mut().enumerate() {
            *sum += grid[usize::from(tensor.codes()[i / 2] >> (4 * (i % 2)) & 7)];
        }
    }
    for (x, sum) in input.iter().zip(sums) {
        let (x, mean) = (f64::from(*x), sum / DRAWS as f64);
        let step = if x < 2.0 {
            0.5
        } else if x < 4.0 {
            1.0
        } else {
            2.0
        };
        // Five standard deviations of a mean of draws that are a step apart at most.
        let noise = 5.0 * step * 0.5 / (DRAWS as f64).sqrt();
        assert!(mean - x < noise && x - mean < noise + step / 256.0, "{x}: {mean}");
    }
}
