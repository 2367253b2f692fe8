//! A participant's programs: a desktop client, a node with its bridge, or a board in QEMU with its
//! line and its bridge.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use talkspurt_testkit::board::Board;
use talkspurt_testkit::firmware::{Counts, Firmware, Told};
use talkspurt_testkit::noisy_line::NoisyLine;
use talkspurt_testkit::process::Process;
use talkspurt_testkit::programs::{Node, START_LIMIT, Server, bridge, client};
use talkspurt_testkit::wav;

use super::plan::{Kind, Participant};

/// The serial line's speed: what every microcontroller's UART does.
const BAUD: u32 = 115_200;
/// How long after its last word a participant stays.
const LINGER_SECS: u64 = 1;
/// How much longer than planned a program may take to leave.
const LEAVE_LIMIT: Duration = Duration::from_secs(15);

/// What one participant experienced.
pub struct Experience {
    pub participant: Participant,
    /// When it was told that it had joined: the first sample of what it heard, and of what it said.
    pub joined_at: Instant,
    /// What came out of its speaker.
    pub heard: Vec<i16>,
    /// Frames that its microphone gave, and those that were sent.
    pub captured: u64,
    pub sent: u64,
    /// All counts of a firmware image.
    pub report: Option<Counts>,
}

/// A participant whose programs run.
pub struct Actor {
    participant: Participant,
    program: Program,
    heard: PathBuf,
    /// What ends with it.
    _ends: (Option<Process>, Option<NoisyLine>),
    shown: usize,
}

enum Program {
    /// It prints events as JSON.
    Host(Process),
    Board(Firmware),
}

/// How the names of files end that say what was heard.
pub const HEARD: &str = "-heard.wav";

/// The file of what a participant says, in the demo's directory.
pub fn spoken_path(directory: &Path, Participant { room, name, .. }: &Participant) -> PathBuf {
    directory.join(format!("{room}-{name}-spoken.wav"))
}

/// The file of what a participant hears.
pub fn heard_path(directory: &Path, Participant { room, name, .. }: &Participant) -> PathBuf {
    directory.join(format!("{room}-{name}{HEARD}"))
}

impl Actor {
    /// Starts a participant's programs; what it says is in its file.
    pub fn start(participant: &Participant, directory: &Path, server: &Server) -> Result<Self> {
        if let Kind::Firmware(board) = participant.kind {
            return Self::start_board(board, participant, directory, server);
        }
        let spoken = spoken_path(directory, participant).display().to_string();
        let heard = heard_path(directory, participant);
        let (output, linger) = (heard.display().to_string(), LINGER_SECS.to_string());
        let files = ["--input", &spoken, "--output", &output, "--linger", &linger];
        let Participant { room, name, .. } = participant;
        let (process, bridge) = if let Kind::Desktop(codec) = participant.kind {
            let flags = [&files[..], &["--codec", codec]].concat();
            (client(&server.address, room, name, &flags)?, None)
        } else {
            let node = Node::start(room, name, BAUD, &files)?;
            let bridge = bridge(&node.serial, BAUD, &server.address)?;
            (node.process, Some(bridge))
        };
        let program = Program::Host(process);
        Ok(Self {
            participant: *participant,
            program,
            heard,
            _ends: (bridge, None),
            shown: 0,
        })
    }

    fn start_board(
        board: Board,
        participant: &Participant,
        directory: &Path,
        server: &Server,
    ) -> Result<Self> {
        let line = NoisyLine::with_two_ends(0)?;
        // First: a board that calls in vain waits before it calls again, and would begin later than
        // the others.
        let bridge = bridge(&line.path, BAUD, &server.address)?;
        let linger = format!("linger_ms={}", LINGER_SECS * 1_000);
        let told = Told {
            room: participant.room,
            name: participant.name,
            says: &wav::read(&spoken_path(directory, participant))?,
            words: &[&linger],
        };
        let firmware = Firmware::start(board, &line.node_path, &told)?;
        Ok(Self {
            participant: *participant,
            program: Program::Board(firmware),
            heard: heard_path(directory, participant),
            _ends: (Some(bridge), Some(line)),
            shown: 0,
        })
    }

    /// Waits until it is in its room.
    pub fn joined_at(&self) -> Result<Instant> {
        match &self.program {
            Program::Host(process) => Ok(process.wait_for_event("joined", START_LIMIT)?.at),
            Program::Board(board) => Ok(board.wait_for(0, "Joined {", START_LIMIT)?.at),
        }
    }

    /// An error, with what it said, where it is there no more.
    pub fn check(&self) -> Result<()> {
        let (process, log) = match &self.program {
            Program::Host(process) => (process, process.log()),
            Program::Board(board) => (&board.emulator, board.emulator.log()),
        };
        let name = self.participant.name;
        anyhow::ensure!(process.is_running()?, "{name} left before its time:\n{log}");
        Ok(())
    }

    /// What a board has logged since the last question.
    pub fn new_log_lines(&mut self) -> Vec<String> {
        let Program::Board(board) = &self.program else {
            return Vec::new();
        };
        let lines = board.log.lines().into_iter().map(|line| line.text);
        let new: Vec<String> = lines.skip(self.shown).collect();
        self.shown += new.len();
        new
    }

    /// Waits until it has left.
    pub fn finish(&mut self) -> Result<Experience> {
        let joined_at = self.joined_at()?;
        let participant = self.participant;
        let (captured, sent, report) = match &mut self.program {
            Program::Host(process) => {
                process.wait_for_success(LEAVE_LIMIT)?;
                let left = process
                    .events()
                    .into_iter()
                    .rfind(|event| event.kind == "left");
                let name = participant.name;
                let left =
                    left.with_context(|| format!("{name} ended without a \"left\" event"))?;
                (left.frames("captured")?, left.frames("sent")?, None)
            }
            Program::Board(board) => {
                let counts = board.finish(LEAVE_LIMIT)?;
                wav::write(&self.heard, &board.heard()?)?;
                (counts.get("captured")?, counts.get("sent")?, Some(counts))
            }
        };
        Ok(Experience {
            participant,
            joined_at,
            heard: wav::read(&self.heard)?,
            captured,
            sent,
            report,
        })
    }
}
