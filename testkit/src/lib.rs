//! What the end-to-end tests and `cargo xtask` share: starting Talkspurt's programs and reading
//! what they say, making speech, giving every client a sound card of its own, and comparing what
//! was heard with what was spoken. It uses no crate of Talkspurt's and needs no system package to
//! build.
//!
//! | module | subject |
//! |---|---|
//! | [`workspace`] | the workspace's directory, its cargo, and where that builds |
//! | [`programs`] | the built binaries, and the command lines that start them |
//! | [`process`] | a running program: its lines and JSON events as they come, its end |
//! | [`fixture`] | a server of one's own, clients with WAV files, its pages |
//! | [`terminal`] | a terminal without a window, and the day it is closed |
//! | [`full_output`] | standard output and error that are full, or that nobody reads |
//! | [`noisy_line`] | a serial line that damages bytes, or loses them |
//! | [`board`] | the boards that QEMU emulates, and how the node's image for them is built |
//! | [`firmware`] | that image running on a board |
//! | [`virtual_audio`] | sound cards without hardware |
//! | [`docker`] | a Docker daemon, base images and the server's image |
//! | [`busy_machine`] | how late this machine's timers were, and runs that this has spoilt |
//! | [`seeds`] | seeds of randomised tests, printed by a failure |
//! | [`wav`] | 16 kHz mono 16-bit WAV files in and out |
//! | [`speech`] | sentences as 16 kHz WAV files |
//! | [`noise`] | sound that is nowhere like itself |
//! | [`recording`] | where a piece of speech is in a recording |
//! | [`heard_speech`] | how much of a talk was heard in order and in time, and what else |
//! | [`heard_mean`] | how much of a recording is the mean of two talkers |
//! | [`bit_exact`] | which stretches were heard bit for bit, or as the mean of two |

#![deny(missing_docs)]

pub mod bit_exact;
pub mod board;
pub mod busy_machine;
pub mod docker;
pub mod firmware;
pub mod fixture;
pub mod full_output;
pub mod heard_mean;
pub mod heard_speech;
pub mod noise;
pub mod noisy_line;
pub mod process;
pub mod programs;
pub mod recording;
pub mod seeds;
pub mod speech;
pub mod terminal;
pub mod virtual_audio;
pub mod wav;
pub mod workspace;
