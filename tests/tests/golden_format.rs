//! That the golden reader reads what is there, and refuses what is not the format.

use std::collections::BTreeSet;

use fouroversix_conformance::carried;
use fouroversix_conformance::case::every_rule;
use fouroversix_conformance::golden::{self, Index};
use fouroversix_conformance::not_checked::not_checked;
use fouroversix_conformance::suite::shared_golden;
use fouroversix_core::config::Scaling;

/// Rule, scaling and element type of a case.
fn mode(case: &golden::GoldenCase) -> String {
    format!("{} {} {}", case.rule, case.scaling, case.input.element)
}

/// Distribution: the word after the origin.
fn distribution(case: &golden::GoldenCase) -> String {
    case.name.split_whitespace().nth(1).expect("names have a distribution").to_owned()
}

#[test]
fn the_carried_selection_has_every_mode() {
    let carried = carried::read().unwrap();
    let modes: BTreeSet<String> = carried.cases.iter().map(mode).collect();
    assert_eq!(modes.len(), every_rule().len() * 3 * 3, "rules by scalings by element types");
    let columnwise = carried.cases.iter().filter(|case| case.columnwise.is_some());
    let columnwise: BTreeSet<String> = columnwise.map(mode).collect();
    // Tensor and tile under every rule by element types, and row under the plain one in bf16.
    assert_eq!(columnwise.len(), every_rule().len() * 2 * 3 + 1);
    assert!(carried.cases.iter().any(|case| case.amax_supplied));
    assert!(carried.cases.iter().any(|case| case.name.ends_with("rows without NaN")));
    assert_eq!(carried.undefined, 54, "NaN spread over a whole tensor");
}

#[test]
fn the_carried_selection_reads_and_covers_the_full_data_when_that_is_present() {
    assert!(carried::read().unwrap().cases.len() > 9000);
    let Some(directory) = shared_golden() else {
        not_checked(
            "golden-whole",
            "no shared/golden lies beside the workspace: nothing is compared",
        );
        return;
    };
    let manifest = std::fs::read(directory.join("MANIFEST.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    let carried = carried::read().unwrap();
    let key = |case: &golden::GoldenCase| {
        let tall = case.scaling == Scaling::Row && case.columnwise.is_some();
        format!("{} {} {tall}", mode(case), distribution(case))
    };
    let carried: BTreeSet<String> = carried.cases.iter().map(key).collect();
    for path in carried::index_files(&directory).unwrap() {
        let file = golden::read(&path).unwrap();
        for case in &file.cases {
            assert!(carried.contains(&key(case)), "not carried: {}", key(case));
        }
        let entry = &manifest[path.file_name().unwrap().to_str().unwrap()];
        if let Some(cases) = entry["cases"].as_u64() {
            assert_eq!(file.cases.len() as u64, cases, "{}", path.display());
            let columnwise = file.cases.iter().filter(|case| case.columnwise.is_some()).count();
            let outputs = (file.cases.len() + columnwise) as u64;
            assert_eq!(outputs, entry["outputs"].as_u64().unwrap(), "{}", path.display());
        }
    }
}

#[test]
fn other_formats_are_refused() {
    let index = Index {
        format: "nvfp4-golden-2".to_owned(),
        te_commit: String::new(),
        tensors: String::new(),
        cases: Vec::new(),
    };
    let problem = golden::parse("other", &index, &[]).unwrap_err();
    assert!(problem.contains("nvfp4-golden-2"), "{problem}");
    let index = Index { format: golden::FORMAT.to_owned(), ..index };
    assert!(golden::parse("no header", &index, &[1, 2, 3]).is_err());
    assert!(golden::read(std::path::Path::new("absent.json")).is_err());
}
