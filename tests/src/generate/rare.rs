//! Blocks that leave the hot loop, of each kind beside the others, for every kernel of training: what
//! patterns rarely have after a transform, and a few of them under each of a rule's flags.

use fouroversix_core::config::{Config, InputType, Outputs, Rule, Scaling, Transforms};

use super::beyond::{stochastic, transforms};
use super::draw::{ELEMENTS, SCALINGS, case, configs, narrow};
use super::position::{Groups, ROWS, negative};
use crate::case::{Case, Input, SuppliedAmax};
use crate::oracle;
use crate::rng::Rng;

/// The rules that kernels tell apart, by what is compiled in or by a flag that they branch on.
const RULES: [Rule; 5] = [Rule::Plain, Rule::MAE, Rule::MAE_FAST, Rule::MSE, Rule::MSE_FAST];

/// Cases of each kernel that rounds stochastically, and of each that transforms, with either rounding.
#[must_use]
pub fn cases(seed: u64) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut turn = seed as usize;
    for rule in RULES {
        for element in ELEMENTS {
            for scaling in SCALINGS {
                let configs = configs(rule, scaling);
                for outputs in [Outputs::Rowwise, Outputs::Columnwise, Outputs::Both] {
                    turn += 1;
                    let mut layouts = configs.iter().filter(|config| config.outputs() == outputs);
                    let Some(&config) = layouts.nth(turn % 2) else { continue };
                    let draw = Draw { seed, turn, element };
                    cases.extend(draw.sides(stochastic(config, seed)));
                    if scaling != Scaling::Tensor {
                        continue;
                    }
                    let all = transforms(config);
                    let transformed = all[turn % all.len()];
                    cases.extend(draw.sides(transformed));
                    cases.extend(draw.sides(stochastic(all[(turn + 1) % all.len()], seed)));
                    if rule == Rule::Plain {
                        // Thread blocks of an amax that have no tile.
                        let empty = Input { element, shape: [0, 32], bits: Vec::new() };
                        cases.push(case("nothing", seed, transformed, empty, None));
                    }
                }
            }
        }
    }
    for case in &mut cases {
        case.name = case.name.replacen("generated", "rare", 1);
    }
    cases
}

/// What a case is drawn for besides its configuration.
#[derive(Clone, Copy)]
struct Draw {
    seed: u64,
    turn: usize,
    element: InputType,
}

impl Draw {
    /// The blocks along the lines of a configuration's outputs; of tiles along either side.
    fn sides(self, config: Config) -> Vec<Case> {
        let (outputs, tile) = (config.outputs(), config.scaling() == Scaling::Tile);
        let supplied = (config.scaling() != Scaling::Row).then(|| {
            // Off by a few units, so that either candidate of a tie wins.
            let off = [0, 2, -2, 5][self.turn % 4];
            let amax = f32::from_bits(amax(config).to_bits().wrapping_add_signed(off));
            SuppliedAmax { rowwise: vec![amax], columnwise: vec![amax] }
        });
        let Transforms { rowwise, columnwise } = config.transforms();
        let mut cases = Vec::new();
        if outputs.rowwise() || tile {
            let input = self.input(config, rowwise.is_some());
            cases.push(case("blocks in rows", self.seed, config, input, supplied.clone()));
        }
        if outputs.columnwise() || tile {
            let input = self.input(config, columnwise.is_some()).transposed();
            cases.push(case("blocks in columns", self.seed, config, input, supplied));
        }
        cases
    }

    /// Whole warps of regular blocks, then blocks of every kind.
    fn input(self, config: Config, transformed: bool) -> Input {
        let Self { seed, turn, element } = self;
        let (scaling, rowwise) = (config.scaling(), config.outputs() == Outputs::Rowwise);
        let blocks = if scaling == Scaling::Tile { 22 } else { 9 };
        let mut tensor = Tensor {
            rng: Rng::new(seed ^ 0x7261_7265 ^ (turn as u64) << 32),
            element,
            groups: Groups::of_blocks(blocks, element, scaling),
            transformed,
            own_amax: scaling == Scaling::Row,
        };
        let mut kinds = Kind::ALL.into_iter().cycle();
        for number in 0..tensor.groups.count() {
            let (line, block) = (number / blocks, number % blocks);
            let kind = match scaling {
                Scaling::Tile if block < 4 => Some(Kind::Regular),
                Scaling::Tile => None,
                _ if line < ROWS / 2 => Some(Kind::Regular),
                // A warp has as many blocks of as many columns of FP32.
                _ if !rowwise && block < 4 => Some(Kind::Regular),
                // Of other outputs a warp past the tensor's edge has them.
                _ if rowwise && line >= LAST_ROWS => Some(Kind::Zeros),
                _ => None,
            };
            tensor.fill(number, kind.or_else(|| kinds.next()).expect("a cycle has no end"));
        }
        if tensor.own_amax {
            let amax = narrow(amax(config), element);
            (0..LAST_ROWS).for_each(|row| tensor.groups.set(row, 0, amax));
        }
        tensor.groups.into_input()
    }
}

