//! The Talkspurt node as a firmware image: the loop of `talkspurt-node`, unchanged, on boards that
//! QEMU emulates.
//!
//! | module | subject |
//! |---|---|
//! | [`board`] | the differences between boards, and the board of this build |
//! | [`uart`] | the UARTs of both boards, and their interrupt |
//! | [`clock`] | microseconds since power-up, from SysTick |
//! | [`files`] | a microphone and a speaker that are files on the debugging host |
//! | [`arguments`] | room, name and files, from the semihosting command line |
//! | [`app`] | connects them to the loop, and sleeps when it has nothing to do |
//! | [`deadline`] | counts late frames, and resets a loop that hangs |
//! | [`stack`] | the deepest stack so far |
//! | [`log`] | the log, or nothing in its place |
#![no_std]
#![deny(missing_docs)]

pub mod app;
pub mod arguments;
pub mod board;
pub mod clock;
pub mod deadline;
pub mod files;
pub mod log;
pub mod stack;
pub mod uart;
