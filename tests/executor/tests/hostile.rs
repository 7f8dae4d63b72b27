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

/// An alignment of 0 divided by it, and one past 32 bits became 0; a length could be past any memory.
#[test]
fn variables_of_no_size() {
    let with = |variable: &str| {
        format!(".version 8.1\n.target sm_89\n.address_size 64\n.global {variable};\n")
    };
    for align in ["0", "3", "131072", "4294967296", "4294967297"] {
        refused(&with(&format!(".align {align} .b8 x[4]")), "is no power of two up to 65536");
    }
    for length in ["16777217", "18446744073709551615"] {
        refused(&with(&format!(".align 4 .b32 x[{length}]")), "more than 16777216 elements");
    }
    let text = with(".align 16 .b8 x[64]");
    assert!(Module::parse(&text).is_ok(), "{text}");
    let entry = ".version 8.1\n.target sm_89\n.address_size 64\n.entry f(.param .align 0 .b8 p[56])\n{\nret;\n}\n";
    refused(entry, "is no power of two");
}

/// Names were made for as many registers as a text said, for minutes; a number past 32 bits became another.
#[test]
fn registers_without_number() {
    let with = |registers: &str| {
        let head = ".version 8.1\n.target sm_89\n.address_size 64\n.entry f()\n{\n";
        format!("{head}.reg .b32 {registers};\nret;\n}}\n")
    };
    for registers in ["%r<4000000000>", "%r<4294967297>", "%r<1000000>, %s<1000000>"] {
        refused(&with(registers), "is past 1048576 registers");
    }
    let text = with("%r<70000>");
    assert!(Module::parse(&text).is_ok(), "{text}");
}

/// Each scope and each operand in another took a frame of the stack, of which there are not so many.
#[test]
fn scopes_without_bottom() {
    let with = |body: &str| {
        format!(".version 8.1\n.target sm_89\n.address_size 64\n.entry f()\n{{\n{body}\nret;\n}}\n")
    };
    refused(&with(&"{".repeat(100_000)), "deep");
    for opening in ["{", "(", "!"] {
        refused(&with(&format!("mov.b32 %r1, {}", opening.repeat(100_000))), "deep");
    }
    let text = with("{ { .reg .b32 %r<2>; mov.b32 %r1, 0; } }");
    assert!(Module::parse(&text).is_ok(), "{text}");
}

/// The 65th modifier took the first one's place among those that are understood.
#[test]
fn modifiers_without_number() {
    let with = |count: usize| {
        let modifiers = ".sync".repeat(count);
        format!(
            ".version 8.1\n.target sm_89\n.address_size 64\n.entry f()\n{{\nbar{modifiers} 0;\nret;\n}}\n"
        )
    };
    refused(&with(65), "bar has 65 modifiers");
    refused(&with(64), "modifier .sync");
    assert!(Module::parse(&with(1)).is_ok());
}
