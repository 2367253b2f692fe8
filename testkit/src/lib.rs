//! What the end-to-end tests and `cargo xtask` share: starting Talkspurt's programs and reading
//! their output, making speech, giving every client a sound card of its own, and comparing what was
//! heard with what was spoken. It uses none of Talkspurt's crates and needs no system package to
//! build.
//!
//! | module | subject |
//! |---|---|
//! | [`workspace`] | the workspace's directory, its cargo, and its build directory |
//! | [`programs`] | the built binaries, and the command lines that start them |
//! | [`process`] | a running program: its lines and JSON events as they arrive, its end |
//! | [`fixture`] | a server, its pages, and clients with WAV files |
//! | [`terminal`] | a terminal without a window, which can be closed |
//! | [`full_output`] | standard output and error that are full or never read |
//! | [`noisy_line`] | a serial line that damages bytes, or loses them |
//! | [`board`] | the boards that QEMU emulates, and how to build the node's image for them |
//! | [`firmware`] | that image running on a board |
//! | [`virtual_audio`] | sound cards without hardware |
//! | [`docker`] | a Docker daemon, base images and the server's image |
//! | [`busy_machine`] | how late this machine's timers were, and repeating runs that this spoilt |
//! | [`seeds`] | seeds of randomised tests, printed on failure |
//! | [`wav`] | 16 kHz mono 16-bit WAV files in and out |
//! | [`speech`] | sentences as 16 kHz WAV files |
//! | [`noise`] | sound that never resembles itself |
//! | [`recording`] | where a piece of speech is found in a recording |
//! | [`heard_speech`] | how much of a talk was heard in order and in time, and what besides |
//! | [`heard_mean`] | how much of a recording is the mean of two talkers |
//! | [`bit_exact`] | which stretches were heard bit for bit, or as the mean of two talkers |

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
