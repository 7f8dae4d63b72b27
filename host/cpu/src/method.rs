//! How blocks are quantized, put together: path, rule and rounding meet here and nowhere else.

use fouroversix_core::Rule;

use crate::elements::{Elements, Reader};
use crate::encode::Encode;
use crate::groups::Groups;
use crate::output::Output;
use crate::path::Path;
use crate::rounding::Rounding;
use crate::rules::rule::ScaleRule;
use crate::rules::with_rule;
use crate::simd::dispatch::on_path;
use crate::simd::vector::{Vector, Vectorized, apart};
use crate::tiles::Tiles;

/// How blocks are quantized.
#[derive(Clone, Copy)]
pub(crate) struct Method<'a> {
    /// On which path.
    pub(crate) path: Path,
    /// How scales are chosen.
    pub(crate) rule: Rule,
    /// How elements are rounded.
    pub(crate) rounding: &'a Rounding,
}

impl Method<'_> {
    /// Quantizes groups of the path's number of lanes. Returns how many blocks chose map4.
    ///
    /// # Safety
    /// The path is available, the elements have the output's groups, and that is writable.
    pub(crate) unsafe fn groups<E: Elements>(self, elements: &E, output: &Output<'_>) -> u64 {
        with_rule!(self.rule, |rule| {
            let encode = Encode { output, rule, rounding: self.rounding };
            // SAFETY: the caller's.
            unsafe {
                match self.path {
                    Path::Scalar => encode.exact_groups(elements),
                    path => on_path(path, OnGroups { elements, encode }),
                }
            }
        })
    }

    /// Quantizes tiles. Returns how many chose map4.
    ///
    /// # Safety
    /// As [`Method::groups`].
    pub(crate) unsafe fn tiles<E: Elements>(self, elements: &E, output: &Output<'_>) -> u64 {
        with_rule!(self.rule, |rule| {
            let encode = Encode { output, rule, rounding: self.rounding };
            // SAFETY: the caller's.
            unsafe {
                match self.path {
                    Path::Scalar => encode.exact_tiles(elements),
                    path => on_path(path, OnTiles { elements, encode }),
                }
            }
        })
    }
}

struct OnGroups<'a, E, S> {
    elements: &'a E,
    encode: Encode<'a, S>,
}

impl<E: Elements, S: ScaleRule> Vectorized for OnGroups<'_, E, S> {
    type Output = u64;

    unsafe fn run_on<V: Vector>(self) -> u64 {
        let groups = Groups::<V, S> { reader: Reader::new(self.elements), encode: self.encode };
        // SAFETY: the caller's.
        unsafe { apart(groups) }
    }
}

struct OnTiles<'a, E, S> {
    elements: &'a E,
    encode: Encode<'a, S>,
}

impl<E: Elements, S: ScaleRule> Vectorized for OnTiles<'_, E, S> {
    type Output = u64;

    unsafe fn run_on<V: Vector>(self) -> u64 {
        let tiles = Tiles::<V, S> { reader: Reader::new(self.elements), encode: self.encode };
        // SAFETY: the caller's.
        unsafe { apart(tiles) }
    }
}
