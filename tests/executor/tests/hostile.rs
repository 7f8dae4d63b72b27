//! Texts that fuzzing found: an error with a place, never a panic.

use fouroversix_ptx_executor::Module;

fn refused(text: &str, problem: &str) {
    let error = Module::parse(text).expect_err(text).to_string();
    assert!(error.contains(problem), "{error}");
}

#[test]
fn a_text_without_an_end() {
    refused(".version 8.1\n.target sm_89\n.address_size 64\n\".entry", "never ends");
    refused("\"", "never ends");
    refused("/* ", "never ends");
}
