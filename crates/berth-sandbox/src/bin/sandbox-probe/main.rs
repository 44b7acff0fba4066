//! Enters the sandbox and tries things: `sandbox-probe [--read P] [--write P] [--memory N] [--best-effort] WORK…`.
//!
//! Each word of work is a probe, or one of what a runtime must still be able to do (`threads`, `map=FILE`,
//! `serve=DESCRIPTOR`, …). One line is printed for each. The tests of this crate use it.

mod calls;

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::process::ExitCode;

use berth_sandbox::probes::Probe;
use berth_sandbox::{Mode, Sandbox, inherited};

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    match run(&mut std::env::args().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error}: {:?}", error.source()));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &mut dyn Iterator<Item = String>) -> Result<(), Failure> {
    let mut sandbox = Sandbox::default();
    let mut open = false;
    let mut work = Vec::new();
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or("an option lacks its value");
        match argument.as_str() {
            "--read" => sandbox.read_only.push(value()?.into()),
            "--write" => sandbox.read_write.push(value()?.into()),
            "--memory" => sandbox.memory_data_bytes = Some(value()?.parse()?),
            "--file-size" => sandbox.file_size_bytes = Some(value()?.parse()?),
            "--cpu" => sandbox.cpu_seconds = Some(value()?.parse()?),
            "--best-effort" => sandbox.mode = Mode::BestEffort,
            "--open" => open = true,
            "--threads-first" => drop(std::thread::spawn(std::thread::park)),
            _ => work.push(argument),
        }
    }
    if !open {
        let applied = sandbox.enter()?;
        say(&format!("applied: {applied}"));
    }
    for item in work {
        let line = match (
            item.parse::<Probe>(),
            calls::CALLS.iter().find(|(name, _)| *name == item),
        ) {
            (Ok(probe), _) => probe.run().to_string(),
            (Err(_), Some((_, attempt))) => calls::told(attempt()),
            (Err(_), None) => {
                allowed(&item).map_or_else(|error| format!("failed: {error}"), |()| "works".to_owned())
            }
        };
        say(&format!("{item}: {line}"));
    }
    Ok(())
}

/// What must still work inside.
fn allowed(item: &str) -> Result<(), Failure> {
    match item.split_once('=').unwrap_or((item, "")) {
        ("threads", _) => {
            let threads: Vec<_> = (1..=4_u64).map(|n| std::thread::spawn(move || n * n)).collect();
            let sum: u64 = threads.into_iter().filter_map(|thread| thread.join().ok()).sum();
            (sum == 30)
                .then_some(())
                .ok_or_else(|| "a thread is missing".into())
        }
        ("read", path) => {
            std::fs::read(path)?;
            Ok(())
        }
        ("write", path) => Ok(std::fs::write(path, b"written")?),
        ("fill", path) => Ok(File::create(path)?.write_all(&vec![7; 100_000])?),
        ("remove", path) => Ok(std::fs::remove_file(path)?),
        ("serve", number) => {
            let listener = inherited::listener(number.parse()?)?;
            let (mut stream, _) = listener.accept()?;
            let mut request = String::new();
            stream.read_to_string(&mut request)?;
            stream.write_all(request.to_uppercase().as_bytes())?;
            Ok(stream.shutdown(Shutdown::Both)?)
        }
        ("lifeline", number) => {
            inherited::end_with_lifeline(number.parse()?)?;
            say("waiting");
            loop {
                std::thread::park();
            }
        }
        ("descriptors", _) => {
            let mut open: Vec<String> = std::fs::read_dir("/proc/self/fd")?
                .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
                .collect::<io::Result<_>>()?;
            open.sort_unstable();
            // The last one is the folder that is being read.
            say(&format!("open: {}", open.join(" ")));
            Ok(())
        }
        ("spin", _) => loop {
            std::hint::spin_loop();
        },
        ("unshare", _) => unshare(),
        _ => Err("unknown work".into()),
    }
}

#[expect(unsafe_code, reason = "the standard library does not wrap unshare")]
fn unshare() -> Result<(), Failure> {
    // SAFETY: `unshare` touches no memory.
    let result = unsafe { libc::unshare(libc::CLONE_NEWUSER) };
    (result == 0)
        .then_some(())
        .ok_or_else(|| io::Error::last_os_error().into())
}

fn say(line: &str) {
    // A test that stopped listening is no reason to fail.
    let _ = writeln!(io::stdout(), "{line}");
}
