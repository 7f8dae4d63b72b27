//! How blocks are quantized, put together: path, rule and rounding meet here and nowhere else.

use fouroversix_core::Rule;

use crate::elements::{Blocks, Elements, Reader, Transformed};
use crate::encode::Encode;
use crate::groups::Groups;
use crate::output::Output;
use crate::path::Path;
use crate::rounding::Rounding;
use crate::rules::with_rule;
use crate::simd::dispatch::on_path;
use crate::simd::vector::{Vector, Vectorized, apart};
use crate::tiles::Tiles;
use crate::transform::Transform;

/// How blocks are quantized.
#[derive(Clone, Copy)]
pub(crate) struct Method<'a> {
    /// On which path.
    pub(crate) path: Path,
    /// How scales are chosen.
    pub(crate) rule: Rule,
    /// How elements are rounded.
    pub(crate) rounding: &'a Rounding,
    /// What is done to elements before.
    pub(crate) transform: Option<&'a Transform>,
}

impl Method<'_> {
    /// Quantizes groups of the path's number of lanes. Returns how many blocks chose map4.
    ///
    /// # Safety
    /// The path is available, the elements have the output's groups, and that is writable.
    pub(crate) unsafe fn groups<E: Elements>(self, elements: &E, output: &Output<'_>) -> u64 {
        // SAFETY: the caller's.
        unsafe {
            match self.transform {
                None => self.run::<E, false>(elements, output),
                Some(transform) => {
                    let elements = Transformed { elements: *elements, transform };
                    self.run::<_, false>(&elements, output)
                }
            }
        }
    }

    /// Quantizes tiles, which no transform goes with. Returns how many chose map4.
    ///
    /// # Safety
    /// As [`Method::groups`].
    pub(crate) unsafe fn tiles<E: Elements>(self, elements: &E, output: &Output<'_>) -> u64 {
        // SAFETY: the caller's.
        unsafe { self.run::<E, true>(elements, output) }
    }

    /// The path is chosen first: behind a [`Reader`] all elements are the same, and the rule is chosen
    /// in code that is compiled once a path.
    unsafe fn run<E: Elements, const TILES: bool>(self, elements: &E, output: &Output<'_>) -> u64 {
        // SAFETY: the caller's.
        unsafe {
            match self.path {
                Path::Scalar => self.exact::<TILES>(elements, output),
                path => on_path(path, OnPath::<E, TILES> { method: self, elements, output }),
            }
        }
    }

    #[inline(never)]
    unsafe fn exact<const TILES: bool>(self, blocks: &dyn Blocks, output: &Output<'_>) -> u64 {
        with_rule!(self.rule, |rule| {
            let encode = Encode { output, rule, rounding: self.rounding };
            // SAFETY: the caller's.
            unsafe { if TILES { encode.exact_tiles(blocks) } else { encode.exact_groups(blocks) } }
        })
    }

    #[inline(never)]
    pub(crate) unsafe fn vector<V: Vector, const TILES: bool>(
        self,
        reader: Reader<'_, V>,
        output: &Output<'_>,
    ) -> u64 {
        with_rule!(self.rule, |rule| {
            let encode = Encode { output, rule, rounding: self.rounding };
            // SAFETY: the caller's.
            unsafe {
                if TILES {
                    apart(Tiles { reader, encode })
                } else {
                    apart(Groups { reader, encode })
                }
            }
        })
    }
}

struct OnPath<'a, E, const TILES: bool> {
    method: Method<'a>,
    elements: &'a E,
    output: &'a Output<'a>,
}

impl<E: Elements, const TILES: bool> Vectorized for OnPath<'_, E, TILES> {
    type Output = u64;

    unsafe fn run_on<V: Vector>(self) -> u64 {
        let Self { method, elements, output } = self;
        // SAFETY: the caller's.
        unsafe { method.vector::<V, TILES>(Reader::new(elements), output) }
    }
}
