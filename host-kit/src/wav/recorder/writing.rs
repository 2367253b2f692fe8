//! The thread that writes a recording.

use super::super::WavWriter;
use crate::{sound::RecordingNotice, words::describe};
use rtrb::Consumer;
use std::{
    ffi::OsString,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
        mpsc::Sender,
    },
    thread,
    time::Duration,
};

/// Samples written to the disk at a time.
const PIECE_SAMPLES: usize = 4_096;
/// How often the thread at least checks for something to do.
const IDLE: Duration = Duration::from_millis(500);
/// Most names tried for the next file.
const NAMES_MAX: u32 = 100_000;

/// How far a recording is; the recorder tells its thread.
pub(super) struct Phase;

impl Phase {
    pub(super) const WAIT: u8 = 0;
    pub(super) const RECORD: u8 = 1;
    pub(super) const FINISH: u8 = 2;
    /// It never began.
    pub(super) const CANCEL: u8 = 3;
}

/// What the thread owns.
pub(super) struct Writing {
    /// Path of the first file.
    pub(super) first: PathBuf,
    /// Path of the current file.
    pub(super) path: PathBuf,
    pub(super) number: u32,
    pub(super) samples: Consumer<i16>,
    pub(super) limit_bytes: u32,
    pub(super) phase: Arc<AtomicU8>,
    pub(super) notify: Sender<RecordingNotice>,
}

impl Writing {
    /// Opens the file, reports that to `opened`, writes until the end, and reports that to
    /// `finished`.
    pub(super) fn run(mut self, opened: &Sender<io::Result<()>>, finished: &Sender<()>) {
        let (file, is_new) = match WavWriter::open(&self.path) {
            Ok(opened) => opened,
            Err(error) => {
                // If the recorder has stopped waiting, it needs no answer.
                let _ = opened.send(Err(error));
                return;
            }
        };
        let is_awaited = opened.send(Ok(())).is_ok();
        while is_awaited && self.phase() == Phase::WAIT {
            thread::park_timeout(IDLE);
        }
        if is_awaited && self.phase() != Phase::CANCEL {
            if let Err(error) = self.record(file) {
                let _ = self.notify.send(RecordingNotice::Stopped {
                    path: self.path.clone(),
                    problem: describe(&error),
                });
            }
        } else if is_new {
            // An empty file left behind does no harm.
            let _ = fs::remove_file(&self.path);
        }
        let _ = finished.send(());
    }

    fn phase(&self) -> u8 {
        let is_alone = self.samples.is_abandoned();
        match self.phase.load(Ordering::Acquire) {
            Phase::WAIT if is_alone => Phase::CANCEL,
            Phase::RECORD if is_alone => Phase::FINISH,
            phase => phase,
        }
    }

    fn record(&mut self, file: File) -> io::Result<()> {
        let mut writer = WavWriter::new(file, self.limit_bytes)?;
        let mut piece = [0; PIECE_SAMPLES];
        loop {
            // Asked first: all samples handed over before are then written below.
            let is_over = self.phase() == Phase::FINISH;
            loop {
                let (fresh, _) = self.samples.pop_partial_slice(&mut piece);
                if fresh.is_empty() {
                    break;
                }
                if !writer.has_room_for(fresh.len()) {
                    writer.flush()?;
                    writer = self.next_file()?;
                }
                writer.write(fresh)?;
            }
            writer.flush()?;
            if is_over {
                return Ok(());
            }
            thread::park_timeout(IDLE);
        }
    }

    /// Continues `heard.wav` in `heard-2.wav`. Never touches an existing file.
    fn next_file(&mut self) -> io::Result<WavWriter> {
        loop {
            self.number += 1;
            let path = numbered(&self.first, self.number);
            match WavWriter::open_new(&path) {
                Err(error)
                    if error.kind() == io::ErrorKind::AlreadyExists && self.number < NAMES_MAX => {}
                Err(error) => return Err(error),
                Ok(file) => {
                    self.path = path.clone();
                    let writer = WavWriter::new(file, self.limit_bytes)?;
                    let _ = self.notify.send(RecordingNotice::Continued { path });
                    return Ok(writer);
                }
            }
        }
    }
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = OsString::from(path.file_stem().unwrap_or_default());
    name.push(format!("-{number}"));
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}
