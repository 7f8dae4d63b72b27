//! The arithmetic of atomics and warp reductions.

use super::ast::Type;
use super::op::AtomicOp;

const fn signed(ty: Type, x: u64) -> i64 {
    let shift = 64 - ty.bits;
    ((x << shift) as i64) >> shift
}

/// What a location that holds `old` holds after the operation with `a` (and `b`, for `cas`).
pub(super) fn combine(op: AtomicOp, ty: Type, old: u64, a: u64, b: u64) -> u64 {
    match op {
        AtomicOp::Add => old.wrapping_add(a) & ty.mask(),
        AtomicOp::Min if ty.signed() => {
            if signed(ty, a) < signed(ty, old) {
                a
            } else {
                old
            }
        }
        AtomicOp::Max if ty.signed() => {
            if signed(ty, a) > signed(ty, old) {
                a
            } else {
                old
            }
        }
        AtomicOp::Min => old.min(a),
        AtomicOp::Max => old.max(a),
        AtomicOp::And => old & a,
        AtomicOp::Or => old | a,
        AtomicOp::Xor => old ^ a,
        AtomicOp::Exchange => a,
        AtomicOp::CompareAndSwap => {
            if old == a {
                b
            } else {
                old
            }
        }
        AtomicOp::Increment => {
            if old >= a {
                0
            } else {
                old + 1
            }
        }
        AtomicOp::Decrement => {
            if old == 0 || old > a {
                a
            } else {
                old - 1
            }
        }
    }
}
