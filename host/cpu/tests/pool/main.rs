//! A caller's pool of threads is the one that works. Alone in its program: it looks at the global one.

use fouroversix_core::{Config, Outputs, ScaleLayout, Scaling};
use fouroversix_cpu::{Path, amax, dequantize_into, deviation, quantize_outputs};
use rayon::ThreadPoolBuilder;

#[test]
fn the_global_pool_is_left_alone() {
    let shape = [512, 1024];
    let input: Vec<f32> = (0..shape[0] * shape[1]).map(|i| (i as f32 * 0.37).sin()).collect();
    let path = Path::best();
    let run = |threads| {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut all = Vec::new();
            for scaling in Scaling::ALL {
                for outputs in [Outputs::Rowwise, Outputs::Both] {
                    let layout = ScaleLayout::Swizzled128x4;
                    let config = Config::builder().scaling(scaling).scale_layout(layout);
                    let Ok(config) = config.outputs(outputs).build() else { continue };
                    let quantized = quantize_outputs(path, &input, shape, &config, None).unwrap();
                    let tensor = quantized.rowwise.as_ref().expect("rowwise output");
                    let mut values = vec![0.0_f32; input.len()];
                    dequantize_into(path, tensor.view(), &mut values).unwrap();
                    let loss = deviation(tensor.view(), &input).unwrap();
                    all.push((quantized, values, loss));
                }
            }
            (all, amax(path, &input).unwrap())
        })
    };
    // The bits do not depend on the number of threads.
    assert!(run(1) == run(3));
    // Fails where anything has used the global pool, for which it is made.
    ThreadPoolBuilder::new().num_threads(1).build_global().expect("nothing used the global pool");
}
