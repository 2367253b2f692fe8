//! What the end-to-end tests and `cargo xtask demo` share: starting Talkspurt's programs and reading what they say,
//! making speech, giving every client a sound card of its own, and comparing what was heard with what was spoken.
//!
//! | module | subject |
//! |---|---|
//! | [`programs`] | the built binaries, and the command lines that start them |
//! | [`process`] | a running program: its lines and JSON events as they come, its end |
//! | [`speech`] | sentences as 16 kHz WAV files |
//! | [`wav`] | 16 kHz mono 16-bit WAV files in and out |
//! | [`analysis`] | where a piece of speech is in a recording |
//! | [`hearing`] | how much of a talk was heard in order and in time, and what was heard besides |
//! | [`lateness`] | how late this machine's timers were, and runs that this has spoilt |
//! | [`mean`] | how much of a recording is the mean of two talkers |
//! | [`exact`] | which stretches were heard bit for bit, or as the mean of two |
//! | [`noise`] | sound that is nowhere like itself |
//! | [`stage`] | a server of one's own, clients with WAV files, its pages |
//! | [`streams`] | standard output and error that are full, or that nobody reads |
//! | [`terminal`] | a terminal without a window, and the day it is closed |
//! | [`noisy_line`] | a serial line that damages bytes, or loses them |
//! | [`firmware`] | the node's image on a board that QEMU emulates |
//! | [`seeds`] | seeds of randomised tests, printed by a failure |
//! | [`virtual_audio`] | sound cards without hardware |
//! | [`docker`] | a Docker daemon, base images and the server's image |

pub mod analysis;
pub mod docker;
pub mod exact;
pub mod firmware;
pub mod hearing;
pub mod lateness;
pub mod mean;
pub mod noise;
pub mod noisy_line;
pub mod process;
pub mod programs;
pub mod seeds;
pub mod speech;
pub mod stage;
pub mod streams;
pub mod terminal;
pub mod virtual_audio;
pub mod wav;