/// From here on rows may be zeros: more blocks than a warp has.
const LAST_ROWS: usize = ROWS - 2;

/// With it the global scale is 1.
fn amax(config: Config) -> f32 {
    6.0 * oracle::rule(config.rule()).e4m3_max().value()
}

/// A kind of block.
#[derive(Clone, Copy)]
enum Kind {
    /// Certain, nearly always.
    Regular,
    /// Both candidates have errors of the same size, by other elements.
    NearTie,
    /// Both candidates have the same values.
    Tie,
    Zeros,
    /// With a scale of zero.
    Tiny,
    /// With a subnormal scale.
    Small,
    /// With a scale that saturates.
    Large,
    Nan,
    Infinity,
}

impl Kind {
    const ALL: [Self; 9] = [
        Self::NearTie,
        Self::Zeros,
        Self::Nan,
        Self::Tiny,
        Self::Small,
        Self::NearTie,
        Self::Infinity,
        Self::Tie,
        Self::Large,
    ];
}

struct Tensor {
    rng: Rng,
    element: InputType,
    groups: Groups,
    transformed: bool,
    /// Whether the amax is the input's own, so that no element is larger.
    own_amax: bool,
}

impl Tensor {
    fn fill(&mut self, number: usize, kind: Kind) {
        let [row, col] = self.groups.place(number);
        match kind {
            Kind::NearTie | Kind::Tie if self.transformed => {
                let pair = self.two_elements(matches!(kind, Kind::Tie));
                self.elements(number, |_, _| 0.0);
                for (col, value) in [col, col ^ 3].into_iter().zip(pair) {
                    self.set(row, col, value);
                }
            }
            Kind::NearTie => {
                let scale = self.scale();
                // As those of `position::sums`.
                let mut deck = Vec::new();
                self.elements(number, |rng, i| {
                    if i % 16 == 0 {
                        deck = [[0.625; 7].as_slice(), &[0.875; 5], &[6.0; 2], &[0.0; 2]].concat();
                    }
                    scale * deck.swap_remove(rng.below(deck.len()))
                });
            }
            Kind::Tie => {
                let scale = self.scale();
                self.elements(number, |rng, _| scale * rng.pick(&[0.0, 6.0]));
                self.set(row, col, 6.0 * scale);
            }
            Kind::Zeros => self.elements(number, |_, _| 0.0),
            Kind::Tiny => self.up_to(number, 2f32.powi(-12)),
            Kind::Small => self.up_to(number, 0.05),
            Kind::Large => self.up_to(number, if self.own_amax { 1000.0 } else { 30_000.0 }),
            Kind::Regular => self.up_to(number, 100.0),
            Kind::Nan | Kind::Infinity => {
                self.up_to(number, 100.0);
                let infinite = matches!(kind, Kind::Infinity) && !self.own_amax;
                self.set(row, col, if infinite { f32::INFINITY } else { f32::NAN });
            }
        }
    }

    /// Magnitudes from none to the largest.
    fn up_to(&mut self, number: usize, largest: f32) {
        self.elements(number, |rng, _| largest * rng.unit() as f32);
    }

    /// Elements by their number, of either sign.
    fn elements(&mut self, number: usize, mut magnitude: impl FnMut(&mut Rng, usize) -> f32) {
        let Self { rng, element, groups, .. } = self;
        groups.fill(number, |i| {
            narrow(magnitude(rng, i), *element) | rng.pick(&[0, negative(*element)])
        });
    }

    fn set(&mut self, row: usize, col: usize, value: f32) {
        let bits = narrow(value, self.element);
        self.groups.set(row, col, bits | self.rng.pick(&[0, negative(self.element)]));
    }

    /// A block scale that is an E4M3 number, as is 1.5 times it.
    fn scale(&mut self) -> f32 {
        self.rng.pick(&[1.0, 1.5]) * 2f32.powi(self.rng.below(5) as i32)
    }

    /// Two elements of a block of zeros, so that its transform has the magnitudes of a quarter of their sum and
    /// of their difference: one that both candidates have, and zero or one halfway between theirs.
    fn two_elements(&mut self, tie: bool) -> [f32; 2] {
        let other = if tie { 0.0 } else { self.rng.pick(&[0.625, 0.875, 2.125, 2.625]) };
        let scale = self.scale();
        [6.0 + other, 6.0 - other].map(|value| 2.0 * value * scale)
    }
}
