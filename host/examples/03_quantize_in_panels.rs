//! A tensor that need not be in memory as a whole: first its amax, then panel after panel, with the
//! bytes of the whole.
//!
//! ```text
//! cargo run --release -p fouroversix --example 03_quantize_in_panels
//! ```

use fouroversix::{Amax, Config, Nvfp4Mut, QuantizedMut, amax, quantize, quantize_into};

const ROWS: usize = 1000;
const COLS: usize = 512;
const PANEL: usize = 128;

/// Rows as a file would give them.
fn rows(first: usize, count: usize) -> Vec<f32> {
    (first * COLS..(first + count) * COLS).map(|i| (i as f32 * 0.11).sin()).collect()
}

fn main() -> Result<(), fouroversix::Error> {
    let config = Config::default();
    let panels = || (0..ROWS).step_by(PANEL).map(|first| (first, PANEL.min(ROWS - first)));
    let largest = panels().map(|(first, count)| amax(&rows(first, count))).fold(0.0, f32::max);

    let (mut codes, mut scales) = (vec![0; ROWS * COLS / 2], vec![0; ROWS * COLS / 16]);
    for (first, count) in panels() {
        // No allocation inside: each panel goes to its place in the output.
        let out = Nvfp4Mut {
            codes: &mut codes[first * COLS / 2..][..count * COLS / 2],
            scales: &mut scales[first * COLS / 16..][..count * COLS / 16],
            global_amax: &mut [0.0],
        };
        let out = QuantizedMut { rowwise: Some(out), columnwise: None };
        let given = Some(Amax::Tensor(largest));
        quantize_into(&rows(first, count), [count, COLS], &config, given, out)?;
    }

    let whole = quantize(&rows(0, ROWS), [ROWS, COLS], &config)?;
    assert!(whole.codes() == codes && whole.scales() == scales);
    println!("{} panels gave the bytes of the whole", panels().count());
    Ok(())
}
