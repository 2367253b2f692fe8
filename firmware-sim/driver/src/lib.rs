//! What a board implements to be a Talkspurt node. `no_std`, no allocation.
//!
//! The node's loop (`talkspurt-node`) runs on a [`Board`], which has three parts:
//!
//! | part | trait | what implements it |
//! |---|---|---|
//! | serial port | [`SerialPort`] | [`uart::QueuedUart`], or a HAL's buffered UART |
//! | microphone | [`SampleSource`] | your I2S or ADC driver |
//! | speaker | [`SampleSink`] | your I2S, DAC or PWM driver |
//!
//! No call may block. Time is an argument: an [`Instant`], in microseconds since power-up.
//!
//! # Example
//! A board whose converters run by DMA. The interrupt that ends a block raises a flag, and the loop
//! moves a frame.
//!
//! ```
//! use core::sync::atomic::{AtomicBool, Ordering};
//! use talkspurt_node_driver::uart::{Hardware, InterruptLine, Queues};
//! use talkspurt_node_driver::{AudioFormat, Board, Instant, SampleSink, SampleSource};
//!
//! /// Set by the DMA's interrupt handlers.
//! static RECORDED: AtomicBool = AtomicBool::new(false);
//! static PLAYED: AtomicBool = AtomicBool::new(true);
//!
//! struct Microphone([i16; 320]);
//!
//! impl SampleSource for Microphone {
//!     fn start(&mut self, _now: Instant, format: AudioFormat) {
//!         assert_eq!(format.frame_samples(), self.0.len(), "this board has one format");
//!     }
//!
//!     fn capture(&mut self, _now: Instant, frame: &mut [i16]) -> bool {
//!         let recorded = RECORDED.load(Ordering::Acquire);
//!         if recorded {
//!             frame.copy_from_slice(&self.0);
//!             RECORDED.store(false, Ordering::Release);
//!         }
//!         recorded
//!     }
//! }
//!
//! struct Speaker([i16; 320]);
//!
//! impl SampleSink for Speaker {
//!     fn start(&mut self, _now: Instant, _format: AudioFormat) {}
//!
//!     fn is_ready(&mut self, _now: Instant) -> bool {
//!         PLAYED.load(Ordering::Acquire)
//!     }
//!
//!     fn play(&mut self, frame: &[i16]) {
//!         self.0.copy_from_slice(frame);
//!         PLAYED.store(false, Ordering::Release);
//!     }
//! }
//!
//! /// The UART's registers: here, a wire from its output to its input.
//! struct Loopback(Option<u8>);
//!
//! impl Hardware for Loopback {
//!     fn receive(&mut self) -> Option<u8> {
//!         self.0.take()
//!     }
//!
//!     fn has_room(&mut self) -> bool {
//!         self.0.is_none()
//!     }
//!
//!     fn send(&mut self, byte: u8) {
//!         self.0 = Some(byte);
//!     }
//!
//!     fn interrupt_on_room(&mut self, _on: bool) {}
//! }
//!
//! /// The UART's interrupt: on a Cortex-M, `NVIC::pend` of its number.
//! struct UartInterrupt;
//!
//! impl InterruptLine for UartInterrupt {
//!     fn pend(&self) {}
//! }
//!
//! // On a board, the queues are a `static`, and `isr` moves to the interrupt handler.
//! let mut queues: Queues = Queues::new();
//! let (port, mut isr) = queues.split(Loopback(None), UartInterrupt);
//! let mut board = Board {
//!     port,
//!     microphone: Microphone([0; 320]),
//!     speaker: Speaker([0; 320]),
//! };
//!
//! // `talkspurt_node::node::Node::poll` takes `&mut board`. Its port is like any other:
//! use embedded_io::{Read, ReadReady, Write};
//! board.port.write(b"z")?;
//! isr.serve(); // One interrupt sends the byte,
//! isr.serve(); // and the next one receives it.
//! let mut byte = [0];
//! assert_eq!((board.port.read_ready()?, board.port.read(&mut byte)?, &byte), (true, 1, b"z"));
//! # Ok::<(), core::convert::Infallible>(())
//! ```

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod samples;
pub mod uart;

use embedded_io::{Read, ReadReady, Write, WriteReady};

pub use samples::{SampleSink, SampleSource};
pub use talkspurt_core::audio::format::AudioFormat;
pub use talkspurt_core::time::Instant;

/// The hardware that the loop runs on.
#[derive(Clone, Debug)]
pub struct Board<P, M, S> {
    /// The serial line to the bridge.
    pub port: P,
    /// Source of samples.
    pub microphone: M,
    /// Destination of samples.
    pub speaker: S,
}

/// A serial port that says whether it is ready. Every type with the four traits is one.
///
/// The loop asks [`ReadReady`] before it reads and [`WriteReady`] before it writes, so no call
/// blocks; it never flushes. An overrun or a framing error is reported once, and the next call
/// continues.
pub trait SerialPort: Read + ReadReady + Write + WriteReady {}

impl<P: Read + ReadReady + Write + WriteReady> SerialPort for P {}
