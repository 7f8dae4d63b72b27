//! The same cases, stamped on every backend.

use fouroversix_conformance::backend::Backend;
use fouroversix_conformance::golden::GoldenError;
use fouroversix_conformance::not_checked::not_checked;
use fouroversix_conformance::suite::{Counts, Suite, shared};

/// Runs a suite, fails on a failure, and says what did not run.
pub(crate) fn check(suite: &Suite, backend: &dyn Backend) -> Counts {
    let mut report = Vec::new();
    let counts = suite.run(backend, &mut report).expect("memory can be written");
    let report = String::from_utf8_lossy(&report);
    println!("{report}");
    assert_eq!(counts.failed, 0, "{report}");
    assert!(counts.passed > 0, "nothing ran:\n{report}");
    counts
}

/// Carried cases, and all of a folder of `shared` when it lies beside the workspace.
pub(crate) fn golden(carried: Result<Suite, GoldenError>, folder: &str) -> Suite {
    let mut suite = carried.expect("the carried selection follows its format");
    match shared(folder) {
        Some(directory) => {
            suite.extend(Suite::golden(&directory).expect("golden files follow their format"));
        }
        None => not_checked(
            "golden-whole",
            &format!("no shared/{folder} lies beside the workspace: only carried cases run"),
        ),
    }
    suite
}

/// Stamps the golden cases on every backend that an iterator gives: `golden_tests!(name, iterator)`.
macro_rules! golden_tests {
    ($name:ident, $backends:expr) => {
        #[test]
        fn $name() {
            let carried = fouroversix_conformance::suite::Suite::carried();
            let suite = $crate::common::golden(carried, "golden");
            for backend in $backends {
                $crate::common::check(&suite, &backend);
            }
        }
    };
}

/// Stamps the generated cases, whose expectations are the reference's, on every backend that an
/// iterator gives.
macro_rules! generated_tests {
    ($name:ident, $backends:expr) => {
        #[test]
        fn $name() {
            let suite = fouroversix_conformance::suite::Suite::generated(20_260_401);
            for backend in $backends {
                $crate::common::check(&suite, &backend);
            }
        }
    };
}
