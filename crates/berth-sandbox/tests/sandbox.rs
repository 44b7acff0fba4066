//! The sandbox holds, and what a runtime needs still works: each test starts a child that enters it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output, Stdio};

use berth_sandbox::launch::Launch;

fn probe() -> Command {
    Command::new(env!("CARGO_BIN_EXE_sandbox-probe"))
}

fn output(arguments: &[&str]) -> (Output, String) {
    let output = probe().args(arguments).output().expect("the probe starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output, text)
}

/// The line that tells of `work`.
fn line<'a>(text: &'a str, work: &str) -> &'a str {
    text.lines()
        .find_map(|line| line.strip_prefix(work)?.strip_prefix(": "))
        .unwrap_or("(nothing is told)")
}

#[test]
fn every_probe_is_stopped_inside_and_done_outside() {
    let folder = tempfile::tempdir().expect("a folder");
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "secret").expect("writes");
    let read = format!("read-file={}", secret.display());
    let write = format!("write-file={}", secret.display());
    let probes = [
        read.as_str(),
        write.as_str(),
        "open-socket",
        "open-unix-socket",
        "run-program",
        "take-memory=200000000",
        "signal-parent",
    ];
    let (_, outside) = output(&[&["--open"], &probes[..]].concat());
    let (_, inside) = output(&[&["--memory", "67108864"], &probes[..]].concat());
    for probe in probes {
        assert_eq!(line(&outside, probe), "NOT STOPPED", "{probe} works outside");
        assert!(line(&inside, probe).starts_with("stopped: "), "{probe}: {inside}");
    }
    // Outside, only root may raise its limits; inside nobody.
    assert!(
        line(
            &output(&["--memory", "67108864", "raise-limits"]).1,
            "raise-limits"
        )
        .starts_with("stopped: ")
    );
}

/// System calls that reach beyond the process, past its limits, or past Landlock.
const REACHING: &[&str] = &[
    "socketpair-datagram",
    "socketpair-packets",
    "send-to-address",
    "sendmsg",
    #[cfg(target_arch = "x86_64")]
    "chmod",
    "fchmod",
    "fchmodat",
    "fchmodat2",
    "utimensat",
    #[cfg(target_arch = "x86_64")]
    "utime",
    #[cfg(target_arch = "x86_64")]
    "chown",
    #[cfg(target_arch = "x86_64")]
    "lchown",
    "fchown",
    "fchownat",
    "signal-owner",
    "signal-owner-ex",
    "signal-number",
    "lease",
    "signal-owner-by-ioctl",
    "signal-group-by-ioctl",
    "affinity-of-the-parent",
    "limits-of-the-parent",
    "memory-file",
    "shared-memory",
    "shared-checked-memory",
];

#[test]
fn calls_that_reach_out_are_refused_in_every_sandbox() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("target"), "weights").expect("writes");
    let work = folder.path().display().to_string();
    let tried = |sandbox: &[&str]| {
        let output = probe()
            .args(sandbox)
            .args(REACHING)
            .current_dir(folder.path())
            .output()
            .expect("the probe starts");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let outside = tried(&["--open"]);
    // As a runner has it, and as the gate has it, which may write.
    let runner = tried(&["--read", &work, "--memory", "67108864", "--file-size", "0"]);
    let gate = tried(&[
        "--write",
        &work,
        "--memory",
        "67108864",
        "--file-size",
        "65536",
        "--cpu",
        "60",
    ]);
    for call in REACHING {
        assert!(
            !["EPERM", "(nothing is told)"].contains(&line(&outside, call)),
            "{call} is tried in earnest: {outside}"
        );
        assert_eq!(line(&runner, call), "EPERM", "{call}: {runner}");
        assert_eq!(line(&gate, call), "EPERM", "{call}: {gate}");
    }
}

#[test]
fn calls_that_stay_inside_are_answered() {
    let calls = [
        "socketpair-stream",
        "send",
        "own-affinity",
        "private-memory",
        "threads",
    ];
    let (_, text) = output(&[&["--memory", "67108864"], &calls[..]].concat());
    for call in calls {
        assert_eq!(line(&text, call), "works", "{call}: {text}");
    }
}

#[test]
fn sandbox_tells_what_the_kernel_enforces() {
    let (output, text) = output(&[]);
    assert!(output.status.success(), "{text}");
    assert!(line(&text, "applied").starts_with("landlock "), "{text}");
    assert!(
        line(&text, "applied").contains(", seccomp, no capabilities"),
        "{text}"
    );
}

#[test]
fn given_files_are_reachable_as_given() {
    let folder = tempfile::tempdir().expect("a folder");
    let (given, work) = (folder.path().join("given"), folder.path().join("work"));
    std::fs::write(&given, "weights").expect("writes");
    std::fs::create_dir(&work).expect("a folder");
    let (given, work) = (given.display().to_string(), work.display().to_string());
    let (_, text) = output(&[
        "--read",
        &given,
        "--write",
        &work,
        &format!("read={given}"),
        &format!("write-file={given}"),
        &format!("write={work}/new"),
        &format!("read={work}/new"),
        &format!("remove={work}/new"),
    ]);
    assert_eq!(line(&text, &format!("read={given}")), "works");
    assert!(
        line(&text, &format!("write-file={given}")).starts_with("stopped"),
        "{text}"
    );
    for work in [
        format!("write={work}/new"),
        format!("read={work}/new"),
        format!("remove={work}/new"),
    ] {
        assert_eq!(line(&text, &work), "works");
    }
}

