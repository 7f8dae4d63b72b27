//! Memory that is refused: the program with an allocator that refuses one allocation, or all from one on. Each
//! run ends with a sentence or is aborted, leaves no output by halves, and a rerun gives the undisturbed bytes.
//!
//! `EXTENSIVE=1` refuses every allocation; else those of the day's slice, which is printed, `SLICE=k` repeats it.
//! Alone in its program, without a harness: started with `FOUROVERSIX_REFUSE` in its environment it is
//! `fouroversix`.

#[path = "../common/mod.rs"]
#[cfg(target_os = "linux")]
#[expect(dead_code, reason = "other tests use more of it")]
mod common;
#[cfg(target_os = "linux")]
mod refuse;
#[path = "../stage.rs"]
#[cfg(target_os = "linux")]
#[expect(dead_code, reason = "other tests use more of it")]
mod stage;

fn main() -> std::process::ExitCode {
    #[cfg(target_os = "linux")]
    return refuse::run();
    #[cfg(not(target_os = "linux"))]
    std::process::ExitCode::SUCCESS
}
