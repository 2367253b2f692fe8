//! The Talkspurt node on a Raspberry Pi Pico: the loop of `talkspurt-node`, unchanged, connected to
//! an RP2040.
//!
//! This library is the part that needs no hardware, so that it can be tested on the host. The
//! program `pico` (`main.rs`) is the part that knows the chip. docs/FIRMWARE.md has the pins, and
//! explains how to build and flash it.
//!
//! ```text
//! ADC -> DMA -> interrupt: samples::FromAdc -> queue -> sound::Microphone -> loop
//! PWM <- DMA <- interrupt: samples::ToPwm   <- queue <- sound::Speaker    <- loop
//! UART FIFO <-> interrupt: uart::Isr <-> queues <-> uart::QueuedUart      <-> loop
//! ```
//!
//! The UART's queues are from `talkspurt-node-driver`. Each queue is a `heapless::spsc::Queue`: one
//! side fills it, the other empties it, and neither ever locks. It needs only plain loads and
//! stores, which is all that a Cortex-M0+ has.
#![cfg_attr(not(test), no_std)]
#![deny(missing_docs)]

pub mod config;
pub mod samples;
pub mod sound;

#[cfg(test)]
mod tests;
