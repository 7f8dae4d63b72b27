//! Parts and shapes that nobody means: refused with an error, never a panic, an overflow or an endless
//! loop.

use fouroversix_core::config::{E4m3Max, ScaleLayout};
use fouroversix_core::{Config, Nvfp4Tensor, Rule, ShapeError};
use fouroversix_cpu::{Path, dequantize_into, deviation, quantize_outputs};

const LAYOUTS: [ScaleLayout; 2] = [ScaleLayout::Linear, ScaleLayout::Swizzled128x4];
const HUGE: [usize; 5] = [usize::MAX, usize::MAX & !15, 1 << 63, 1 << 60, 1 << 32];

fn empty(shape: [usize; 2], layout: ScaleLayout) -> Result<Nvfp4Tensor, ShapeError> {
    Nvfp4Tensor::from_parts(vec![], vec![], vec![1.0], shape, layout, E4m3Max::M448)
}

#[test]
fn shapes_beyond_memory_are_refused() {
    for layout in LAYOUTS {
        for a in HUGE {
            for b in HUGE {
                assert!(empty([a, b], layout).is_err(), "{a} x {b}");
                let up = |n: usize, to: u128| (n as u128).div_ceil(to) * to;
                let exact = match layout {
                    ScaleLayout::Linear => a as u128 * (b as u128 / 16),
                    ScaleLayout::Swizzled128x4 => up(a, 128).saturating_mul(up(b / 16, 4)),
                };
                let expected = exact.min(usize::MAX as u128);
                assert_eq!(layout.bytes(a, b) as u128, expected, "{a} x {b}, {layout}");
            }
        }
    }
    // What no buffer can have, rather than what is left of it after an overflow.
    assert_eq!(ScaleLayout::Swizzled128x4.bytes(usize::MAX, 16), usize::MAX);
    assert_eq!(ScaleLayout::Linear.bytes(1 << 60, 1 << 60), usize::MAX);
}

/// Without columns any number of rows is nothing, and takes no time.
#[test]
fn nothing_of_many_rows() {
    for rows in HUGE {
        for shape in [[rows, 0], [0, rows & !15]] {
            for layout in LAYOUTS {
                let Ok(tensor) = empty(shape, layout) else { continue };
                assert_eq!(deviation::<f32>(tensor.view(), &[]).unwrap().squared_error, 0.0);
                for path in Path::available() {
                    dequantize_into::<f32>(path, tensor.view(), &mut []).unwrap();
                    // An answer or an error; both at once.
                    let _ = quantize_outputs::<f32>(
                        path,
                        &[],
                        shape,
                        &Config::rowwise(Rule::MSE),
                        None,
                    );
                }
            }
        }
    }
}
