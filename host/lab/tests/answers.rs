//! The answers that `fouroversix verify` carries are the reference's.

use std::fmt::Write;

use fouroversix::{E4m3Max, Element, InputType};
use fouroversix_cli::verify::answers::{Answer, TEXT, digest};
use fouroversix_cli::verify::check::{Check, Mode, Pattern, SHAPE};
use fouroversix_conformance::case::{Input, Output, SuppliedAmax};
use fouroversix_conformance::dequantize_case::DequantizeCase;
use fouroversix_conformance::oracle;
use half::{bf16, f16};

fn bits(element: InputType, value: f32) -> u32 {
    match element {
        InputType::Bf16 => <bf16 as Element>::from_f32(value).to_bits().into(),
        InputType::F16 => <f16 as Element>::from_f32(value).to_bits().into(),
        InputType::F32 => value.to_bits(),
    }
}

fn value(element: InputType, bits: u32) -> f32 {
    match element {
        InputType::Bf16 => Element::to_f32(bf16::from_bits(bits as u16)),
        InputType::F16 => Element::to_f32(f16::from_bits(bits as u16)),
        InputType::F32 => f32::from_bits(bits),
    }
}

fn answer(check: &Check, tensor: Output, shape: [usize; 2]) -> Answer {
    let (config, element) = (check.config(), check.mode.element);
    let e4m3_max: E4m3Max = config.rule().e4m3_max();
    let case = DequantizeCase {
        name: check.to_string(),
        element,
        shape,
        scaling: config.scaling(),
        scale_layout: config.scale_layout(),
        e4m3_max,
        tensor,
        expected: Vec::new(),
    };
    let values = oracle::dequantize(&case).into_iter().map(|bits| value(element, bits)).collect();
    let Output { codes, scales, global_amax } = case.tensor;
    Answer { codes, scales, global_amax, values }
}

/// What the reference answers.
fn reference(check: &Check) -> Vec<Answer> {
    let element = check.mode.element;
    let values = check.values();
    let input =
        Input { element, shape: SHAPE, bits: values.iter().map(|x| bits(element, *x)).collect() };
    let by_row = check.config().scaling() == fouroversix::Scaling::Row;
    let supplied = check.supplied_amax().map(|[rows, columns]| match by_row {
        true => SuppliedAmax { rowwise: rows, columnwise: columns },
        false => SuppliedAmax { rowwise: vec![rows[0]], columnwise: vec![rows[0]] },
    });
    let outcome = oracle::quantize(check.config(), &input, supplied.as_ref()).unwrap();
    let [rows, cols] = SHAPE;
    let rowwise = outcome.rowwise.map(|output| answer(check, output, [rows, cols]));
    let columnwise = outcome.columnwise.map(|output| answer(check, output, [cols, rows]));
    rowwise.into_iter().chain(columnwise).collect()
}

#[test]
fn answers_are_the_references() {
    let mut text = String::new();
    for mode in Mode::all() {
        let digests = Pattern::ALL.map(|pattern| {
            let check = Check { mode, pattern };
            format!("{:016x}", digest(&reference(&check)))
        });
        writeln!(text, "{mode}: {}", digests.join(" ")).unwrap();
    }
    if std::env::var_os("FOUROVERSIX_WRITE_ANSWERS").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../program/src/verify/answers.txt");
        std::fs::write(path, text).unwrap();
    } else {
        assert!(text == TEXT, "write them anew with FOUROVERSIX_WRITE_ANSWERS=1");
    }
}
