//! Parts of an output, made by several processes: the bytes are those of one run, whatever their
//! number, whatever dies; and what does not belong together is told and loses nothing.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::common;
use crate::common::{
    Folder, contents, program, refuse, succeed, weights, write_model, write_safetensors,
};

/// Kills among the processes of all numbers of parts.
const KILLS: usize = 30;

const OPTIONS: [&str; 4] = ["--max-shard-size", "300KB", "--device", "cpu"];

fn quantize(model: &Path, output: &Path, more: &[&str]) -> Command {
    let mut command = program(&[Path::new("quantize"), model, output]);
    command.args(OPTIONS).args(more).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn part(model: &Path, output: &Path, number: usize, count: usize) -> Command {
    quantize(model, output, &["--part", &format!("{number}/{count}")])
}

/// Runs a command, which must end with `status`, and returns what it said.
#[track_caller]
fn ends(mut command: Command, status: i32) -> String {
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    assert_eq!(output.status.code(), Some(status), "{said}");
    said
}

/// A model of some layers and the folder that one run makes of it.
fn model_and_expected(folder: &Folder, layers: usize) -> (std::path::PathBuf, std::path::PathBuf) {
    let (model, expected) = (folder.path("model"), folder.path("expected"));
    write_model(&model, layers, 256);
    ends(quantize(&model, &expected, &[]), 0);
    assert!(contents(&expected).len() > 4, "several shards");
    (model, expected)
}

#[test]
fn parts_killed_at_random_end_with_the_bytes_of_one_run() {
    let folder = Folder::new();
    let start = Instant::now();
    let (model, expected) = model_and_expected(&folder, 6);
    let whole = start.elapsed();
    let expected = contents(&expected);
    let mut state = 0x2545_F491_4F6C_DD1D_u64 ^ u64::from(std::process::id());
    let mut random = |below: f64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1_u64 << 53) as f64 * below
    };
    let mut report = String::new();
    for count in [1, 3, 7] {
        let (mut killed, mut rounds) = (0, 0);
        while killed < KILLS / 3 {
            rounds += 1;
            assert!(rounds < 10 * KILLS, "processes end before they can be killed");
            let output = folder.path(&format!("out-{count}-{rounds}"));
            let spawn = |number: usize| part(&model, &output, number, count).spawn().unwrap();
            let mut processes: Vec<Child> = (1..=count).map(spawn).collect();
            for _ in 0..count {
                sleep(Duration::from_secs_f64(random(whole.as_secs_f64() * 0.8)));
                let index = random(count as f64) as usize;
                let process = &mut processes[index];
                process.kill().unwrap();
                killed += usize::from(process.wait().unwrap().signal() == Some(9));
                *process = spawn(index + 1);
            }
            for process in processes {
                let output = process.wait_with_output().unwrap();
                assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            }
            assert!(contents(&output) == expected, "{count} parts: bytes differ");
            assert!(
                !common::names(output.parent().unwrap()).iter().any(|it| it.ends_with(".partial"))
            );
            fs::remove_dir_all(&output).unwrap();
        }
        report += &format!("{count} parts: {killed} kills in {rounds} rounds; ");
    }
    println!("{report}all outputs equal");
}

#[test]
fn parts_one_after_the_other_and_in_any_order() {
    let folder = Folder::new();
    let (model, expected) = model_and_expected(&folder, 4);
    let output = folder.path("out");
    for number in [2, 4, 1] {
        let said = ends(part(&model, &output, number, 4), 0);
        assert!(said.contains(&format!("part {number}/4 is complete")), "{said}");
        assert!(!output.exists());
    }
    let said = ends(quantize(&model, &output, &["--finish"]), 2);
    assert!(said.contains("of 4 parts 3 is not complete"), "{said}");
    ends(part(&model, &output, 3, 4), 0);
    assert!(contents(&output) == contents(&expected));
    // Whoever comes later finds it done.
    for more in [&["--finish"][..], &["--part", "2/4"], &["--part", "9/9"]] {
        let said = ends(quantize(&model, &output, more), 0);
        assert!(said.contains("is finished already"), "{said}");
    }
    let said = ends(quantize(&model, &output, &["--part", "2/4", "--rule", "plain"]), 2);
    assert!(said.contains("exists"), "{said}");
    assert!(contents(&output) == contents(&expected));
    assert!(!folder.path("out.partial").exists());
    // More parts than layers, and JSON.
    let output = folder.path("many");
    for number in 1..=40 {
        let said = ends(
            quantize(&model, &output, &["--json", "--quiet", "--part", &format!("{number}/40")]),
            0,
        );
        let told: serde_json::Value = serde_json::from_str(&said).unwrap();
        let is_last = number == 40;
        assert_eq!(told.get("output_is_in_place").is_none(), is_last, "{said}");
    }
    assert!(contents(&output) == contents(&expected));
}

