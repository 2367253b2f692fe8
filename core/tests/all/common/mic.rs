//! An uplink that is fed marked frames, and the voice packets it sends.

use talkspurt_core::audio::codec::{AnyCodec, PAYLOAD_MAX};
use talkspurt_core::voice::uplink::{Uplink, UplinkConfig};

pub struct Mic {
    pub uplink: Uplink,
    frame_samples: usize,
    is_pcm16: bool,
}

/// A voice packet that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    pub seq: u16,
    pub timestamp: u32,
    pub level: u8,
    pub terminator: bool,
    /// The mark of the frame in it; `None` if the payload is empty or not PCM16.
    pub mark: Option<i16>,
    pub payload: Vec<u8>,
}

impl Mic {
    pub fn new(config: UplinkConfig) -> Self {
        Self {
            uplink: Uplink::new(config).unwrap(),
            frame_samples: config.format.frame_samples(),
            is_pcm16: matches!(config.codec, AnyCodec::Pcm16(_)),
        }
    }

    /// Pushes a frame (only its first samples if frames are shorter) and returns what was sent
    /// then.
    pub fn capture(&mut self, frame: &[i16]) -> Vec<Sent> {
        self.uplink.push(&frame[..self.frame_samples]);
        self.poll_all()
    }

    pub fn poll_all(&mut self) -> Vec<Sent> {
        let mut sent = Vec::new();
        let mut payload = [0; PAYLOAD_MAX];
        while let Some(voice) = self.uplink.poll_voice(&mut payload) {
            sent.push(Sent {
                seq: voice.seq.0,
                timestamp: voice.timestamp.0,
                level: voice.level,
                terminator: voice.terminator,
                mark: match voice.payload {
                    [low, high, ..] if self.is_pcm16 => Some(i16::from_le_bytes([*low, *high])),
                    _ => None,
                },
                payload: voice.payload.to_vec(),
            });
        }
        sent
    }
}

/// A frame below the close threshold (RMS 100) whose first sample is `mark` (up to 1,000).
pub fn quiet(mark: i16) -> Vec<i16> {
    marked(mark, 100)
}

/// A frame between the thresholds (RMS 1,000) whose first sample is `mark`: it does not open the
/// gate, and belongs to the word that does.
pub fn soft(mark: i16) -> Vec<i16> {
    marked(mark, 1_000)
}

/// A frame above the open threshold whose first sample is `mark`.
pub fn word(mark: i16) -> Vec<i16> {
    marked(mark, 8_000)
}

fn marked(mark: i16, level: i16) -> Vec<i16> {
    // The highest frequency there is, so that the gate's high-pass removes nothing of it.
    let mut frame = [level, -level].repeat(160);
    frame[0] = mark;
    frame
}
