//! The cases of scale search on the reference and on every CPU path: the carried ones, and all of
//! `shared/golden-search` when it lies beside the workspace. Kernels: `ptx_golden.rs`.

use crate::common;
use std::collections::BTreeSet;

use fouroversix::Rule;
use fouroversix::cpu::Path;
use fouroversix_conformance::adapters::CpuBackend;
use fouroversix_conformance::carried;
use fouroversix_conformance::case::Case;
use fouroversix_conformance::oracle::Reference;
use fouroversix_conformance::suite::Suite;

fn suite() -> Suite {
    common::golden(Suite::carried_search(), "golden-search")
}

#[test]
fn reference_search_golden() {
    let counts = common::check(&suite(), &Reference);
    assert_eq!(counts.skipped, 0, "NaN and signed zeros are part of this data");
}

#[test]
fn cpu_search_golden() {
    let suite = suite();
    for path in Path::available() {
        let counts = common::check(&suite, &CpuBackend(path));
        assert_eq!(counts.skipped, 0);
    }
}

#[test]
fn cpu_search_generated() {
    let suite = Suite::generated_search(20_261_129);
    for path in Path::available() {
        common::check(&suite, &CpuBackend(path));
    }
}

/// Every search on every scaling and type, and both outputs where there are two.
#[test]
fn the_carried_cases_have_every_mode() {
    let mode = |case: &Case| {
        let (rule, scaling) = (case.config.rule(), case.config.scaling());
        format!("{rule} {scaling} {}", case.input.element)
    };
    let cases = Suite::carried_search().unwrap().cases;
    let modes: BTreeSet<String> = cases.iter().map(mode).collect();
    assert_eq!(modes.len(), Rule::SEARCHES.len() * 3 * 3, "{modes:#?}");
    let columnwise = cases.iter().filter(|case| case.config.outputs().columnwise());
    let columnwise: BTreeSet<String> = columnwise.map(mode).collect();
    assert_eq!(columnwise.len(), Rule::SEARCHES.len() * 2 * 3, "{columnwise:#?}");
    assert!(cases.iter().any(|case| case.supplied_amax.is_some()));
    assert!(cases.iter().any(|case| case.input.values().iter().any(|x| x.is_nan())));
    assert_eq!(carried::read_search().unwrap().undefined, 0);
}
