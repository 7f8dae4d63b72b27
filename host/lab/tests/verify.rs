//! `verify` against golden data and the reference.

use std::fs;
use std::io::Read;

use flate2::read::GzDecoder;

use crate::common::{Folder, program};

fn succeed(arguments: &[&str]) -> String {
    let output = program(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_last_line_counts_the_checks() {
    let filter = "plain bf16 tensor rowwise";
    let said = succeed(&["verify", "--backend", "cpu", "--filter", filter]);
    let last = said.lines().last().unwrap();
    let passed: usize = last.split(' ').next().unwrap().parse().unwrap();
    assert!(passed > 10, "{last}");
    assert!(last.ends_with("passed, 0 failed, 0 skipped"), "{last}");
    let of = |name| succeed(&["verify", "--backend", name, "--filter", "mse-strict-256 tile"]);
    let (reference, cpu) = (of("reference"), of("cpu"));
    let expected = reference.lines().last().unwrap();
    // The CPU is checked on each vector path that the machine has, on the same cases.
    let paths: Vec<_> = cpu
        .lines()
        .filter_map(|line| line.strip_prefix("cpu:")?.split_once(": "))
        .filter(|(_, counts)| counts.contains(" passed, "))
        .collect();
    assert!(paths.len() >= 2, "{cpu}");
    for (path, counts) in paths {
        assert_eq!(counts, expected, "{path}");
    }
}

#[test]
fn a_wrong_golden_file_fails_the_run() {
    let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden");
    let folder = Folder::new("golden");
    fs::create_dir(folder.0.join("golden")).unwrap();
    for name in ["selection.json", "selection.safetensors"] {
        let packed = fs::File::open(golden.join(format!("{name}.gz"))).unwrap();
        let mut bytes = Vec::new();
        GzDecoder::new(packed).read_to_end(&mut bytes).unwrap();
        if name.ends_with(".safetensors") {
            *bytes.last_mut().unwrap() ^= 0x40;
        }
        fs::write(folder.0.join("golden").join(name), bytes).unwrap();
    }
    let golden = folder.0.join("golden").display().to_string();
    let arguments = ["verify", "--backend", "cpu", "--golden", &golden];
    let output = program(&arguments).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let last = said.lines().last().unwrap();
    assert!(last.contains(" failed, ") && !last.contains(" 0 failed"), "{last}");
}
