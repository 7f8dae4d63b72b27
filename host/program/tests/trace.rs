//! The program under the test's own tracer: every system call of every thread can be looked at, be made
//! to fail, or be its last.

use std::collections::HashMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use libc::{c_int, c_long, c_void, pid_t};

use crate::stage::Ended;

/// A system call that is about to happen, or has.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) number: c_long,
    pub(crate) arguments: [u64; 6],
    /// The file or folder that it is about, where it names one or has one open.
    pub(crate) place: Option<PathBuf>,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// It happens.
    Go,
    /// The process ends before it.
    Kill,
    /// It does not happen, and this is its error.
    Fail(c_int),
}

const SYSCALL_STOP: c_int = libc::SIGTRAP | 0x80;

fn ptrace(request: libc::c_uint, pid: pid_t, data: *mut c_void) -> c_long {
    // SAFETY: the process is stopped and this thread's tracee; `data` is what the request asks for.
    unsafe { libc::ptrace(request, pid, std::ptr::null_mut::<c_void>(), data) }
}

fn registers(pid: pid_t) -> Option<libc::user_regs_struct> {
    // SAFETY: a struct of integers.
    let mut registers: libc::user_regs_struct = unsafe { std::mem::zeroed() };
    (ptrace(libc::PTRACE_GETREGS, pid, (&raw mut registers).cast()) == 0).then_some(registers)
}

fn set_registers(pid: pid_t, mut registers: libc::user_regs_struct) {
    ptrace(libc::PTRACE_SETREGS, pid, (&raw mut registers).cast());
}

/// Which argument is a path, and which a folder that it starts from.
const fn path_argument(number: c_long) -> Option<(usize, Option<usize>)> {
    match number {
        libc::SYS_open
        | libc::SYS_mkdir
        | libc::SYS_rename
        | libc::SYS_unlink
        | libc::SYS_rmdir
        | libc::SYS_readlink
        | libc::SYS_stat
        | libc::SYS_lstat
        | libc::SYS_chmod => Some((0, None)),
        libc::SYS_openat
        | libc::SYS_mkdirat
        | libc::SYS_renameat
        | libc::SYS_renameat2
        | libc::SYS_unlinkat
        | libc::SYS_statx
        | libc::SYS_newfstatat
        | libc::SYS_readlinkat => Some((1, Some(0))),
        _ => None,
    }
}

/// Whether the first argument is an open file.
const fn takes_file(number: c_long) -> bool {
    matches!(
        number,
        libc::SYS_read
            | libc::SYS_write
            | libc::SYS_pread64
            | libc::SYS_pwrite64
            | libc::SYS_close
            | libc::SYS_fstat
            | libc::SYS_lseek
            | libc::SYS_fsync
            | libc::SYS_fdatasync
            | libc::SYS_ftruncate
            | libc::SYS_flock
            | libc::SYS_getdents64
            | libc::SYS_copy_file_range
            | libc::SYS_sendfile
            | libc::SYS_fchmod
            | libc::SYS_ioctl
    )
}

fn place(pid: pid_t, number: c_long, arguments: &[u64; 6]) -> Option<PathBuf> {
    let open = |file: u64| fs::read_link(format!("/proc/{pid}/fd/{}", file as i32)).ok();
    if let Some((index, from)) = path_argument(number) {
        let memory = File::open(format!("/proc/{pid}/mem")).ok()?;
        let mut bytes = vec![0_u8; 4096];
        let count = memory.read_at(&mut bytes, arguments[index]).ok()?;
        let end = bytes[..count].iter().position(|byte| *byte == 0)?;
        let path = PathBuf::from(String::from_utf8(bytes[..end].to_vec()).ok()?);
        let from = from.map(|from| arguments[from]).filter(|from| *from as i32 != libc::AT_FDCWD);
        return match from {
            Some(folder) if path.is_relative() => Some(open(folder)?.join(path)),
            _ => Some(path),
        };
    }
    let file = match number {
        libc::SYS_mmap => arguments[4],
        number if takes_file(number) => arguments[0],
        _ => return None,
    };
    open(file)
}

