//! Disks that are really full: file systems in memory of every size and number of files that is too small for
//! a run, in a mount namespace of the test's own. After each, with room again, a rerun gives the undisturbed
//! bytes.

use std::ffi::CString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::stage::{Ended, RUNS, Run, Stage};

/// Where the file system is mounted, in a stage's folder.
const PLACE: &str = "disk";
/// Room for any of the runs.
const ENOUGH: &str = "size=16m,nr_inodes=4096";

fn mount(at: &Path, flags: libc::c_ulong, options: &str) -> io::Result<()> {
    let [at, kind, options] =
        [at.to_str().unwrap(), "tmpfs", options].map(|text| CString::new(text).unwrap());
    // SAFETY: strings that end in a zero.
    let status = unsafe {
        libc::mount(kind.as_ptr(), at.as_ptr(), kind.as_ptr(), flags, options.as_ptr().cast())
    };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Gives this thread, and what it runs, mounts of its own, which end with it.
fn enter_namespace() -> io::Result<()> {
    // SAFETY: of this thread alone; no memory is involved.
    if unsafe { libc::unshare(libc::CLONE_NEWNS) } != 0 {
        return Err(io::Error::last_os_error());
    }
    mount(Path::new("/"), libc::MS_REC | libc::MS_PRIVATE, "")
}

/// Whether this machine lets a test mount something; where it does not, that is said.
fn available() -> bool {
    let Err(error) = enter_namespace() else { return true };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.ci/not-checked");
    let told = format!("nothing can be mounted here: {error}");
    let status = Command::new(script).args(["mount", &told]).status();
    assert!(status.expect("the script runs").success(), "CI must be able to mount");
    false
}

/// A stage whose output comes to a file system that can be made small.
struct Small {
    stage: Stage,
    disk: PathBuf,
}

impl Small {
    fn new(run: Run) -> Self {
        let stage = Stage::with_output_in(run, PLACE);
        let disk = stage.folder.path(PLACE);
        mount(&disk, 0, ENOUGH).expect("it was possible before");
        Self { stage, disk }
    }

    fn resize(&self, options: &str) -> io::Result<()> {
        mount(&self.disk, libc::MS_REMOUNT, options)
    }

    /// How a run ends where there is room for so much; `None` where what is there before has none.
    fn run(&self, options: &str) -> Option<Ended> {
        self.resize(ENOUGH).unwrap();
        self.stage.reset();
        self.resize(options).ok()?;
        let ended = Ended::from(self.stage.command().output().unwrap());
        self.stage.check_end(&ended, options);
        self.resize(ENOUGH).unwrap();
        self.stage.check_rerun(options);
        Some(ended)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let disk = CString::new(self.disk.to_str().unwrap()).unwrap();
        // SAFETY: a string that ends in a zero.
        unsafe { libc::umount2(disk.as_ptr(), libc::MNT_DETACH) };
    }
}

/// Runs with ever more room until one ends well, which is the last; how many did not.
fn with_more_room(run: Run, options: impl Fn(u32) -> String) -> u32 {
    let small = Small::new(run);
    let mut full = 0;
    for room in 1..4096 {
        let Some(ended) = small.run(&options(room)) else { continue };
        if ended.status == Some(0) {
            return full;
        }
        let said = ended.said.to_lowercase();
        assert!(said.contains("no space left"), "{run:?}, {}: {said}", options(room));
        full += 1;
    }
    panic!("{run:?}: there is never enough room");
}

#[test]
fn a_disk_of_every_size() {
    if !available() {
        return;
    }
    for run in RUNS {
        let full = with_more_room(run, |pages| format!("size={}k,nr_inodes=4096", 4 * pages));
        println!("{run:?}: {full} sizes of a disk are too small");
        assert!(full >= 1, "{run:?}");
    }
}

#[test]
fn a_disk_of_every_number_of_files() {
    if !available() {
        return;
    }
    for run in RUNS {
        let full = with_more_room(run, |files| format!("size=16m,nr_inodes={files}"));
        println!("{run:?}: {full} numbers of files are too small");
        assert!(full >= 1, "{run:?}");
    }
}
