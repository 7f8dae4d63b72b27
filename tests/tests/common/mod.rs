//! The same cases, stamped on every backend.

use fouroversix_conformance::backend::Backend;
use fouroversix_conformance::suite::{Counts, Suite, shared_golden};

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

/// Runs the carried golden cases, and all of `shared/golden` when it lies beside the workspace.
pub(crate) fn check_golden(backend: &dyn Backend) {
    let mut suite = Suite::carried().expect("the carried selection follows its format");
    match shared_golden() {
        Some(directory) => {
            suite.extend(Suite::golden(&directory).expect("golden files follow their format"));
        }
        None => eprintln!("only carried cases: no shared/golden lies beside the workspace"),
    }
    check(&suite, backend);
}

/// Stamps the tests on a backend: `backend_tests!(name, expression)`.
#[macro_export]
macro_rules! backend_tests {
    ($name:ident, $backend:expr) => {
        mod $name {
            #[test]
            fn golden_cases() {
                $crate::common::check_golden(&$backend);
            }
        }
    };
}
