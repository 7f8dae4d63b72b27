//! The contract stated a second time, so that it can be broken on purpose.
//!
//! It shares no arithmetic with the reference: E2M1 and E4M3 are rounded by comparison with
//! midpoints, FP16 products are `half`'s. Every FP32 operation's result passes [`Contract::fl`].

use fouroversix_conformance::backend::{Backend, BackendError, SkipReason};
use fouroversix_conformance::case::{Case, Outcome, Output};
use fouroversix_core::config::{Config, ErrorPath, Metric, Rule, Scaling};
use half::f16;

use super::mutation::Mutation;

const MAGNITUDES: [f32; 8] = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0];
const SIXTH: f32 = 1.0 / 6.0;

/// The contract, with at most one rule broken.
pub(crate) struct Contract {
    pub(crate) mutation: Option<Mutation>,
    e4m3: Vec<f32>,
}

/// A tensor being quantized: the input, or its transpose.
struct Tensor<'a> {
    x: &'a [f32],
    rows: usize,
    cols: usize,
    columnwise: bool,
    config: Config,
    amax: Vec<f32>,
}

/// The global scale of a row.
struct Global {
    amax: f32,
    encode: f32,
    decode: f32,
}

impl Backend for Contract {
    fn name(&self) -> String {
        self.mutation.map_or("restatement".to_owned(), |mutation| format!("mutant {mutation:?}"))
    }

    fn supports(&self, _case: &Case) -> Result<(), SkipReason> {
        Ok(())
    }

    fn quantize(&self, case: &Case) -> Result<Outcome, BackendError> {
        let [rows, cols] = case.input.shape;
        let x: Vec<f32> = case.input.values().into_iter().map(|x| self.fl(x)).collect();
        let across = (0..cols).flat_map(|col| (0..rows).map(move |row| row * cols + col));
        let transposed: Vec<f32> = across.map(|index| x[index]).collect();
        let supplied = case.supplied_amax.as_deref();
        let supplied = supplied.filter(|_| !self.breaks(Mutation::SuppliedAmaxIgnored));
        let tensor = |x, rows, cols, columnwise| {
            let amax = match supplied {
                Some(supplied) if columnwise => supplied.columnwise.clone(),
                Some(supplied) => supplied.rowwise.clone(),
                None => own_amax(x, rows, cols, case.config.scaling()),
            };
            self.tensor(Tensor { x, rows, cols, columnwise, config: case.config, amax })
        };
        let outputs = case.config.outputs();
        Ok(Outcome {
            rowwise: outputs.rowwise().then(|| tensor(&x, rows, cols, false)),
            columnwise: outputs.columnwise().then(|| tensor(&transposed, cols, rows, true)),
        })
    }
}

impl Contract {
    pub(crate) fn new(mutation: Option<Mutation>) -> Self {
        let value = |code: i32| {
            let (field, fraction) = (code / 8, (code % 8) as f32);
            if field == 0 { fraction / 512.0 } else { (8.0 + fraction) * 2f32.powi(field - 10) }
        };
        Self { mutation, e4m3: (0..127).map(value).collect() }
    }

