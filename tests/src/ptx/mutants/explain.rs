//! The reasons for which a mutant that no case notices is no fault.

use super::{Evidence, Trial};

/// A changed instruction, taken apart.
struct Change {
    /// Opcodes with modifiers.
    from: String,
    to: String,
    operands_from: Vec<String>,
    operands_to: Vec<String>,
}

/// Whether a reason holds for a change, given what was seen.
type Holds = fn(&Change, &Evidence<'_>) -> bool;

/// The reasons, in the order in which they are tried.
const REASONS: &[(Holds, &str)] = &[
    (
        |_, seen| seen.differs_where_nothing_matters(),
        "the bits that differ get nowhere: masked or shifted out, above the byte that is stored, or of a \
         result that nothing reads",
    ),
    (
        |_, seen| seen.is_zero_without_bit_31(),
        "bit 31 of the flags, which no launch sets: the compilers can't know that",
    ),
    (
        |change, seen| change.opcodes(&["or", "xor"], &["xor", "or"]) && seen.same_values(),
        "the operands never have a bit in common: or and xor are one",
    ),
    (
        |change, seen| change.is_swap() && change.from.starts_with("setp") && seen.same_values(),
        "equality commutes",
    ),
    (|change, seen| change.factors_exchanged() && seen.same_values(), "multiplication commutes"),
    (
        |_, seen| seen.is_of_bit_31() && seen.same_values(),
        "bit 31 of the flags, which no launch sets: the compilers can't know that",
    ),
    (
        |change, seen| {
            change.opcodes_are("setp.ge.u32", "setp.gt.u32")
                && seen.is_block_bound()
                && seen.same_values()
        },
        "the grid of one tensor has no block of threads that begins at its edge",
    ),
    (
        |change, seen| change.rounding() && seen.same_values(),
        "the operation is exact: there is nothing to round",
    ),
    (
        |change, seen| change.unordered() && seen.same_values(),
        "no NaN gets here: ordered and unordered comparisons are one",
    ),
    (
        |change, seen| change.mask() && seen.same_values(),
        "the bits of the mask that differ are clear in whatever is masked",
    ),
    (
        |change, seen| change.shifts_by("8") && seen.same_values(),
        "the scale byte of a second candidate, above the first: plain NVFP4 has one, and stores one byte",
    ),
    (
        |change, seen| {
            (change.rounding() || change.unordered() || change.mask())
                && seen.same_in_regular_blocks()
        },
        "the same for all blocks that are regular, and of others nothing of the hot path is used",
    ),
    (
        |change, seen| {
            change.rounding() && change.from.starts_with("sub.") && seen.same_unless_saturated()
        },
        "the difference is exact but in blocks that saturate with both candidates, which are one then",
    ),
    (
        |_, seen| seen.is_of_the_only_turn() && seen.same_values(),
        "the counter of a loop that has one turn: 0",
    ),
    (
        |change, seen| {
            let masks = |mask: &String| mask == "48";
            let part_of_four = change.from == "and.b32"
                && change.operands_from.last().is_some_and(masks)
                && (change.to == "or.b32" || change.operands_to.get(1).is_some_and(masks));
            part_of_four && (3..=6).any(|depth| seen.absorbed_within(depth))
        },
        "lines in no whole tile of four blocks: read where their blocks are an odd number, so there are",
    ),
    (
        |change, seen| change.moves_equality() && seen.compares_even() && seen.same_values(),
        "an even number and one that is odd there: they are never equal",
    ),
    (
        |_, seen| seen.is_of_the_zero_shortcut(),
        "whether a warp looks for zeros before its candidates: either way gives its blocks' bits",
    ),
    (
        |change, seen| change.moves_equality() && seen.compares_limit(),
        "a block exactly at the limit of the regular ones, for which the proof holds as well",
    ),
    (
        |change, seen| change.zero_becomes_tiny(2f32.powi(-25)) && seen.read_by("cvt.rn.f16x2.f32"),
        "instead of 0 a number that is 0 in FP16",
    ),
    (
        |change, seen| {
            let lane = change.constants().is_some_and(|(_, to)| to % 32 == 0);
            let readers = ["cvt.rn.f16x2.f32", "max.f32", "shfl"];
            lane && change.zero_becomes_tiny(SCALED_TO_0) && seen.read_by_any(&readers)
        },
        "instead of 0 a number that is 0 in FP16, as a lane, and times the largest S_enc in E4M3",
    ),
    (
        |change, seen| change.zero_becomes_tiny(2f32.powi(-11)) && seen.is_of_scales(),
        "instead of 0 a scale that is 0 in E4M3",
    ),
    (
        |change, seen| change.zero_becomes_tiny(2f32.powi(-60)) && seen.is_sign_of_certain(),
        "the sign of a difference that, so small, is never certain",
    ),
    (
        |change, seen| change.e4m3_step() && seen.demanded() & !0xFF == 0,
        "another multiple of 256 of E4M3's smallest steps is added: the low byte is the same",
    ),
    (
        |change, seen| {
            change.rounds_up_16_lines()
                && seen.read_by("and.b32")
                && seen.has_whole_blocks_of_lines()
        },
        "lines are multiples of 16 here: fewer than 127 more round up to the same multiple of 128",
    ),
    (
        |change, seen| {
            let at_zero = change.operands_from.last().is_some_and(|v| v == "0f00000000");
            let le = change.opcodes_are("setp.lt.f32", "setp.le.f32");
            let tiny = change.from == "setp.lt.f32" && change.zero_becomes_tiny(2f32.powi(-60));
            at_zero && (le || tiny) && (3..=6).any(|depth| seen.absorbed_within(depth))
        },
        "the sign of a zero's code, of whose error the magnitude or the square is taken",
    ),
    (
        |change, seen| change.rounding() && seen.certified(),
        "one more rounding in the certified errors: the bound has room for it (Metric::OF_ERROR)",
    ),
    (
        |change, seen| change.last_bits() && seen.certified(),
        "the last bits of the bound of certainty, which is larger than it needs to be",
    ),
    (
        |change, _| change.edge_of_the_proven(),
        "the hot loop is used for an S_dec a little more or less, within those for which it is proven",
    ),
    (
        |change, seen| change.moves_a_bound() && seen.compares_certainty(),
        "errors that differ by exactly the bound of certainty, which is larger than it needs to be",
    ),
    (
        |change, seen| change.floor_of_the_grid() && seen.absorbed_within(3),
        "the floor of the rounding to E2M1 an even number of steps higher: all numbers round alike",
    ),
    (
        |change, seen| {
            change.start_of_a_maximum()
                && seen.read_by_any(&["max.f32", "mul.rn.f32", "div.rn.f32"])
        },
        "the maximum of a block starts so low that not even the largest S_enc makes a scale of it",
    ),
    (
        |change, seen| {
            let at_zero = change.opcodes_are("setp.lt.f32", "setp.le.f32");
            at_zero && seen.is_sign_of_certain()
        },
        "a difference of 0 between the certified errors decides nothing: it is never certain",
    ),
    (
        |change, seen| !change.from.starts_with("setp") && change.last_bits() && seen.absorbed(),
        "the last bits of a value that the next instruction rounds",
    ),
    (
        |change, seen| change.rounding() && seen.absorbed(),
        "a rounding that the next instruction's rounding hides",
    ),
    (
        |change, seen| change.mask() && seen.absorbed(),
        "the bits of the mask that differ never get through the instruction that reads it",
    ),
    (
        |change, seen| change.from.starts_with("prmt") && seen.absorbed(),
        "another byte, with the same bits under the mask that follows",
    ),
    (
        |change, seen| change.difference_exchanged() && seen.absorbed_within(2),
        "the difference with the other sign, of which the magnitude or the square is taken",
    ),
    (
        |change, seen| change.rounding() && seen.is_quotient() && seen.absorbed_within(3),
        "a first quotient by 6·A rounded otherwise, which the residual corrects to the same (tested for \
         all significands)",
    ),
    (
        |change, seen| {
            change.from.starts_with("setp")
                && seen.tests_a_flag()
                && seen.read_by("selp")
                && seen.absorbed()
        },
        "takes what the exact path gives where it was computed for a block that did not need it: the \
         same bits",
    ),
    (|_, seen| seen.read_by("shfl") && seen.absorbed(), "a lane number counts modulo 32"),
    (
        |change, seen| change.other_way_round_the_lanes() && seen.only_reorders_lanes(),
        "the lanes of a tile or block in another order: they have the same maximum and the same bits, and \
         the certified errors room for another sum",
    ),
    (
        |change, seen| change.magnitude_becomes_nan() && seen.read_by_any(&["max.NaN", "shfl"]),
        "a magnitude becomes NaN, which sends every block to the exact path",
    ),
    (
        |change, seen| seen.read_by("min.f32") && change.last_bits() && change.is_one_of(CLAMPS),
        "a clamp one unit off a representable value, to which it is rounded",
    ),
    (
        |change, seen| {
            seen.read_by("min.f32") && change.last_bits() && change.is_one_of(&[f32::MAX])
        },
        "factors of blocks of scale zero: the largest number and its neighbour make the same codes of \
         the numbers that are so small",
    ),
    (
        |change, _| change.e4m3_threshold(),
        "at the smallest normal number both ways of encoding an E4M3 give its byte",
    ),
    (
        |change, seen| change.from.starts_with("mov.b32") && seen.for_absent(),
        "what a thread past the tensor's edge holds, which stores nothing",
    ),
    (
        |_, seen| seen.fewer_equalities(),
        "overlooks exact ties, which the contract's own errors find as well",
    ),
    (
        |_, seen| seen.is_of_no_candidate() || seen.same_for_the_only_candidate(),
        "plain NVFP4 has one candidate: what the upper half of a warp makes of another is stored nowhere",
    ),
    (
        |change, seen| change.of_bits() && (1..=3).any(|depth| seen.absorbed_within(depth)),
        "bits that the instructions that follow mask out or shift out",
    ),
    (
        |_, seen| seen.only_more_exact(),
        "sends more blocks to the contract's own sequence, which gives the contract's bits",
    ),
    (
        |_, seen| seen.only_more_work(),
        "takes the longer way more often, and every way gives the contract's bits",
    ),
];

/// 6 · 2⁻¹⁰ / FMAX: times S_enc, half of E4M3's smallest step.
const SCALED_TO_0: f32 = 6.0 / 1024.0 / f32::MAX;

/// The largest values of E2M1 and E4M3.
const CLAMPS: &[f32] = &[6.0, 448.0];

/// The reason for which a mutant is no fault, if there is one.
pub(super) fn reason(trial: &Trial, evidence: &Evidence<'_>) -> Option<&'static str> {
    let change = Change::of(&trial.mutant.from, &trial.mutant.to);
    let listed = || REASONS.iter().find(|(holds, _)| holds(&change, evidence));
    let decided = || evidence.decided().filter(|_| evidence.same_values());
    evidence.unreachable().or_else(decided).or_else(|| listed().map(|(_, reason)| *reason))
}

/// Modifiers that say how a result is rounded.
const ROUNDINGS: [&str; 4] = ["rn", "rz", "rm", "rp"];

impl Change {
    fn of(from: &str, to: &str) -> Self {
        let parts = |code: &str| {
            let code = code.trim().trim_end_matches(';').replace('\t', " ");
            let (opcode, operands) = code.split_once(' ').unwrap_or((&code, ""));
            let operands = operands.split(',').map(|operand| operand.trim().to_owned()).collect();
            (opcode.to_owned(), operands)
        };
        let ((from, operands_from), (to, operands_to)) = (parts(from), parts(to));
        Self { from, to, operands_from, operands_to }
    }

    fn opcodes(&self, from: &[&str], to: &[&str]) -> bool {
        let name = |opcode: &str| opcode.split('.').next().unwrap_or_default().to_owned();
        let pair = (name(&self.from), name(&self.to));
        self.from != self.to
            && from.iter().zip(to).any(|(from, to)| pair == ((*from).to_owned(), (*to).to_owned()))
    }

    /// Whether one opcode with its modifiers became another, and nothing else changed.
    fn opcodes_are(&self, from: &str, to: &str) -> bool {
        self.from == from && self.to == to && self.operands_from == self.operands_to
    }

    /// Whether one of the distances 16, 8 and 4, which make a tile of eight lanes, or 8, 4, 2 and 1, which
    /// make the lanes of a block, became one that makes the same with the others.
    fn other_way_round_the_lanes(&self) -> bool {
        self.constants().is_some_and(|(from, to)| {
            let makes = |all: i64| from & all == from && to & from != 0 && to & !all == 0;
            from.count_ones() == 1 && (makes(16 | 8 | 4) || makes(8 | 4 | 2 | 1))
        })
    }

    /// Whether any ordering comparison lost or got the case of equality.
    fn moves_equality(&self) -> bool {
        let pairs = [("gt", "ge"), ("lt", "le"), ("gtu", "geu"), ("ltu", "leu")];
        self.from.starts_with("setp.")
            && self.operands_from == self.operands_to
            && pairs.iter().any(|(a, b)| {
                let swapped = |from: &str, to: &str| {
                    self.from.replacen(&format!(".{from}."), &format!(".{to}."), 1) == self.to
                };
                self.from != self.to && (swapped(a, b) || swapped(b, a))
            })
    }

    /// Whether the constant 0 became a positive `f32` of at most `bound`.
    fn zero_becomes_tiny(&self, bound: f32) -> bool {
        self.from == self.to
            && self.constants().is_some_and(|(from, to)| {
                from == 0 && (1..=i64::from(bound.to_bits())).contains(&to)
            })
    }

    /// Whether 2¹⁴, to which a scale below 2⁻⁶ is added to find its steps of 2⁻⁹ in the low byte, became
    /// another number of that binade with the same low byte.
    fn e4m3_step(&self) -> bool {
        let base = i64::from(2f32.powi(14).to_bits());
        let same = |to: i64| to >> 23 == base >> 23 && (to ^ base) & 0xFF == 0;
        self.from == self.to
            && self.from == "add.rn.f32"
            && self.constants().is_some_and(|(from, to)| from == base && same(to))
    }

    /// Whether what is added before a number of lines is rounded down to a multiple of 128 is still
    /// enough where that number is a multiple of 16.
    fn rounds_up_16_lines(&self) -> bool {
        self.from == self.to
            && self.from == "add.s32"
            && self.constants().is_some_and(|(from, to)| from == 127 && (112..128).contains(&to))
    }

    /// Whether a comparison lost or got the case of equality.
    fn moves_a_bound(&self) -> bool {
        [("setp.gt.f32", "setp.ge.f32"), ("setp.leu.f32", "setp.ltu.f32")]
            .iter()
            .any(|(from, to)| self.opcodes_are(from, to) || self.opcodes_are(to, from))
    }

    /// Whether the floor `1 + 2⁻²¹` of the rounding to E2M1, or the same times 2⁻¹⁴, was raised to at most
    /// 1.25 by an even number of units in the last place (`kernels-gpu/src/decide/isa/grid.rs`).
    fn floor_of_the_grid(&self) -> bool {
        self.constants().is_some_and(|(from, to)| {
            [127, 127 - 14].iter().any(|exponent| {
                let one = i64::from(exponent << 23);
                from == one + 4 && to > from && to <= one + (1 << 21) && to % 2 == 0
            })
        })
    }

    /// Whether a 0 became a positive number below 6 · 2⁻¹⁰ / FMAX: times S_enc, less than half of E4M3's
    /// smallest step.
    fn start_of_a_maximum(&self) -> bool {
        let bound = i64::from(SCALED_TO_0.to_bits());
        let starts =
            self.from == "mov.b32" && self.operands_from.last().is_some_and(|v| v == "0f00000000");
        starts && self.constants().is_some_and(|(_, to)| to > 0 && to < bound)
    }

    /// Whether one end of the S_dec for which the hot loop is used moved, and not beyond 2⁻⁵⁴ and 2⁵²:
    /// as far as its sums stay in the normal range (`docs/certified-decision.md`).
    fn edge_of_the_proven(&self) -> bool {
        let two_to = |exponent: i32| i64::from(2f32.powi(exponent).to_bits());
        let positive = |bits: i64| f32::from_bits(bits as u32).is_finite() && bits < 1 << 31;
        self.from == self.to
            && self.constants().is_some_and(|(from, to)| match self.from.as_str() {
                "setp.ltu.f32" => from == two_to(-50) && positive(to) && to >= two_to(-54),
                "setp.gtu.f32" => from == two_to(50) && positive(to) && to <= two_to(52),
                _ => false,
            })
    }

    /// Whether bits are moved or masked.
    fn of_bits(&self) -> bool {
        ["and.b", "or.b", "xor.b", "shl.b", "shr.", "prmt.b", "bfe."]
            .iter()
            .any(|opcode| self.from.starts_with(opcode))
    }

    /// Whether a shift by so many bits goes the other way.
    fn shifts_by(&self, bits: &str) -> bool {
        self.opcodes(&["shl", "shr"], &["shr", "shl"])
            && self.operands_from.last().is_some_and(|last| last == bits)
    }

    /// Whether the first two sources have changed places.
    fn exchanged(&self) -> bool {
        let mut operands = self.operands_from.clone();
        if operands.len() > 2 {
            operands.swap(1, 2);
        }
        self.from == self.to
            && self.operands_from != self.operands_to
            && operands == self.operands_to
    }

    /// Whether the sides of a comparison for equality have.
    fn is_swap(&self) -> bool {
        self.exchanged()
            && [".eq.", ".ne.", ".equ.", ".neu."]
                .iter()
                .any(|relation| self.from.contains(relation))
    }

    /// Whether the factors of a product have.
    fn factors_exchanged(&self) -> bool {
        self.exchanged() && ["mul.", "mad.", "fma."].iter().any(|name| self.from.starts_with(name))
    }

    /// Whether the sides of a difference have.
    fn difference_exchanged(&self) -> bool {
        self.exchanged() && self.from.starts_with("sub.rn.f32")
    }

    /// Whether the instruction only rounds otherwise.
    fn rounding(&self) -> bool {
        let without = |opcode: &str| {
            let parts = opcode.split('.').filter(|part| !ROUNDINGS.contains(part));
            parts.map(str::to_owned).collect::<Vec<_>>()
        };
        self.operands_from == self.operands_to
            && self.from != self.to
            && without(&self.from) == without(&self.to)
    }

    /// Whether a comparison only treats NaN otherwise.
    fn unordered(&self) -> bool {
        let ordered = self.from.replacen("u.f32", ".f32", 1);
        self.operands_from == self.operands_to && self.from != self.to && ordered == self.to
    }

    /// Whether the constant of an `and` changed.
    fn mask(&self) -> bool {
        self.from == self.to && self.from.starts_with("and.") && self.constants().is_some()
    }

    /// The constants before and after, if one changed.
    fn constants(&self) -> Option<(i64, i64)> {
        let number = |operand: &String| match operand.strip_prefix("0f") {
            Some(hex) => i64::from_str_radix(hex, 16).ok(),
            None => operand.parse().ok(),
        };
        let last = self.operands_from.len().checked_sub(1)?;
        let same = self.operands_from.get(..last)? == self.operands_to.get(..last)?;
        let pair = number(&self.operands_from[last]).zip(number(self.operands_to.last()?));
        pair.filter(|(from, to)| same && from != to)
    }

    /// Whether the constant that changed was one of these, as a number or as its bits.
    fn is_one_of(&self, values: &[f32]) -> bool {
        self.constants()
            .is_some_and(|(from, _)| values.iter().any(|value| i64::from(value.to_bits()) == from))
    }

    /// Whether the mask of a magnitude takes the place of the number.
    fn magnitude_becomes_nan(&self) -> bool {
        let Some(mask) = self.operands_from.last() else { return false };
        let magnitude = ["2147483647", "2147450879", "2147418112"].contains(&mask.as_str());
        let masks = self.operands_to.get(1..).is_some_and(|all| all.iter().all(|one| one == mask));
        magnitude && self.from.starts_with("and.b32") && (masks || self.to.starts_with("or.b32"))
    }

    /// Whether the comparison with 2⁻⁶, where E4M3 becomes subnormal, moved by one value.
    fn e4m3_threshold(&self) -> bool {
        let compares = self.from.starts_with("setp.lt.f32");
        let threshold = self.operands_from.last().is_some_and(|last| last == "0f3C800000");
        let moved = self.to == "setp.le.f32" || self.last_bits();
        compares && threshold && moved
    }

    /// Whether a constant that is an `f32` changed by less than a part in 2¹⁴.
    fn last_bits(&self) -> bool {
        let float = |bits: i64| f32::from_bits(bits as u32);
        self.from == self.to
            && self.constants().is_some_and(|(from, to)| {
                let (from, to) = (float(from), float(to));
                from.is_normal() && (to - from).abs() <= from.abs() / 16384.0
            })
    }
}
