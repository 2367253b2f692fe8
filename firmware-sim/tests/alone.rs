//! The programs on their own: a hang-up ends them unless `nohup` had it ignored, and contradicting
//! flags are refused.

use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

const BRIDGE: &str = env!("CARGO_BIN_EXE_talkspurt-bridge");
const NODE: &str = env!("CARGO_BIN_EXE_talkspurt-node");
/// Only bounds a failure.
const PATIENCE: Duration = Duration::from_secs(30);

/// Starts a program without a partner: it waits for one until it is killed.
fn start(shell: &str) -> Child {
    Command::new("sh")
        .args(["-c", shell])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}

/// Returns the signals in a line of the program's `/proc` status: those that it handles, or
/// ignores.
fn signals(child: &Child, name: &str) -> u64 {
    let path = format!("/proc/{}/status", child.id());
    let status = std::fs::read_to_string(path).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix(name));
    mask.map_or(0, |mask| u64::from_str_radix(mask.trim(), 16).unwrap())
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// SIGTERM is signal 15, SIGHUP signal 1; signal N is bit N - 1.
const TERM_BIT: u64 = 1 << 14;
const HUP_BIT: u64 = 1;

fn programs() -> [String; 2] {
    [
        format!("exec {BRIDGE} --serial /nowhere/port --server localhost:1"),
        format!("exec {NODE} --serial pty --room r --name n"),
    ]
}

#[cfg(target_os = "linux")]
#[test]
fn a_hang_up_ends_a_program() {
    for program in programs() {
        let mut child = start(&format!("trap - HUP; {program}"));
        if signals(&child, "SigIgn:") & HUP_BIT != 0 {
            // These tests run under `nohup` themselves, which no shell can undo.
            child.kill().unwrap();
            child.wait().unwrap();
            return;
        }
        wait_until("it listens for signals", || {
            signals(&child, "SigCgt:") & HUP_BIT != 0
        });
        kill_process(pid(&child), Signal::HUP).unwrap();
        wait_until("it ends", || child.try_wait().unwrap().is_some());
        assert_eq!(child.wait().unwrap().code(), Some(0), "{program}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_program_under_nohup_goes_on() {
    for program in programs() {
        let mut child = start(&format!("trap '' HUP; {program}"));
        wait_until("it listens for signals", || {
            signals(&child, "SigCgt:") & TERM_BIT != 0
        });
        // The handlers are set one after another; this one is the last.
        thread::sleep(Duration::from_millis(100));
        assert_eq!(signals(&child, "SigCgt:") & HUP_BIT, 0, "{program}");
        assert_eq!(signals(&child, "SigIgn:") & HUP_BIT, HUP_BIT, "{program}");
        kill_process(pid(&child), Signal::HUP).unwrap();
        kill_process(pid(&child), Signal::TERM).unwrap();
        wait_until("it ends", || child.try_wait().unwrap().is_some());
        assert_eq!(child.wait().unwrap().code(), Some(0), "{program}");
    }
}

#[test]
fn flags_that_contradict_each_other_open_nothing() {
    let output = Command::new(NODE)
        .args(["--serial", "pty", "--room", "r", "--name", "n"])
        .args(["--gate-open", "100", "--gate-close", "200"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty(), "a pseudo-terminal was opened");
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.contains("the gate cannot work like that"),
        "{stderr}"
    );
}
