//! Small made-up crates: what makes an arrow, what doesn't, and circles that must be found.

use std::path::Path;

use super::arrows::{self, Graph};
use super::{circles, module};

fn graph(files: &[(&str, &str)]) -> Graph {
    let read = |path: &Path| {
        let text = files.iter().find(|(name, _)| Path::new(name) == path);
        text.map(|(_, text)| (*text).to_owned())
    };
    arrows::of(&module::Crate::read(Path::new("src/lib.rs"), &read).unwrap())
}

/// `from -> to` for each arrow.
fn arrows_of(files: &[(&str, &str)]) -> Vec<String> {
    let arrows = graph(files).into_iter();
    arrows
        .flat_map(|(from, to)| to.into_iter().map(move |to| format!("{from} -> {}", to.to)))
        .collect()
}

fn circle(files: &[(&str, &str)]) -> Option<Vec<String>> {
    let circle = circles::shortest(&graph(files))?;
    Some(circle.into_iter().map(|(from, arrow)| format!("{from} -> {}", arrow.to)).collect())
}

#[test]
fn a_circle_of_two_files_is_found() {
    let files = [
        ("src/lib.rs", "mod a; mod b;"),
        ("src/a.rs", "use crate::b::B; pub struct A(B);"),
        ("src/b.rs", "pub struct B; impl B { fn of(_: &super::a::A) {} }"),
    ];
    assert_eq!(circle(&files).unwrap(), ["src/a.rs -> src/b.rs", "src/b.rs -> src/a.rs"]);
}

#[test]
fn a_circle_through_folders_and_the_root_is_found() {
    let files = [
        ("src/lib.rs", "pub mod one; pub fn top() { one::run() }"),
        ("src/one/mod.rs", "pub mod two; pub use two::run;"),
        ("src/one/two.rs", "mod three; pub fn run() { three::up() }"),
        ("src/one/two/three.rs", "pub fn up() { if true { crate::top() } }"),
    ];
    let circle = circle(&files).unwrap();
    assert_eq!(circle.len(), 3);
    assert!(circle.contains(&"src/lib.rs -> src/one/two.rs".to_owned()), "{circle:?}");
    assert!(circle.contains(&"src/one/two/three.rs -> src/lib.rs".to_owned()), "{circle:?}");
}

#[test]
fn a_tree_has_no_circle() {
    let files = [
        ("src/lib.rs", "mod a; mod b; pub use a::A; fn run(a: A) { b::of(a) }"),
        ("src/a.rs", "pub struct A;"),
        ("src/b.rs", "use crate::A; pub fn of(_: A) {}"),
    ];
    assert_eq!(circle(&files), None);
    // What the root passes on leads to where it is defined.
    let expected = ["src/b.rs -> src/a.rs", "src/lib.rs -> src/a.rs", "src/lib.rs -> src/b.rs"];
    assert_eq!(arrows_of(&files), expected);
}

#[test]
fn declaring_a_module_is_no_arrow_and_globs_are() {
    let files = [
        ("src/lib.rs", "mod a; mod b;"),
        ("src/a.rs", "pub fn f() {}"),
        ("src/b.rs", "use super::a::*; fn g() { f() }"),
    ];
    assert_eq!(arrows_of(&files), ["src/b.rs -> src/a.rs"]);
}

#[test]
fn grouped_renamed_and_local_imports_are_arrows() {
    let files = [
        ("src/lib.rs", "mod a; mod b; mod c; mod d;"),
        ("src/a.rs", "use crate::{b::{self, f as g}, c}; fn h() { use super::d::D as E; }"),
        ("src/b.rs", "pub const fn f() {}"),
        ("src/c.rs", ""),
        ("src/d.rs", "pub enum D {}"),
    ];
    let expected = ["src/a.rs -> src/b.rs", "src/a.rs -> src/c.rs", "src/a.rs -> src/d.rs"];
    assert_eq!(arrows_of(&files), expected);
}

#[test]
fn macros_are_read_inside() {
    let files = [
        ("src/lib.rs", "mod a; mod b; mod c;"),
        ("src/a.rs", "macro_rules! m { () => { $crate::b::f() } } fn g() { dbg!(super::c::h()); }"),
        ("src/b.rs", "pub fn f() {}"),
        ("src/c.rs", "pub fn h() {}"),
    ];
    assert_eq!(arrows_of(&files), ["src/a.rs -> src/b.rs", "src/a.rs -> src/c.rs"]);
}

#[test]
fn an_exported_macro_is_where_it_is_defined() {
    let files = [
        ("src/lib.rs", "mod a; mod b; pub use b::B; m!();"),
        ("src/a.rs", "fn f() { crate::m!(); }"),
        (
            "src/b.rs",
            "#[macro_export] macro_rules! m { () => { $crate::n!() } }
                      #[macro_export] macro_rules! n { () => {} } pub struct B;",
        ),
    ];
    assert_eq!(arrows_of(&files), ["src/a.rs -> src/b.rs", "src/lib.rs -> src/b.rs"]);
}

#[test]
fn unit_tests_other_crates_and_comments_are_no_arrows() {
    let files = [
        ("src/lib.rs", "mod a; mod b; #[cfg(test)] mod tests; pub fn top() {}"),
        (
            "src/a.rs",
            "//! [`crate::b`]\n/// crate::b::f\nuse std::fmt; use ::b::f; fn g() { b::f() }
                      #[cfg(test)] mod tests { use super::*; use crate::top; }",
        ),
        ("src/b.rs", "pub fn f() {} const S: &str = \"crate::a::g()\";"),
    ];
    assert_eq!(arrows_of(&files), [""; 0]);
}

#[test]
fn inline_modules_belong_to_their_file() {
    let files = [
        ("src/lib.rs", "mod a { pub mod b; pub struct S; } fn f() { a::b::g() }"),
        ("src/a/b.rs", "use super::S; pub fn g() {}"),
    ];
    assert!(circle(&files).is_some());
}

#[test]
fn a_missing_file_is_an_error() {
    let read = |path: &Path| (path == Path::new("src/lib.rs")).then(|| "mod gone;".to_owned());
    let error = module::Crate::read(Path::new("src/lib.rs"), &read).err().unwrap();
    assert_eq!(error, "src/lib.rs: no file for mod gone");
}