#[test]
fn threads_start_inside() {
    assert_eq!(
        line(&output(&["--memory", "67108864", "threads"]).1, "threads"),
        "works"
    );
}

#[test]
fn sandbox_is_refused_once_threads_run() {
    let (output, text) = output(&["--threads-first"]);
    assert!(!output.status.success());
    assert!(text.contains("before threads are started"), "{text}");
}

#[test]
fn missing_path_is_told() {
    let (output, text) = output(&["--read", "/nowhere/at-all"]);
    assert!(!output.status.success());
    assert!(text.contains("/nowhere/at-all"), "{text}");
}

#[test]
fn file_over_the_limit_fails_without_ending_the_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let work = folder.path().display().to_string();
    let fill = format!("fill={work}/big");
    let (output, text) = output(&["--write", &work, "--file-size", "65536", &fill, "threads"]);
    assert!(output.status.success(), "{text}");
    assert!(line(&text, &fill).starts_with("failed: File too large"), "{text}");
    assert_eq!(line(&text, "threads"), "works");
}

#[test]
fn process_that_spins_is_ended_by_its_processor_limit() {
    let (output, _) = output(&["--cpu", "1", "spin"]);
    let signal = output.status.signal();
    assert!(
        matches!(signal, Some(libc::SIGXCPU | libc::SIGKILL)),
        "{signal:?}"
    );
}

#[test]
fn what_only_an_attack_tries_ends_the_process() {
    let (output, text) = output(&["threads", "unshare"]);
    assert_eq!(line(&text, "threads"), "works");
    assert_eq!(output.status.signal(), Some(libc::SIGSYS), "{text}");
}

#[test]
fn inherited_listener_serves_inside_and_nothing_else_is_inherited() {
    let folder = tempfile::tempdir().expect("a folder");
    let address = folder.path().join("socket");
    let listener = UnixListener::bind(&address).expect("binds");
    let leaked = listener.try_clone().expect("clones");
    clear_close_on_exec(&leaked);
    let mut launch = Launch::new();
    let number = launch.hand_over(listener);
    let mut command = probe();
    // `/proc` is read only to list what is open.
    command.args(["--read", "/proc", "descriptors", &format!("serve={number}")]);
    launch.prepare(&mut command);
    let child = command.stdout(Stdio::piped()).spawn().expect("starts");
    let mut client = UnixStream::connect(&address).expect("connects");
    client.write_all(b"hello").expect("writes");
    client.shutdown(Shutdown::Write).expect("shuts down");
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("reads");
    assert_eq!(answer, "HELLO");
    let output = child.wait_with_output().expect("ends");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let open: Vec<_> = line(&text, "open").split(' ').collect();
    // The standard three, the listener, and the folder that was being listed.
    assert_eq!(open.len(), 5, "{text}");
    assert!(open.contains(&number.to_string().as_str()), "{text}");
}

#[test]
fn descriptor_that_is_no_listener_is_refused() {
    let (reader, _writer) = std::io::pipe().expect("a pipe");
    let mut launch = Launch::new();
    let number = launch.hand_over(reader);
    let mut command = probe();
    command.args([
        format!("serve={number}"),
        "serve=1".to_owned(),
        "serve=99".to_owned(),
    ]);
    launch.prepare(&mut command);
    let output = command.output().expect("starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        line(&text, &format!("serve={number}")).contains("not a listening Unix socket"),
        "{text}"
    );
    assert!(
        line(&text, "serve=1").contains("none that a parent hands over"),
        "{text}"
    );
    assert!(line(&text, "serve=99").contains("not open"), "{text}");
}

#[test]
fn child_ends_when_its_lifeline_is_dropped() {
    let mut launch = Launch::new();
    let (lifeline, number) = launch.lifeline().expect("a pipe");
    let mut command = probe();
    command.arg(format!("lifeline={number}")).stdout(Stdio::piped());
    launch.prepare(&mut command);
    let mut child = command.spawn().expect("starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let waiting = lines
        .by_ref()
        .find(|line| line.as_deref().is_ok_and(|line| line == "waiting"));
    assert!(waiting.is_some());
    assert!(
        child.try_wait().expect("waits").is_none(),
        "it lives while the lifeline does"
    );
    drop(lifeline);
    // The test runner's own limit ends this wait if the lifeline does not work.
    assert!(child.wait().expect("ends").success());
}

#[expect(unsafe_code, reason = "makes a descriptor leak, as a careless library would")]
fn clear_close_on_exec(listener: &UnixListener) {
    use std::os::fd::AsRawFd;
    // SAFETY: `F_SETFD` touches no memory, and the descriptor is open.
    assert_eq!(unsafe { libc::fcntl(listener.as_raw_fd(), libc::F_SETFD, 0) }, 0);
}