    fn breaks(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    /// The result of one FP32 operation.
    fn fl(&self, result: f32) -> f32 {
        if self.breaks(Mutation::FlushToZero) && result.is_subnormal() {
            return 0.0f32.copysign(result);
        }
        result
    }

    fn tensor(&self, tensor: Tensor<'_>) -> Output {
        let Tensor { rows, cols, config, .. } = tensor;
        let mut codes = Vec::new();
        let mut linear = Vec::new();
        for row in 0..rows {
            for block in 0..cols / 16 {
                let global = self.global(&tensor, row);
                let scale = if config.scaling() == Scaling::Tile && row % 16 > 0 {
                    linear[linear.len() - cols / 16]
                } else {
                    self.choose(&tensor, row, block, &global)
                };
                linear.push(scale);
                let encoded = self.encode(tensor.block(row, block), scale, &global);
                codes.extend(encoded.chunks(2).map(|pair| pair[1] << 4 | pair[0]));
            }
        }
        let layout = config.scale_layout();
        let mut scales = vec![0; layout.bytes(rows, cols)];
        for (index, scale) in linear.into_iter().enumerate() {
            let blocks = cols / 16;
            scales[layout.offset(cols, index / blocks, index % blocks)] = scale;
        }
        Output { codes, scales, global_amax: tensor.amax }
    }

    fn global(&self, tensor: &Tensor<'_>, row: usize) -> Global {
        let amax = match tensor.config.scaling() {
            Scaling::Row if self.breaks(Mutation::OneAmaxForAllRows) => largest(&tensor.amax),
            Scaling::Row => tensor.amax[row],
            Scaling::Tensor | Scaling::Tile => tensor.amax[0],
        };
        let range = 6.0 * bound(tensor.config);
        let mut encode = self.fl(range / amax);
        if !self.breaks(Mutation::GlobalScaleNotClamped) {
            encode = encode.min(f32::MAX);
        }
        if encode == 0.0 && !self.breaks(Mutation::InfiniteAmaxNotOne) || amax == 0.0 {
            encode = 1.0;
        }
        let decode = if self.breaks(Mutation::DecodeScaleFromAmax) {
            self.fl(amax / range)
        } else {
            self.fl(1.0 / encode)
        };
        Global { amax, encode, decode }
    }

    /// The block's scale byte.
    fn choose(&self, tensor: &Tensor<'_>, row: usize, block: usize, global: &Global) -> u8 {
        let config = tensor.config;
        let first = if config.scaling() == Scaling::Tile { row / 16 * 16 } else { row };
        let height = if config.scaling() == Scaling::Tile { 16 } else { 1 };
        let mut rows: Vec<Vec<f32>> =
            (first..first + height).map(|r| tensor.block(r, block).to_vec()).collect();
        if self.breaks(Mutation::ColumnwiseSumsAlongRows) && tensor.columnwise && height == 16 {
            rows = (0..16).map(|col| rows.iter().map(|row| row[col]).collect()).collect();
        }
        let block_amax = rows.iter().fold(0.0, |amax: f32, row| amax.max(largest(row)));
        let Rule::FourOverSix { metric, error_path, .. } = config.rule() else {
            return self.plain_scale(block_amax, global);
        };
        let (scale4, scale6) = self.scale_pair(block_amax, global, bound(config));
        let error = |scale: u8| {
            let row =
                |row: &Vec<f32>| self.row_error(row, scale, global, metric, error_path, config);
            self.sum_of_rows(&rows.iter().map(row).collect::<Vec<f32>>())
        };
        let (error4, error6) = (error(scale4), error(scale6));
        let map4 = match self.mutation {
            Some(Mutation::TieTakesMap4) => error4 <= error6,
            Some(Mutation::NanTakesMap4) => error4 < error6 || error4.is_nan(),
            _ => error4 < error6,
        };
        if map4 { scale4 } else { scale6 }
    }

    fn plain_scale(&self, block_amax: f32, global: &Global) -> u8 {
        let unrounded = match self.mutation {
            Some(Mutation::PlainScaleInFourOverSixOrder) => {
                self.fl(self.fl(block_amax / 6.0) * global.encode)
            }
            _ => self.fl(block_amax * self.fl(global.encode * SIXTH)),
        };
        self.e4m3(unrounded.min(448.0))
    }

    fn scale_pair(&self, block_amax: f32, global: &Global, bound: f32) -> (u8, u8) {
        let base = match self.mutation {
            Some(Mutation::BlockAmaxTimesReciprocal) => {
                self.fl(self.fl(block_amax * SIXTH) * global.encode)
            }
            Some(Mutation::FourOverSixScaleInPlainOrder) => {
                self.fl(block_amax * self.fl(global.encode * SIXTH))
            }
            _ => self.fl(self.fl(block_amax / 6.0) * global.encode),
        };
        let clamp = if self.breaks(Mutation::ScaleClampedToBound) { bound } else { 448.0 };
        let scale6 = self.e4m3(base.min(clamp));
        let scale4 = match self.mutation {
            Some(Mutation::Map4FromRoundedMap6) => {
                self.e4m3(self.fl(self.e4m3[usize::from(scale6)] * 1.5).min(clamp))
            }
            Some(Mutation::Map4FromQuarter) => {
                self.e4m3(self.fl(self.fl(block_amax / 4.0) * global.encode).min(clamp))
            }
            _ => self.e4m3(self.fl(base * 1.5).min(clamp)),
        };
        (scale4, scale6)
    }

    fn encode(&self, x: &[f32], scale: u8, global: &Global) -> Vec<u8> {
        let decode = self.fl(self.e4m3[usize::from(scale)] * global.decode);
        let mut encode = self.fl(1.0 / decode);
        if !self.breaks(Mutation::BlockScaleNotClamped) {
            encode = encode.min(f32::MAX);
        }
        let product = |&x: &f32| match self.mutation {
            Some(Mutation::DivideInsteadOfEncodeScale) if decode != 0.0 => self.fl(x / decode),
            _ => self.fl(x * encode),
        };
        x.iter().map(|x| self.e2m1(product(x))).collect()
    }

    fn row_error(
        &self,
        x: &[f32],
        scale: u8,
        global: &Global,
        metric: Metric,
        error_path: ErrorPath,
        config: Config,
    ) -> f32 {
        let codes = self.encode(x, scale, global);
        let scale = self.e4m3[usize::from(scale)];
        let mut differences: Vec<f32> = x
            .iter()
            .zip(codes)
            .map(|(&x, code)| {
                let magnitude = MAGNITUDES[usize::from(code & 7)];
                let q = if code & 8 == 0 { magnitude } else { -magnitude };
                match error_path {
                    ErrorPath::Strict => self.strict(x, q, scale, global, 6.0 * bound(config)),
                    ErrorPath::Fast => self.fast(x, q, scale, global),
                }
            })
            .collect();
        if self.breaks(Mutation::SumBackwards) {
            differences.reverse();
        }
        let mut error = 0.0;
        for d in differences {
            error = match metric {
                Metric::Mae => self.fl(error + d.abs()),
                Metric::Mse if self.breaks(Mutation::FusedSquare) => self.fl(d.mul_add(d, error)),
                Metric::Mse => self.fl(error + self.fl(d * d)),
            };
        }
        error
    }

    fn strict(&self, x: f32, q: f32, scale: f32, global: &Global, range: f32) -> f32 {
        let product = q * scale;
        let value = match self.mutation {
            Some(Mutation::StrictTimesReciprocal) => {
                self.fl(self.fl(product * global.amax) * self.fl(1.0 / range))
            }
            Some(Mutation::StrictInDequantizeOrder) => {
                self.fl(q * self.fl(self.fl(scale * global.amax) * self.fl(1.0 / range)))
            }
            Some(Mutation::StrictTimesDecodeScale) => self.fl(product * global.decode),
            _ => self.fl(self.fl(product * global.amax) / range),
        };
        self.fl(value - x)
    }

    fn fast(&self, x: f32, q: f32, scale: f32, global: &Global) -> f32 {
        let product = (f16::from_f32(q) * f16::from_f32(scale)).to_f32();
        if self.breaks(Mutation::FastFused) {
            return self.fl(x.mul_add(-global.encode, product));
        }
        self.fl(product - self.fl(x * global.encode))
    }

    fn sum_of_rows(&self, errors: &[f32]) -> f32 {
        if errors.len() == 1 {
            return errors[0];
        }
        let add = |a: f32, b: f32| self.fl(a + b);
        match self.mutation {
            Some(Mutation::TileSumInSequence) => errors.iter().fold(0.0, |sum, &e| add(sum, e)),
            Some(Mutation::TileSumOfNeighbours) => {
                let mut sums = errors.to_vec();
                while sums.len() > 1 {
                    sums = sums.chunks(2).map(|pair| add(pair[0], pair[1])).collect();
                }
                sums[0]
            }
            _ => {
                let mut sums = errors.to_vec();
                while sums.len() > 1 {
                    let half = sums.len() / 2;
                    sums = (0..half).map(|i| add(sums[i], sums[i + half])).collect();
                }
                sums[0]
            }
        }
    }

    fn e2m1(&self, value: f32) -> u8 {
        if value.is_nan() {
            return 7;
        }
        let x = value.abs();
        // Between codes i and i + 1 a tie goes to the even one: up from 0.75, 1.75 and 3.5.
        let up = [x > 0.25, x >= 0.75, x > 1.25, x >= 1.75, x > 2.5, x >= 3.5, x > 5.0];
        let away = [x >= 0.25, x >= 0.75, x >= 1.25, x >= 1.75, x >= 2.5, x >= 3.5, x >= 5.0];
        let up = if self.breaks(Mutation::CodeTiesAway) { away } else { up };
        let code = up.into_iter().filter(|&passed| passed).count() as u8;
        let keeps_sign = !(self.breaks(Mutation::ZeroWithoutSign) && x == 0.0);
        if value.is_sign_negative() && keeps_sign { code | 8 } else { code }
    }

    /// Rounds a number in [0, 448].
    fn e4m3(&self, value: f32) -> u8 {
        let mut code = self.e4m3.partition_point(|&grid| grid <= value) - 1;
        if let Some(next) = self.e4m3.get(code + 1) {
            // Differences to neighbours are exact in FP64 for all but the tiniest values, which are
            // far from the midpoint 2^-10.
            let below = f64::from(value) - f64::from(self.e4m3[code]);
            let above = f64::from(*next) - f64::from(value);
            let tie_up = code % 2 == 1 || self.breaks(Mutation::ScaleTiesAway);
            if above < below || (above == below && tie_up) {
                code += 1;
            }
        }
        if self.breaks(Mutation::ScaleSubnormalsFlushed) && code < 8 { 0 } else { code as u8 }
    }
}

impl Tensor<'_> {
    fn block(&self, row: usize, block: usize) -> &[f32] {
        debug_assert!(row < self.rows, "row in the tensor");
        &self.x[row * self.cols + block * 16..][..16]
    }
}

fn own_amax(x: &[f32], rows: usize, cols: usize, scaling: Scaling) -> Vec<f32> {
    match scaling {
        Scaling::Row => (0..rows).map(|row| largest(&x[row * cols..][..cols])).collect(),
        Scaling::Tensor | Scaling::Tile => vec![largest(x)],
    }
}

fn bound(config: Config) -> f32 {
    config.rule().e4m3_max().value()
}

fn largest(x: &[f32]) -> f32 {
    // `max` ignores NaN.
    x.iter().fold(0.0, |amax: f32, x| amax.max(x.abs()))
}
