//! Helpers of this crate's unit tests.

use crate::audio::{Captured, Sink, Source};
use crate::config::{
    JoinConfig,
    flags::{Cli, Command},
};
use clap::Parser as _;
use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};
use talkspurt_core::{
    carrier::stream::ENCODED_MAX,
    endpoint::write_to_stream,
    wire::{
        Nonce, PROTOCOL_VERSION, ParticipantFlags, ParticipantId, Roster, RosterEntry,
        ServerPacket, Welcome,
    },
};

/// A directory that is removed when it is dropped.
pub(crate) struct TempDir(PathBuf);

impl TempDir {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir =
            std::env::temp_dir().join(format!("talkspurt-client-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("the temporary directory takes files");
        Self(dir)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let dir: &Path = &self.0;
        // A directory left behind does no harm, and a failed test should report its own failure.
        let _ = std::fs::remove_dir_all(dir);
    }
}

/// Configures a listener named `ann`, without sound, in the room `kitchen` of a server on this
/// machine.
pub(crate) fn listener_config(port: u16) -> JoinConfig {
    config(&format!("127.0.0.1:{port} --input none --output none"))
}

/// Configures the same listener for a server that is never contacted, with more flags.
pub(crate) fn join_config(flags: &str) -> JoinConfig {
    config(&format!("nowhere {flags}"))
}

fn config(flags: &str) -> JoinConfig {
    let line = format!("talkspurt join --room kitchen --name ann {flags}");
    let cli =
        Cli::try_parse_from(line.split_whitespace()).expect("the flags are those of the manual");
    let Command::Join(flags) = cli.command else {
        unreachable!("the line says join")
    };
    JoinConfig::try_from(*flags).expect("the flags can be used")
}

/// Returns a server's packet as it appears in a stream.
pub(crate) fn stream_of(packet: &ServerPacket<'_>) -> Vec<u8> {
    let mut out = [0; ENCODED_MAX];
    let len = write_to_stream(packet, &mut out).unwrap();
    out[..len].to_vec()
}

/// Names the session that [`welcome`] belongs to.
pub(crate) const NONCE: Nonce = [7; 8];

/// Returns a line of a roster.
pub(crate) fn entry(id: u32, name: &str) -> RosterEntry<'_> {
    RosterEntry::new(ParticipantId(id), ParticipantFlags::default(), name)
}

/// Welcomes the first of `names` as number `id`. The others get the following numbers. The roster,
/// which follows, has the revision 1.
pub(crate) fn welcome(id: u32, names: &[&str]) -> Vec<u8> {
    let welcome = stream_of(&ServerPacket::Welcome(welcome_packet(id, names.len())));
    [welcome, roster(1, id, names)].concat()
}

/// Returns the Welcome alone.
pub(crate) fn welcome_packet(id: u32, participants: usize) -> Welcome {
    Welcome {
        version: PROTOCOL_VERSION,
        nonce: NONCE,
        max_packet: 1_280,
        features: 0,
        resume: None,
        id: ParticipantId(id),
        codec_up: 0,
        codec_down: 0,
        rate_hz: 16_000,
        frame_ms: 20,
        idle_timeout_ms: 15_000,
        revision: 1,
        participants: participants as u32,
    }
}

/// Returns a roster of these, numbered from `id`.
pub(crate) fn roster(revision: u32, id: u32, names: &[&str]) -> Vec<u8> {
    let entries = (id..).zip(names).map(|(id, name)| entry(id, name));
    stream_of(&ServerPacket::Roster(Roster {
        revision,
        first: 0,
        total: names.len() as u32,
        entries: entries.collect(),
    }))
}

/// Returns how often this thread has asked the heap for memory.
pub(crate) fn allocations() -> u64 {
    counting::COUNT.with(std::cell::Cell::get)
}

/// Counts allocations per thread, so that a test can check that the audio callback makes none.
/// `GlobalAlloc` is an unsafe trait; there is no safe way to watch the heap.
#[allow(unsafe_code)]
mod counting {
    use std::{
        alloc::{GlobalAlloc, Layout, System},
        cell::Cell,
    };

    thread_local! {
        pub(super) static COUNT: Cell<u64> = const { Cell::new(0) };
    }

    struct Counting;

    // SAFETY: every call is passed unchanged to the system's allocator; the counter does not
    // allocate.
    unsafe impl GlobalAlloc for Counting {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            // A thread that is being torn down has lost its counter, and runs no callback.
            let _ = COUNT.try_with(|count| count.set(count.get() + 1));
            // SAFETY: the caller keeps the contract of `alloc`.
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
            let _ = COUNT.try_with(|count| count.set(count.get() + 1));
            // SAFETY: the caller keeps the contract of `dealloc`.
            unsafe { System.dealloc(pointer, layout) }
        }
    }

    #[global_allocator]
    static HEAP: Counting = Counting;
}

/// What is written is heard 7 ms later.
pub(crate) struct Late;

impl Sink for Late {
    fn write(&mut self, _frame: &[i16]) {}

    fn delay_ms(&self) -> u32 {
        7
    }
}

/// What is read ended 5 ms ago.
pub(crate) struct Old;

impl Source for Old {
    fn read(&mut self, frame: &mut [i16]) -> Captured {
        frame.fill(1_000);
        Captured::Frame
    }

    fn age(&self) -> Duration {
        Duration::from_millis(5)
    }
}
