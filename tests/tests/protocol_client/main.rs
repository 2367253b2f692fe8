//! The independent client of `tests/protocol_client`, which was written from docs/PROTOCOL.md
//! alone, in rooms of the real server: if the document is wrong, or the server does otherwise, they
//! do not understand each other.

mod losing_line;
mod program;
mod refusals;
mod roster;
mod sessions;
mod voice;

use std::fs;

use anyhow::{Context, Result, ensure};
use talkspurt_testkit::fixture::SOON;
use talkspurt_testkit::process::Process;
use talkspurt_testkit::workspace;

use crate::program::{MINUTES, directory, program, python};

#[test]
fn the_client_passes_its_own_tests() -> Result<()> {
    let mut command = python();
    command
        .args(["-m", "unittest", "discover"])
        .arg(directory());
    let mut tests = Process::spawn("unittest", &mut command)?;
    tests.wait_for_success(MINUTES)?;
    let log = tests.log();
    ensure!(log.contains("\nOK"), "{log}");
    Ok(())
}

#[test]
fn the_documents_examples_are_what_the_client_reads_and_writes() -> Result<()> {
    let document = workspace::root().join("docs/PROTOCOL.md");
    check(&document.display().to_string())?;
    // A check that accepts anything would prove nothing.
    let text = fs::read_to_string(&document)?;
    let wrong = text.replacen("packet  05 07", "packet  05 08", 1);
    ensure!(wrong != text, "the document has no such example any more");
    let copy = tempfile::NamedTempFile::new()?;
    fs::write(copy.path(), wrong)?;
    let path = copy.path().to_str().context("a path in UTF-8")?;
    ensure!(check(path).is_err(), "a wrong example passes the check");
    Ok(())
}

fn check(document: &str) -> Result<()> {
    let mut check = Process::spawn(
        "packets.py",
        program("packets.py").args(["--check", document]),
    )?;
    check.wait_for_success(SOON)
}