/// Whether this machine lets a test trace a program; where it does not, that is said.
pub(crate) fn available() -> bool {
    let mut calls = 0;
    let run = std::panic::AssertUnwindSafe(|| {
        let count = |_: &Call| {
            calls += 1;
            Action::Go
        };
        traced(&mut Command::new("true"), count, |_, _| {}).status == Some(0)
    });
    if std::panic::catch_unwind(run).unwrap_or(false) && calls > 0 {
        return true;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.ci/not-checked");
    let status = Command::new(script).args(["ptrace", "a program can't be traced here"]).status();
    assert!(status.expect("the script runs").success(), "CI must be able to trace");
    false
}

/// Runs `command` to its end. `before` is asked about every call; `after` is told of every call that has
/// returned, and what. The program stands still meanwhile, but for its other threads.
#[expect(clippy::zombie_processes, reason = "the loop waits for it, and for its threads")]
pub(crate) fn traced(
    command: &mut Command,
    mut before: impl FnMut(&Call) -> Action,
    mut after: impl FnMut(&Call, i64),
) -> Ended {
    let words = std::env::temp_dir().join(format!(
        "fouroversix-said-{}-{:?}",
        std::process::id(),
        std::thread::current().id()
    ));
    command
        .stdout(Stdio::null())
        .stderr(File::create(&words).unwrap())
        .env("RAYON_NUM_THREADS", "1");
    // SAFETY: ptrace alone, which may be called between fork and exec.
    unsafe {
        command.pre_exec(|| match libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        });
    }
    let child = command.spawn().expect("a program can be traced");
    let main = child.id() as pid_t;
    let options = libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_TRACECLONE | libc::PTRACE_O_EXITKILL;
    let mut ended = Ended { status: None, signal: None, said: String::new() };
    let mut inside: HashMap<pid_t, (Call, Action)> = HashMap::new();
    let mut started = false;
    let mut known = vec![main];
    loop {
        let mut status = 0;
        // SAFETY: of this thread's children alone: other tests have their own.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::__WALL | libc::__WNOTHREAD) };
        if pid < 0 {
            break;
        }
        if libc::WIFEXITED(status) || libc::WIFSIGNALED(status) {
            inside.remove(&pid);
            if pid == main {
                ended.status = libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status));
                ended.signal = libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status));
            }
            continue;
        }
        let mut deliver = match libc::WSTOPSIG(status) {
            SYSCALL_STOP => {
                syscall(pid, main, &mut inside, &mut before, &mut after);
                0
            }
            libc::SIGTRAP => 0,
            // How a new thread begins.
            libc::SIGSTOP if !known.contains(&pid) => 0,
            other => other,
        };
        if !known.contains(&pid) {
            known.push(pid);
        }
        if !started {
            ptrace(libc::PTRACE_SETOPTIONS, main, options as usize as *mut c_void);
            (started, deliver) = (true, 0);
        }
        ptrace(libc::PTRACE_SYSCALL, pid, deliver as usize as *mut c_void);
    }
    ended.said = fs::read_to_string(&words).unwrap_or_default();
    let _ = fs::remove_file(words);
    ended
}

fn syscall(
    pid: pid_t,
    main: pid_t,
    inside: &mut HashMap<pid_t, (Call, Action)>,
    before: &mut impl FnMut(&Call) -> Action,
    after: &mut impl FnMut(&Call, i64),
) {
    let Some(mut registers) = registers(pid) else { return };
    if let Some((call, action)) = inside.remove(&pid) {
        if let Action::Fail(error) = action {
            registers.rax = i64::from(-error) as u64;
            set_registers(pid, registers);
        }
        after(&call, registers.rax as i64);
        return;
    }
    let number = registers.orig_rax as c_long;
    let arguments =
        [registers.rdi, registers.rsi, registers.rdx, registers.r10, registers.r8, registers.r9];
    let call = Call { number, arguments, place: place(pid, number, &arguments) };
    let action = before(&call);
    match action {
        Action::Go => {}
        // SAFETY: a child of this thread that has not been waited for.
        Action::Kill => unsafe {
            libc::kill(main, libc::SIGKILL);
        },
        Action::Fail(_) => {
            registers.orig_rax = u64::MAX;
            set_registers(pid, registers);
        }
    }
    inside.insert(pid, (call, action));
}

/// The error that a fault gives a call: a disk that is full, one that fails, a permission that is lost.
/// `None` for calls that have no such fault.
pub(crate) const fn fault(call: &Call) -> Option<c_int> {
    Some(match call.number {
        libc::SYS_write
        | libc::SYS_pwrite64
        | libc::SYS_ftruncate
        | libc::SYS_mkdir
        | libc::SYS_copy_file_range
        | libc::SYS_sendfile => libc::ENOSPC,
        libc::SYS_openat if call.arguments[2] as i32 & libc::O_CREAT != 0 => libc::ENOSPC,
        libc::SYS_openat | libc::SYS_unlink | libc::SYS_unlinkat | libc::SYS_rmdir => libc::EACCES,
        libc::SYS_read
        | libc::SYS_pread64
        | libc::SYS_getdents64
        | libc::SYS_statx
        | libc::SYS_newfstatat
        | libc::SYS_fstat
        | libc::SYS_mmap
        | libc::SYS_fsync
        | libc::SYS_fdatasync
        | libc::SYS_rename
        | libc::SYS_renameat2
        | libc::SYS_flock => libc::EIO,
        _ => return None,
    })
}

/// Whether a call is about something in `folder`.
pub(crate) fn is_in(call: &Call, folder: &Path) -> bool {
    call.place.as_ref().is_some_and(|place| place.starts_with(folder))
}
