//! Every backend that can run here, on the same cases.

mod common;

backend_tests!(reference, fouroversix_conformance::oracle::Reference);
