//! A board in a room, with server, line, bridge and image, and talks with someone at a desktop.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use talkspurt_testkit::board::Board;
use talkspurt_testkit::firmware::{Counts, Firmware, Told};
use talkspurt_testkit::fixture::{SOON, Stage, finish};
use talkspurt_testkit::heard_speech::{Bounds, Hearing, hear_anywhere};
use talkspurt_testkit::noisy_line::NoisyLine;
use talkspurt_testkit::process::Process;
use talkspurt_testkit::programs::bridge;
use talkspurt_testkit::recording::Recording;
use talkspurt_testkit::speech::{sentence, speak};
use talkspurt_testkit::wav::samples;

/// The line's speed, for the bridge; it matters neither to the pseudo-terminals nor to QEMU.
const BAUD: u32 = 115_200;
/// Speech after ADPCM, a gate and a mix on a machine with time to spare. When the board begins to
/// speak is unknown, so its delay is judged by how much it varies.
pub const HEARD: Bounds = Bounds {
    share: 0.9,
    similarity: 0.99,
    gap_ms: 80.0,
    delay_ms: 1_000.0,
    spread_ms: 200.0,
};
/// Between two sentences: longer than the gate's hold.
const PAUSE: usize = samples(900);

/// One scene at a time: a board that starves because of another would prove nothing.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Waits for a turn, which lasts until the returned guard is dropped.
pub fn turn() -> MutexGuard<'static, ()> {
    // A panic ends a turn as well.
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A board that is in the room "lab" as "chip".
pub struct Scene {
    pub stage: Stage,
    pub line: NoisyLine,
    /// Dropped and replaced by tests that kill it.
    pub bridge: Option<Process>,
    pub firmware: Firmware,
    _turn: MutexGuard<'static, ()>,
}

impl Scene {
    /// Starts everything. The microphone hears `says` after joining.
    pub fn start(
        board: Board,
        server_flags: &[&str],
        says: &[i16],
        words: &[&str],
    ) -> Result<Self> {
        let turn = turn();
        let stage = Stage::new(server_flags)?;
        let line = NoisyLine::with_two_ends(1)?;
        let bridge = bridge(&line.path, BAUD, &stage.server.address)?;
        let told = Told {
            room: "lab",
            name: "chip",
            says,
            words,
        };
        let firmware = Firmware::start(board, &line.node_path, &told)?;
        let scene = Self {
            stage,
            line,
            bridge: Some(bridge),
            firmware,
            _turn: turn,
        };
        scene.wait_for(0, "Joined {")?;
        Ok(scene)
    }

    /// Waits for a line of the image's log.
    pub fn wait_for(&self, mark: usize, text: &str) -> Result<()> {
        let line = self.firmware.wait_for(mark, text, SOON).with_context(|| {
            let bridge = self.bridge.as_ref().map(Process::log);
            format!("the bridge said:\n{}", bridge.unwrap_or_default())
        })?;
        println!("{}", line.text);
        Ok(())
    }

    /// Starts a bridge to replace one that is gone.
    pub fn bridge_again(&mut self) -> Result<()> {
        self.line.unlock()?;
        self.bridge = Some(bridge(&self.line.path, BAUD, &self.stage.server.address)?);
        Ok(())
    }

    /// Someone joins, says a sentence and leaves. The image has to hear it, and they have to hear
    /// `chip`, the only sentence that the image repeats all the time.
    pub fn talk(&self, name: &str, speaker: usize, chip: &[i16]) -> Result<()> {
        let said = self.sentence(speaker, 0)?;
        let mut says = vec![0; samples(500)];
        says.extend(&said);
        // Someone who joins in the middle of the image's sentence hears all of the next one.
        says.resize(says.len().max(2 * (chip.len() + PAUSE) + samples(500)), 0);
        let mut visitor = self.stage.join("lab", name, &says, &["--linger", "1"])?;
        finish(&mut visitor, SOON)?;
        for (who, spoken, heard) in [
            ("chip", &said[..], self.firmware.heard()?),
            (name, chip, self.stage.heard("lab", name)?),
        ] {
            let hearing = hearing(spoken, &heard)?;
            HEARD
                .check(&format!("what {who} heard"), &hearing)
                .with_context(|| format!("the image said: {:#?}", self.firmware.log.lines()))?;
        }
        Ok(())
    }

    /// Speaks the `nth` sentence of a speaker.
    pub fn sentence(&self, speaker: usize, nth: usize) -> Result<Vec<i16>> {
        let path = self.stage.path(&format!("sentence-{speaker}-{nth}.wav"));
        speak(&sentence(speaker, nth), &path)
    }

    /// Waits until the image has left by itself; prints its counts and returns them.
    pub fn finish(mut self, within: Duration) -> Result<(Counts, Vec<i16>)> {
        let counts = self.firmware.finish(within)?;
        for line in self.firmware.log.lines().iter().rev().take(3) {
            println!("{}", line.text);
        }
        Ok((counts, self.firmware.heard()?))
    }
}

/// Compares `spoken` with where it fits best in `heard`.
pub fn hearing(spoken: &[i16], heard: &[i16]) -> Result<Hearing> {
    hear_anywhere(spoken, &Recording::new(heard), samples(300)).context("a sentence is speech")
}

/// Repeats `sound`, with pauses, for at least `seconds`.
pub fn repeated(sound: &[i16], seconds: u64) -> Vec<i16> {
    let mut all = Vec::new();
    while all.len() < samples(seconds * 1_000) {
        all.extend(sound);
        all.resize(all.len() + PAUSE, 0);
    }
    all
}
