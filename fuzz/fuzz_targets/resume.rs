//! A run that finds what another one left, changed in any way: the undisturbed bytes, or a sentence.
#![no_main]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::LazyLock;

use fouroversix::checkpoint::{Checkpoint, CpuQuantizer, QuantizeOptions, quantize_checkpoint};
use fouroversix_fuzz::{Silent, contents, folder, write_model};
use libfuzzer_sys::fuzz_target;

type Files = BTreeMap<PathBuf, Vec<u8>>;

struct Run {
    base: PathBuf,
    /// What an undisturbed run makes.
    expected: Files,
    /// What a run leaves that fails at its end.
    left: Files,
}

fn quantize(base: &std::path::Path) -> Result<(), String> {
    let checkpoint = Checkpoint::open(&base.join("model")).map_err(|e| e.to_string())?;
    let options = QuantizeOptions::default().with_max_shard_bytes(1024);
    let out = base.join("out");
    quantize_checkpoint(&checkpoint, &out, &options, &mut CpuQuantizer, &mut Silent)
        .map(|_| ())
        .map_err(|e| e.to_string())
}

static RUN: LazyLock<Run> = LazyLock::new(|| {
    let base = folder("resume");
    write_model(&base.join("model"));
    quantize(&base).expect("nothing is in the way");
    let expected = contents(&base.join("out"));
    fs::remove_dir_all(base.join("out")).expect("it is there");
    // Opens, and can't be read.
    let lost = base.join("model/lost.txt");
    symlink("/proc/self/mem", &lost).expect("a link can be made");
    quantize(&base).expect_err("a file can't be read");
    fs::remove_file(lost).expect("it is there");
    let left = contents(&base.join("out.partial"));
    Run { base, expected, left }
});

fuzz_target!(|data: &[u8]| {
    let Some(([which, at], bytes)) = data.split_first_chunk::<2>() else { return };
    let work = RUN.base.join("out.partial");
    let chosen = usize::from(*which) % RUN.left.len();
    for (i, (name, left)) in RUN.left.iter().enumerate() {
        let path = work.join(name);
        fs::create_dir_all(path.parent().expect("it has one")).expect("it can be made");
        let mut written = left.clone();
        if i == chosen {
            // Cut off or written over, from some place on.
            let at = left.len() * usize::from(*at) / 255;
            written.truncate(at);
            written.extend_from_slice(bytes);
            if *which >= 128 {
                written.extend_from_slice(left.get(written.len()..).unwrap_or_default());
            }
        }
        fs::write(path, written).expect("it can be written");
    }
    if quantize(&RUN.base).is_ok() {
        assert!(contents(&RUN.base.join("out")) == RUN.expected, "other bytes");
        fs::remove_dir_all(RUN.base.join("out")).expect("it is there");
    }
    let _ = fs::remove_dir_all(work);
});
