//! `verify` counts what passed and failed, and says so on its last line.

use crate::common::{refuse, run, succeed};

#[test]
fn every_path_gives_the_carried_answers() {
    let said = succeed([&"verify", &"--backend", &"cpu"]);
    // The CPU is checked on each path that the machine has, on the same checks.
    let counts: Vec<&str> = said
        .lines()
        .filter_map(|line| line.strip_prefix("cpu:")?.split_once(": "))
        .map(|(_, counts)| counts)
        .collect();
    assert!(counts.len() >= 2, "{said}");
    assert!(counts.iter().all(|count| *count == "1365 passed, 0 failed, 0 skipped"), "{said}");
    let total = format!("{} passed, 0 failed, 0 skipped", 1365 * counts.len());
    assert_eq!(said.lines().last(), Some(total.as_str()));
}

#[test]
fn a_filter_chooses_checks_by_words() {
    let said = succeed([&"verify", &"--backend", &"cpu", &"--filter", &"mse-strict-256 tile bf16"]);
    assert!(said.lines().next().unwrap().ends_with(": 21 passed, 0 failed, 0 skipped"), "{said}");
    let said = refuse([&"verify", &"--filter", &"no such words"]);
    assert!(said.contains("no such words"), "{said}");
    assert_eq!(run([&"verify", &"--backend", &"abacus"]).status.code(), Some(2));
}
