//! Standard output and error that are full or never read.

use std::fs::File;
use std::io::{PipeReader, PipeWriter, Write, pipe};
use std::process::Command;

use anyhow::Result;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

/// Returns a full disk: every write fails.
pub fn full_disk() -> Result<File> {
    Ok(File::options().write(true).open("/dev/full")?)
}

/// Returns a full pipe that nobody reads, so that it takes nothing more.
pub fn full_pipe() -> Result<(PipeReader, PipeWriter)> {
    let (reader, mut writer) = pipe()?;
    let flags = fcntl_getfl(&writer)?;
    fcntl_setfl(&writer, flags | OFlags::NONBLOCK)?;
    while writer.write(&[b'\n'; 4_096]).is_ok() {}
    fcntl_setfl(&writer, flags)?;
    Ok((reader, writer))
}

/// Returns the same command with a shell's redirection, such as `2>/dev/full`, for a
/// [`Process`](crate::process::Process), which captures the rest.
pub fn redirected(command: &Command, redirection: &str) -> Command {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &format!(r#"exec "$@" {redirection}"#), "sh"])
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell
}
