//! That the runner can fail: a wrong answer is a failure with a report, an unsupported case is
//! skipped and not passed, and the program's exit status says which.

use std::process::{Command, Output};

use fouroversix_conformance::backend::{Backend, BackendError, SkipReason};
use fouroversix_conformance::case::{Case, Outcome};
use fouroversix_conformance::dequantize_case::DequantizeCase;
use fouroversix_conformance::oracle::Reference;
use fouroversix_conformance::suite::{Counts, Suite};
use fouroversix_core::config::Scaling;

/// The reference, with one bit of its answers flipped.
struct OneBitOff;

impl Backend for OneBitOff {
    fn name(&self) -> String {
        "one-bit-off".to_owned()
    }

    fn supports(&self, case: &Case) -> Result<(), SkipReason> {
        match case.config.scaling() {
            Scaling::Tile => Err(SkipReason::new("has no tiles")),
            Scaling::Tensor | Scaling::Row => Ok(()),
        }
    }

    fn quantize(&self, case: &Case) -> Result<Outcome, BackendError> {
        let mut outcome = Reference.quantize(case)?;
        let output = outcome.rowwise.as_mut().or(outcome.columnwise.as_mut());
        let output = output.ok_or("no output")?;
        *output.codes.last_mut().ok_or("no codes")? ^= 0x80;
        *output.scales.first_mut().ok_or("no scales")? ^= 1;
        Ok(outcome)
    }

    fn supports_dequantize(&self, _case: &DequantizeCase) -> Result<(), SkipReason> {
        Ok(())
    }

    fn dequantize(&self, case: &DequantizeCase) -> Result<Vec<u32>, BackendError> {
        let mut elements = Reference.dequantize(case)?;
        elements[17] ^= 1;
        Ok(elements)
    }
}

fn run(suite: &Suite) -> (Counts, String) {
    let mut report = Vec::new();
    let counts = suite.run(&OneBitOff, &mut report).unwrap();
    (counts, String::from_utf8(report).unwrap())
}

/// The carried cases whose description has these words.
fn carried(words: &str) -> Suite {
    let mut suite = Suite::carried().unwrap();
    suite.retain(words);
    suite
}

#[test]
fn wrong_answers_fail_with_coordinates_and_candidates() {
    let mut suite = carried("bf16_small/ randn mse-strict-256 tensor rowwise 32x64 linear");
    suite.dequantize_cases.clear();
    let (counts, report) = run(&suite);
    assert_eq!(counts, Counts { passed: 0, failed: suite.cases.len(), skipped: 0 });
    assert!(counts.failed > 0);
    for part in [
        "FAILED one-bit-off: bf16_small/",
        "1 of 128 scale bytes, 1 of 2048 codes differ",
        "scale byte 0, row 0, columns 0 to 15: expected 0x",
        "code at row 31, column 63: input ",
        "map4: scale 0x",
        "map6: scale 0x",
        "to be taken",
        "one-bit-off: 0 passed",
    ] {
        assert!(report.contains(part), "{part:?} is not in:\n{report}");
    }
}

#[test]
fn wrong_elements_fail() {
    let mut suite = carried("bf16_small/ randn dequantize 32x64");
    suite.cases.clear();
    let (counts, report) = run(&suite);
    assert_eq!((counts.passed, counts.skipped), (0, 0), "{report}");
    assert!(counts.failed > 0 && report.contains("row 0, column 17: code 0x"), "{report}");
}

#[test]
fn unsupported_cases_are_skipped_with_the_reason() {
    let mut suite = carried("bf16_small/ randn mse-strict-256 tile rowwise");
    suite.dequantize_cases.clear();
    let (counts, report) = run(&suite);
    assert_eq!(counts, Counts { passed: 0, failed: 0, skipped: suite.cases.len() });
    assert!(counts.skipped > 0 && report.contains("skipped: has no tiles"), "{report}");
}

fn program(arguments: &[&str]) -> (Output, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_fouroversix-conformance"))
        .args(arguments)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    (output, text.lines().last().unwrap_or_default().to_owned())
}

#[test]
fn the_program_counts_on_its_last_line() {
    let (output, last) =
        program(&["--backend", "reference", "--filter", "bf16_small/ randn plain tensor 16x16"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(last.ends_with(" passed, 0 failed, 0 skipped") && !last.starts_with('0'), "{last}");
}

#[test]
fn the_program_refuses_what_it_does_not_know() {
    for arguments in [["--backend", "abacus"], ["--golden", "no/such/directory"]] {
        let (output, _) = program(&arguments);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(message.contains(arguments[1]) && message.lines().count() == 1, "{message}");
    }
}

#[test]
fn the_program_fails_on_wrong_golden_data() {
    // A golden pair with one expected scale byte changed.
    let directory = std::env::temp_dir().join(format!("fouroversix-wrong-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    write_wrong_golden(&directory);
    let golden = directory.to_str().unwrap();
    let (output, last) = program(&["--golden", golden, "--filter", "wrong/0"]);
    std::fs::remove_dir_all(&directory).unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(last.contains(" failed") && !last.contains(" 0 failed"), "{last}");
}

fn write_wrong_golden(directory: &std::path::Path) {
    use safetensors::{Dtype, tensor::TensorView};
    let input: Vec<u8> = (0..16u16).flat_map(|i| (0x3F80 + i).to_le_bytes()).collect();
    let tensors = [
        ("x", TensorView::new(Dtype::U16, vec![1, 16], &input).unwrap()),
        ("q", TensorView::new(Dtype::U8, vec![1, 8], &[0x77; 8]).unwrap()),
        ("s", TensorView::new(Dtype::U8, vec![1, 1], &[0x7D]).unwrap()),
        ("a", TensorView::new(Dtype::F32, vec![1], &[0x00, 0x00, 0x8F, 0x3F]).unwrap()),
    ];
    let bytes = safetensors::serialize(tensors, None).unwrap();
    std::fs::write(directory.join("wrong.safetensors"), bytes).unwrap();
    let index = r#"{"format": "nvfp4-golden-1", "te_commit": "", "tensors": "wrong.safetensors",
        "cases": [{"mode": "nvfp4", "e4m3_max": 448, "scale_mode": "tensor_1d", "dtype": "bf16",
        "shape": [1, 16], "dist": "ramp", "seed": 0, "input": "x",
        "rowwise": {"qdata": "q", "scales": "s", "amax": "a"}}]}"#;
    std::fs::write(directory.join("wrong.json"), index).unwrap();
}
