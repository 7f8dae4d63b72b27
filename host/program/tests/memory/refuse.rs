//! The allocator, the runs that it refuses memory, and what they leave.

use std::alloc::{GlobalAlloc, Layout, System};
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::stage::{Ended, RUNS, Slice, Stage};

/// The number of the allocation that is refused; with `+` after it those that follow too.
const REFUSE: &str = "FOUROVERSIX_REFUSE";

static COUNT: AtomicU64 = AtomicU64::new(0);
static FIRST: AtomicU64 = AtomicU64::new(u64::MAX);
static LAST: AtomicU64 = AtomicU64::new(u64::MAX);

struct Refusing;

fn is_refused() -> bool {
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    (FIRST.load(Ordering::Relaxed)..=LAST.load(Ordering::Relaxed)).contains(&number)
}

// SAFETY: the system's allocator, or null, which says that there is no memory.
unsafe impl GlobalAlloc for Refusing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller has it.
        if is_refused() { std::ptr::null_mut() } else { unsafe { System.alloc(layout) } }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller has it.
        if is_refused() { std::ptr::null_mut() } else { unsafe { System.alloc_zeroed(layout) } }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if is_refused() {
            return std::ptr::null_mut();
        }
        // SAFETY: as the caller has it.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as the caller has it.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Refusing = Refusing;

/// The program, with what is to be refused.
fn program(refuse: &str) -> ExitCode {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a limit of this process: it leaves no core behind.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) };
    let first = refuse.trim_end_matches('+').parse().unwrap_or(u64::MAX);
    LAST.store(if refuse.ends_with('+') { u64::MAX - 1 } else { first }, Ordering::Relaxed);
    COUNT.store(0, Ordering::Relaxed);
    FIRST.store(first, Ordering::Relaxed);
    let code = fouroversix_cli::run();
    FIRST.store(u64::MAX, Ordering::Relaxed);
    if refuse == "none" {
        println!("allocations: {}", COUNT.load(Ordering::Relaxed));
    }
    code
}

/// A stage's command, but run by this program.
fn refusing(stage: &Stage, refuse: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(stage.command().get_args()).stdin(Stdio::null());
    // What is printed of a backtrace takes ten times as long as the run.
    command.env(REFUSE, refuse).env("RAYON_NUM_THREADS", "1").env("RUST_BACKTRACE", "0");
    command
}

/// How many allocations an undisturbed run makes.
fn allocations(stage: &Stage) -> u64 {
    stage.reset();
    let output = refusing(stage, "none").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && stage.there() == stage.expected, "{said}");
    let count = said.lines().find_map(|line| line.strip_prefix("allocations: "));
    count.expect("it says so").parse().unwrap()
}

/// How many runs ended in which way.
#[derive(Default)]
struct Ends {
    aborted: AtomicU64,
    errors: AtomicU64,
    whole: AtomicU64,
}

/// One run, and what it leaves.
fn refuse(stage: &Stage, refuse: &str, count: u64, ends: &Ends) {
    let told = format!("allocation {refuse} of {count} refused");
    stage.reset();
    let ended = Ended::from(refusing(stage, refuse).output().unwrap());
    let end = match (ended.status, ended.signal) {
        (_, Some(libc::SIGABRT)) => {
            let sentence = ended.said.contains("memory allocation of");
            assert!(sentence, "{:?}, {told}: {ended:?}", stage.run);
            stage.check_whole(&ended, &told);
            &ends.aborted
        }
        (status, _) => {
            stage.check_end(&ended, &told);
            if status == Some(0) { &ends.whole } else { &ends.errors }
        }
    };
    end.fetch_add(1, Ordering::Relaxed);
    stage.check_rerun(&told);
}

/// The program if it was started as such, else the test.
pub(crate) fn run() -> ExitCode {
    if let Ok(refuse) = std::env::var(REFUSE) {
        return program(&refuse);
    }
    let slice = Slice::new("allocations refused", 32);
    let workers = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    for kind in RUNS {
        let (ends, count) = (Ends::default(), allocations(&Stage::new(kind)));
        let numbers: Vec<u64> = (0..count).filter(|number| slice.has(*number)).collect();
        let next = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| {
                    let stage = Stage::new(kind);
                    let take = || next.fetch_add(1, Ordering::Relaxed) as usize;
                    while let Some(number) = numbers.get(take()) {
                        refuse(&stage, &format!("{number}"), count, &ends);
                        refuse(&stage, &format!("{number}+"), count, &ends);
                    }
                });
            }
        });
        let [aborted, errors, whole] =
            [ends.aborted, ends.errors, ends.whole].map(AtomicU64::into_inner);
        println!(
            "{kind:?}: {} of {count} allocations refused, and all from each on: {aborted} runs aborted, \
             {errors} with an error, {whole} whole",
            numbers.len()
        );
        assert!(aborted + errors >= 2, "{kind:?}");
    }
    ExitCode::SUCCESS
}
