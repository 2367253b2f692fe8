//! `talkspurt-log IMAGE [LOG]`: turns the bytes that a firmware image logs (defmt) into lines of
//! text.
//!
//! The image sends numbers that stand for its texts. The texts are in the image's ELF file, which
//! must be from the same build. The bytes come from standard input (QEMU's semihosting, `cat
//! /dev/ttyACM1`) or from a file.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};
use defmt_decoder::{DecodeError, Frame, Locations, Table};

#[derive(Parser)]
#[command(about = "Prints the log of a Talkspurt firmware image as text")]
struct Arguments {
    /// The image's ELF file, from the same build as the image that logs
    image: PathBuf,
    /// The logged bytes [default: standard input]
    log: Option<PathBuf>,
    /// Leave out lines that are less important
    #[arg(long, value_enum, default_value_t = Level::Trace)]
    level: Level,
    /// Show where in the source each line was logged
    #[arg(long)]
    places: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let image = arguments.image.display();
    let elf = fs::read(&arguments.image).with_context(|| format!("cannot read {image}"))?;
    let (table, places) = texts(&elf).with_context(|| format!("{image} has no log texts"))?;
    let log: Box<dyn Read> = match &arguments.log {
        Some(path) => {
            Box::new(File::open(path).with_context(|| format!("cannot open {}", path.display()))?)
        }
        None => Box::new(io::stdin().lock()),
    };
    let places = arguments.places.then_some(&places);
    print(&table, places, arguments.level, log)
}

/// Returns the log's texts from the ELF file, and where in the source each stands.
fn texts(elf: &[u8]) -> Result<(Table, Locations)> {
    let table = Table::parse(elf)?.context("it was built without the feature `log`")?;
    let places = table.get_locations(elf)?;
    Ok((table, places))
}

/// Prints lines as they come, until `log` ends. Unreadable data is reported and skipped, as after a
/// reset in the middle of a line.
fn print(
    table: &Table,
    places: Option<&Locations>,
    least: Level,
    mut log: Box<dyn Read>,
) -> Result<()> {
    let mut out = io::stdout().lock();
    let mut decoder = table.new_stream_decoder();
    let mut chunk = [0; 1024];
    loop {
        let count = log.read(&mut chunk).context("cannot read the log")?;
        if count == 0 {
            return Ok(());
        }
        decoder.received(&chunk[..count]);
        loop {
            match decoder.decode() {
                Ok(frame) if level(&frame) >= least => {
                    writeln!(out, "{}", line(&frame, places))?;
                    out.flush()?;
                }
                Ok(_) => {}
                Err(DecodeError::UnexpectedEof) => break,
                Err(DecodeError::Malformed) => {
                    ensure!(
                        table.encoding().can_recover(),
                        "not a log of this image, or damaged beyond recovery"
                    );
                    writeln!(out, "(an unreadable line)")?;
                }
            }
        }
    }
}

fn level(frame: &Frame<'_>) -> Level {
    let level = frame
        .level()
        .map(|level| Level::from_str(level.as_str(), false));
    level.and_then(Result::ok).unwrap_or(Level::Info)
}

/// Formats a line as `    1.234 INFO  joined (src/app.rs:12)`: seconds since power-up, level, text.
fn line(frame: &Frame<'_>, places: Option<&Locations>) -> String {
    let time = frame
        .display_timestamp()
        .map_or_else(String::new, |time| time.to_string());
    let level = format!("{:?}", level(frame)).to_uppercase();
    let place = places
        .and_then(|places| places.get(&frame.index()))
        .map_or_else(String::new, |place| {
            format!(" ({}:{})", place.file.display(), place.line)
        });
    format!("{time:>9} {level:<5} {}{place}", frame.display_message())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_an_image_is_refused_with_the_reason() {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("image");
        fs::write(&image, b"no ELF file").unwrap();
        let arguments = Arguments {
            image,
            log: None,
            level: Level::Trace,
            places: false,
        };
        let error = format!("{:#}", run(&arguments).unwrap_err());
        assert!(error.contains("has no log texts"), "{error}");
    }

    #[test]
    fn levels_are_ordered_by_importance() {
        assert!(Level::Error > Level::Warn && Level::Warn > Level::Info);
        assert!(Level::Info > Level::Debug && Level::Debug > Level::Trace);
    }
}
