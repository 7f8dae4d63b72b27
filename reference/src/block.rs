//! The choice of a block's scale.

use crate::candidate::{Candidate, Row16, row_error, tile_error};
use crate::e4m3::E4m3;
use crate::rule::{ErrorPath, Rule};
use crate::scale::{GlobalScale, ScalePair, amax, plain_scale};
use crate::search::search;

/// A block of 16x16 elements, row by row.
pub type Tile16 = [Row16; 16];

/// Both candidates of a block under Four Over Six.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CandidatePair {
    /// The block's largest magnitude maps to 4.
    pub map4: Candidate,
    /// It maps to 6.
    pub map6: Candidate,
}

impl CandidatePair {
    /// Step 9: whether map4 is taken, only where its error is strictly lower. A tie, ∞ against ∞ and NaN
    /// take map6.
    #[must_use]
    pub fn takes_map4(&self) -> bool {
        self.map4.error < self.map6.error
    }
}

/// What was decided for a block, and from what.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The block's largest magnitude, NaN ignored.
    pub block_amax: f32,
    /// The global scale it was decided under.
    pub global: GlobalScale,
    /// Both candidates of Four Over Six; none under the other rules.
    pub candidates: Option<CandidatePair>,
    /// What a search tried, in its order; empty under the other rules.
    pub searched: Vec<Candidate>,
    /// The scale taken.
    pub scale: E4m3,
}

/// Decides a block of 1x16.
#[must_use]
pub fn decide_row(row: &Row16, rule: Rule, global: &GlobalScale) -> Decision {
    let block_amax = amax(row);
    match rule {
        Rule::Plain => decide_plain(block_amax, global),
        Rule::FourOverSix { metric, error_path, .. } => {
            compare(block_amax, global, |scale| row_error(row, scale, global, metric, error_path))
        }
        Rule::Search { metric, .. } => decide_search(block_amax, global, |scale| {
            row_error(row, scale, global, metric, ErrorPath::Fast)
        }),
    }
}

/// Decides a block of 16x16: every row adds up its own error, and the 16 sums are added as
/// [`tile_error`] says.
#[must_use]
pub fn decide_tile(tile: &Tile16, rule: Rule, global: &GlobalScale) -> Decision {
    let block_amax = amax(tile.as_flattened());
    match rule {
        Rule::Plain => decide_plain(block_amax, global),
        Rule::FourOverSix { metric, error_path, .. } => compare(block_amax, global, |scale| {
            tile_error(tile.map(|row| row_error(&row, scale, global, metric, error_path)))
        }),
        Rule::Search { metric, .. } => decide_search(block_amax, global, |scale| {
            tile_error(tile.map(|row| row_error(&row, scale, global, metric, ErrorPath::Fast)))
        }),
    }
}

fn decide_plain(block_amax: f32, global: &GlobalScale) -> Decision {
    let scale = plain_scale(block_amax, global);
    Decision { block_amax, global: *global, candidates: None, searched: Vec::new(), scale }
}

fn decide_search(block_amax: f32, global: &GlobalScale, error: impl Fn(E4m3) -> f32) -> Decision {
    let (searched, scale) = search(block_amax, global, error);
    Decision { block_amax, global: *global, candidates: None, searched, scale }
}

fn compare(block_amax: f32, global: &GlobalScale, error: impl Fn(E4m3) -> f32) -> Decision {
    let scales = ScalePair::new(block_amax, global);
    let pair = CandidatePair {
        map4: Candidate { scale: scales.map4, error: error(scales.map4) },
        map6: Candidate { scale: scales.map6, error: error(scales.map6) },
    };
    let scale = if pair.takes_map4() { pair.map4.scale } else { pair.map6.scale };
    Decision { block_amax, global: *global, candidates: Some(pair), searched: Vec::new(), scale }
}
