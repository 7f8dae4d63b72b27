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

/// The carried golden cases, and all of `shared/golden` when it lies beside the workspace.
pub(crate) fn golden() -> Suite {
    let mut suite = Suite::carried().expect("the carried selection follows its format");
    match shared_golden() {
        Some(directory) => {
            suite.extend(Suite::golden(&directory).expect("golden files follow their format"));
        }
        None => eprintln!("only carried cases: no shared/golden lies beside the workspace"),
    }
    suite
}

/// Stamps the golden cases on every backend that an iterator gives: `golden_tests!(name, iterator)`.
#[macro_export]
macro_rules! golden_tests {
    ($name:ident, $backends:expr) => {
        #[test]
        fn $name() {
            let suite = $crate::common::golden();
            for backend in $backends {
                $crate::common::check(&suite, &backend);
            }
        }
    };
}

/// Stamps the generated cases, whose expectations are the reference's, on every backend that an
/// iterator gives.
#[macro_export]
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