#[test]
fn what_does_not_belong_together_is_told_and_loses_nothing() {
    let folder = Folder::new();
    let (model, expected) = model_and_expected(&folder, 4);
    let output = folder.path("out");
    let partial = folder.path("out.partial");
    ends(part(&model, &output, 1, 3), 0);
    for (more, said_of) in [
        (&["--part", "2/4"][..], "were begun of 3, this is one of 4"),
        (&["--part", "2/3", "--rule", "mae"], "with rule"),
        (&["--part", "2/3", "--fuse", "none"], "with fuse"),
        (&["--part", "2/3", "--no-figures"], "with error figures"),
        (&["--part", "2/3", "--format", "modelopt"], "with format"),
        (&["--finish", "--scaling", "tile"], "with scaling"),
    ] {
        let said = ends(quantize(&model, &output, more), 2);
        assert!(said.contains(said_of) && said.contains("run every part alike"), "{said}");
    }
    // A run without parts.
    let said = ends(quantize(&model, &output, &[]), 2);
    assert!(said.contains("holds parts of this output"), "{said}");

    // The input is changed between parts, and comes back.
    let shard = model.join("model-00002-of-00002.safetensors");
    let (bytes, time) =
        (fs::read(&shard).unwrap(), fs::metadata(&shard).unwrap().modified().unwrap());
    let mut other = bytes.clone();
    *other.last_mut().unwrap() ^= 1;
    fs::write(&shard, other).unwrap();
    let said = ends(part(&model, &output, 2, 3), 2);
    assert!(said.contains("model-00002-of-00002.safetensors of the input was another"), "{said}");
    fs::write(&shard, bytes).unwrap();
    File::options().write(true).open(&shard).unwrap().set_modified(time).unwrap();

    // Somebody else does the part.
    let lock = File::create(partial.join("part-2.lock")).unwrap();
    lock.lock().unwrap();
    fs::write(partial.join("part-2.lock"), "node7 process 99\n").unwrap();
    let said = ends(part(&model, &output, 2, 3), 2);
    assert!(said.contains("part 2/3") && said.contains("node7 process 99"), "{said}");
    let said = ends(quantize(&model, &output, &["--finish"]), 2);
    assert!(said.contains("of 3 parts 2 (running), 3 are not complete"), "{said}");
    drop(lock);

    ends(part(&model, &output, 2, 3), 0);
    ends(part(&model, &output, 3, 3), 0);
    assert!(contents(&output) == contents(&expected));
}

#[test]
fn a_damaged_file_names_its_part_which_makes_it_again() {
    let folder = Folder::new();
    let (model, expected) = model_and_expected(&folder, 4);
    let output = folder.path("out");
    ends(part(&model, &output, 1, 2), 0);
    let pieces = folder.path("out.partial/pieces");
    let piece = common::names(&pieces).remove(0);
    let path = pieces.join(piece);
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, bytes).unwrap();
    let said = ends(part(&model, &output, 2, 2), 2);
    assert!(said.contains("run --part 1/2 again"), "{said}");
    let said = ends(quantize(&model, &output, &["--finish"]), 2);
    assert!(said.contains("run --part 1/2 again"), "{said}");
    ends(part(&model, &output, 1, 2), 0);
    assert!(contents(&output) == contents(&expected));
}

#[test]
fn parts_refuse_what_they_are_not_for() {
    let folder = Folder::new();
    let (model, output) = (folder.path("model"), folder.path("out"));
    write_model(&model, 2, 64);
    let said = ends(quantize(&model, &output, &["--finish"]), 2);
    assert!(said.contains("no part of") && !folder.path("out.partial").exists(), "{said}");
    let file = folder.path("in.safetensors");
    write_safetensors(&file, &[weights("a", &[32, 32])]);
    let said = refuse([&"quantize", &file, &folder.path("x"), &"--part", &"1/2"]);
    assert!(said.contains("a single file"), "{said}");
    for wrong in ["0/2", "3/2", "2", "a/b"] {
        assert!(ends(quantize(&model, &output, &["--part", wrong]), 2).contains("use I/N"));
    }
    // An interrupted run without parts.
    fs::create_dir_all(folder.path("out.partial/out")).unwrap();
    fs::write(folder.path("out.partial/journal.jsonl"), "{}").unwrap();
    let said = ends(part(&model, &output, 1, 2), 2);
    assert!(said.contains("an interrupted run without --part"), "{said}");
    // Which tensors a part has.
    let listed = |number: usize| {
        let part = format!("{number}/2");
        let said = succeed([&"quantize", &model, &output, &"--dry-run", &"--part", &part]);
        said.lines()
            .filter(|line| line.contains(".weight ["))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let [first, second] = [listed(1), listed(2)];
    let layers =
        |lines: &[String], layer: &str| lines.iter().filter(|it| it.contains(layer)).count();
    assert!(layers(&first, "layers.0.") > 4 && layers(&second, "layers.0.") == 0, "{first:?}");
    assert!(layers(&second, "layers.1.") > 4 && layers(&first, "layers.1.") == 0, "{second:?}");
}

#[test]
fn the_slurm_script_runs_where_there_is_no_slurm() {
    let folder = Folder::new();
    let (model, expected) = model_and_expected(&folder, 4);
    let output = folder.path("out");
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts");
    let own = Path::new(env!("CARGO_BIN_EXE_fouroversix")).parent().unwrap();
    let path = [&scripts.join("slurm_dry_run"), own].map(|it| it.display().to_string()).join(":");
    let path = format!("{path}:{}", std::env::var("PATH").unwrap());
    let submit = |tasks: &str, more: &[&str]| {
        let mut command = Command::new(scripts.join("slurm_quantize.sh"));
        command.arg(&model).arg(&output).args(OPTIONS).args(more);
        command.env("PATH", &path).env("PARTS", "3").env("TASKS", tasks);
        command
    };
    // A task that was lost; its end says so, and the same command makes up for it.
    let said = ends(submit("1,3", &["--quiet"]), 2);
    assert!(said.contains("of 3 parts 2 is not complete"), "{said}");
    assert!(!output.exists());
    let said = ends(submit("1-3", &[]), 0);
    assert!(said.contains("array job ") && said.contains("is finished already"), "{said}");
    assert!(contents(&output) == contents(&expected));
}
