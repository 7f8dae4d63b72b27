//! A directory's run, killed at random moments: a rerun ends with the bytes of an undisturbed run.
//!
//! `FOUROVERSIX_KILLS` sets how often it is killed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Instant;

use crate::cli_encoded::write_mx;
use crate::common;
use crate::common::{Folder, contents, program, write_model};

const KILLS: usize = 50;

fn quantize(model: &Path, output: &Path) -> Command {
    in_shards(model, output, "300KB")
}

fn in_shards(model: &Path, output: &Path, size: &str) -> Command {
    let options = ["--max-shard-size", size].map(Path::new);
    let mut command = program(&[Path::new("quantize"), model, output]);
    command.args(options).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// A file of the model that opens but can't be read, which shows when all shards are finished.
fn write_unreadable(model: &Path) -> PathBuf {
    let lost = model.join("extra/lost.txt");
    symlink("/proc/self/mem", &lost).unwrap();
    lost
}

#[test]
fn killed_runs_end_with_the_same_bytes() {
    let kills = std::env::var("FOUROVERSIX_KILLS").map_or(KILLS, |text| text.parse().unwrap());
    killed("300KB", kills, &|model| write_model(model, 6, 256));
}

/// Experts in stacks, in MXFP4: each shard has tensors that are cut out of the same ones.
#[test]
fn killed_runs_of_stacks_end_with_the_same_bytes() {
    for exponents in [[-9, 8], [-16, 2]] {
        killed("8KB", 10, &|model| _ = write_mx(model, exponents));
    }
}

fn killed(shard: &str, kills: usize, write: &dyn Fn(&Path)) {
    let folder = Folder::new();
    let (model, output) = (folder.path("model"), folder.path("out"));
    write(&model);
    let quantize = |model: &Path, output: &Path| in_shards(model, output, shard);
    let undisturbed = folder.path("undisturbed");
    let start = Instant::now();
    assert!(quantize(&model, &undisturbed).status().unwrap().success());
    let whole = start.elapsed();
    let expected = contents(&undisturbed);
    assert!(expected.len() > 8, "several shards");

    let mut state = 0x2545_F491_4F6C_DD1D_u64 ^ u64::from(std::process::id());
    let (mut interrupted, mut resumed) = (0, 0);
    let mut finished = 0;
    while interrupted < kills {
        assert!(finished < 10 * kills, "runs end before they can be killed");
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let moment = whole.mul_f64((state >> 11) as f64 / (1_u64 << 53) as f64);
        let mut run = quantize(&model, &output).spawn().unwrap();
        sleep(moment);
        run.kill().unwrap();
        run.wait().unwrap();
        if output.exists() {
            finished += 1;
            assert!(contents(&output) == expected, "a half-written output after {moment:?}");
        } else {
            interrupted += 1;
            let rerun = quantize(&model, &output).output().unwrap();
            let said = String::from_utf8(rerun.stderr).unwrap();
            assert!(rerun.status.success(), "after {moment:?}: {said}");
            resumed += usize::from(said.contains("kept"));
            assert!(contents(&output) == expected, "after {moment:?}: bytes differ");
        }
        fs::remove_dir_all(&output).unwrap();
        let leftover = folder.path("out.partial");
        if leftover.exists() {
            fs::remove_dir_all(leftover).unwrap();
        }
    }
    println!(
        "{interrupted} runs killed at random moments within {} ms ({finished} more were over by \
         then); {resumed} of the reruns kept finished shards; all outputs equal",
        whole.as_millis()
    );
}

#[test]
fn a_failed_run_keeps_its_shards_and_a_damaged_one_is_made_again() {
    let folder = Folder::new();
    let (model, output) = (folder.path("model"), folder.path("out"));
    write_model(&model, 2, 256);
    let undisturbed = folder.path("undisturbed");
    assert!(quantize(&model, &undisturbed).status().unwrap().success());
    let lost = write_unreadable(&model);
    let failed = quantize(&model, &output).output().unwrap();
    let said = String::from_utf8(failed.stderr).unwrap();
    assert_eq!(failed.status.code(), Some(2), "{said}");
    assert!(said.contains("lost.txt"), "{said}");
    assert!(!output.exists());
    fs::remove_file(&lost).unwrap();

    let shards = folder.path("out.partial/out");
    let names = common::names(&shards);
    let first = names.iter().find(|name| name.starts_with("model-00001")).unwrap();
    let mut bytes = fs::read(shards.join(first)).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(shards.join(first), bytes).unwrap();
    let rerun = quantize(&model, &output).output().unwrap();
    let said = String::from_utf8(rerun.stderr).unwrap();
    assert!(rerun.status.success(), "{said}");
    assert!(!said.contains("model-00001") && said.contains("model-00002"), "{said}");
    assert!(contents(&output) == contents(&undisturbed));
    assert!(!folder.path("out.partial").exists());
}

#[test]
fn other_options_start_over() {
    let folder = Folder::new();
    let (model, output) = (folder.path("model"), folder.path("out"));
    write_model(&model, 2, 256);
    let lost = write_unreadable(&model);
    assert!(!quantize(&model, &output).status().unwrap().success());
    fs::remove_file(&lost).unwrap();
    let rerun = quantize(&model, &output).args(["--rule", "plain"]).output().unwrap();
    let said = String::from_utf8(rerun.stderr).unwrap();
    assert!(rerun.status.success(), "{said}");
    assert!(said.contains("other options") && !said.contains("kept"), "{said}");
    let fresh = folder.path("fresh");
    assert!(quantize(&model, &fresh).args(["--rule", "plain"]).status().unwrap().success());
    assert!(contents(&output) == contents(&fresh));
}

/// A journal that is not what was written, a byte of a tensor's name on the disk gone wrong (found by
/// fuzzing): the shard is made again, and nothing of the line gets into the output.
#[test]
fn a_damaged_journal_is_not_believed() {
    let folder = Folder::new();
    let (model, output) = (folder.path("model"), folder.path("out"));
    write_model(&model, 1, 64);
    let undisturbed = folder.path("undisturbed");
    assert!(quantize(&model, &undisturbed).status().unwrap().success());
    let lost = write_unreadable(&model);
    let journal = folder.path("out.partial/journal.jsonl");
    assert!(!quantize(&model, &output).status().unwrap().success());
    let left = fs::read(&journal).unwrap();
    let places = left.windows(4).enumerate().filter(|(_, word)| *word == b"mlp.").map(|(at, _)| at);
    let places: Vec<usize> = places.chain((0..left.len()).step_by(97)).collect();
    assert!(places.len() > 8, "{}", String::from_utf8_lossy(&left));
    for at in places {
        let mut damaged = left.clone();
        damaged[at] ^= 1;
        fs::write(&journal, damaged).unwrap();
        fs::remove_file(&lost).unwrap();
        assert!(quantize(&model, &output).status().unwrap().success());
        assert!(contents(&output) == contents(&undisturbed), "byte {at} of the journal");
        fs::remove_dir_all(&output).unwrap();
        symlink("/proc/self/mem", &lost).unwrap();
        assert!(!quantize(&model, &output).status().unwrap().success());
    }
}
