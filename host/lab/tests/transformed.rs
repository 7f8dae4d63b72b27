//! `transformed`: a file of groups by step T1.

use std::fs;

use half::bf16;

use crate::common::{Folder, program};

/// One element of a group alone gives a row of Sylvester's matrix, signed, a quarter.
#[test]
fn a_basis_gives_the_matrix() {
    let folder = Folder::new("transformed");
    // TransformerEngine's signs, from element 0 on.
    let signs = b"+++-+------+-+--";
    let basis = (0..256).map(|i| if i % 17 == 0 { 1.0 } else { 0.0 });
    let bytes: Vec<u8> = basis.flat_map(|x| bf16::from_f32(x).to_le_bytes()).collect();
    fs::write(folder.0.join("x"), bytes).unwrap();
    let output = program(&["transformed", "x", "y"]).current_dir(&folder.0).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let y = fs::read(folder.0.join("y")).unwrap();
    assert_eq!(y.len(), 512);
    for (at, bytes) in y.as_chunks::<2>().0.iter().enumerate() {
        let (i, j) = (at / 16, at % 16);
        let negative = (signs[i] == b'-') != ((i & j).count_ones() % 2 == 1);
        let expected = if negative { -0.25 } else { 0.25 };
        assert_eq!(bf16::from_le_bytes(*bytes).to_f32(), expected, "row {i}, column {j}");
    }
}

#[test]
fn no_groups_and_its_own_input_are_refused() {
    let folder = Folder::new("transformed-bad");
    fs::write(folder.0.join("x"), [0; 34]).unwrap();
    for (words, what) in [(["x", "y"], "34 bytes"), (["x", "x"], "x is")] {
        let arguments = ["transformed", words[0], words[1]];
        let output = program(&arguments).current_dir(&folder.0).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(what), "{said}");
    }
    assert_eq!(fs::read(folder.0.join("x")).unwrap(), [0; 34]);
    assert!(!folder.0.join("y").exists());
}
