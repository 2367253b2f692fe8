//! Audio: formats and frames, levels and the gate, the mixer, the jitter buffer, codecs. Knows no
//! packet.

pub mod codec;
pub mod conceal;
pub(crate) mod fade;
pub mod filter;
pub mod format;
pub mod frame;
pub mod gate;
pub mod jitter;
pub mod level;
pub mod mixer;
mod noise;
mod pitch;
pub mod time_compression;
