//! Every backend that can run here, on the same cases.

use fouroversix::cpu::Path;
use fouroversix_conformance::adapters::CpuBackend;
use fouroversix_conformance::case::Input;
use fouroversix_conformance::oracle::{self, Reference};
use fouroversix_core::ShapeError;
use fouroversix_core::config::InputType;

fn cpu_paths() -> impl Iterator<Item = CpuBackend> {
    Path::available().into_iter().map(CpuBackend)
}

golden_tests!(reference_golden, [Reference]);
golden_tests!(cpu_golden, cpu_paths());
generated_tests!(cpu_generated, cpu_paths());

/// Every shape and option that the reference refuses is refused, with the same words for why.
#[test]
fn cpu_refuses_what_the_contract_does_not_define() {
    use fouroversix::{Config, Error, Outputs, Rule, ScaleLayout, Scaling};
    for scaling in [Scaling::Tensor, Scaling::Row, Scaling::Tile] {
        for outputs in [Outputs::Rowwise, Outputs::Columnwise, Outputs::Both] {
            let config = Config::new(Rule::Plain, scaling, outputs, ScaleLayout::Linear).unwrap();
            for [rows, cols] in [[16, 24], [16, 8], [17, 32], [8, 16], [16, 1], [5, 3]] {
                let input = vec![1.0f32; rows * cols];
                let shape = [rows, cols];
                let bits = input.iter().map(|x| x.to_bits()).collect();
                let case = Input { element: InputType::F32, shape, bits };
                let expected = oracle::quantize(config, &case, None);
                match (fouroversix::quantize_outputs(&input, shape, &config, None), expected) {
                    (Ok(_), Ok(_)) => {}
                    (
                        Err(Error::Shape(ShapeError::Dimension { dimension, length, multiple })),
                        Err(fouroversix_reference::Error::Dimension {
                            dimension: expected,
                            length: expected_length,
                            multiple: expected_multiple,
                        }),
                    ) => {
                        // Where both dimensions are wrong either may be named.
                        if [rows, cols].iter().filter(|d| !d.is_multiple_of(16)).count() == 1 {
                            assert_eq!(dimension, expected);
                            assert_eq!(length, expected_length);
                        }
                        assert_eq!(multiple, expected_multiple);
                    }
                    (actual, expected) => {
                        panic!("{scaling:?} {outputs:?} {shape:?}: {actual:?}, {expected:?}")
                    }
                }
            }
        }
    }
}
