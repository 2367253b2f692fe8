//! One tick's mixing: the talkers' frames go in, each listener's encoded packet comes out.
//!
//! One [`Mixdown`] serves all rooms in turn, so that a room costs no mixing buffers and a tick
//! allocates nothing but its packets. Listeners who do not talk and whose mixes have the same state
//! and codec get one rendering and one encoding.

use std::sync::Arc;

use talkspurt_core::audio::codec::{AnyCodec, Codec, CodecId, PAYLOAD_MAX};
use talkspurt_core::audio::format::AudioFormat;
use talkspurt_core::audio::frame::Frame;
use talkspurt_core::audio::level;
use talkspurt_core::audio::mixer::{
    Contribution, MixRule, MixState, Part, TalkerState, Talkers, render,
};
use talkspurt_core::voice::downlink::Playout;

use crate::encodings::{SharedEncoders, Stamp, encode_voice};
use crate::outbox::SharedPacket;

/// Buffers for the mixing of one room at a time.
#[derive(Debug)]
pub struct Mixdown {
    rule: MixRule,
    frame_samples: usize,
    /// The frames of those heard in this tick come first; what lies behind is kept for the next.
    frames: Vec<Frame>,
    heard: usize,
    /// The level of each of them, as its packet said.
    levels: Vec<u8>,
    /// How many of them go on after this tick.
    going_on: usize,
    talkers: Box<Talkers>,
    shared: Vec<SharedMix>,
    mix: Frame,
    /// Mixes rendered and encoded so far.
    pub encodings: u64,
}

/// What one participant adds to a tick's mix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Own {
    part: Part,
    frame: Option<HeardFrame>,
}

impl Own {
    /// Whether it is part of the mean that others hear.
    pub const fn counts(&self) -> bool {
        matches!(self.part, Part::Staying | Part::Starting | Part::Ending)
    }
}

/// A talker's frame in this tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct HeardFrame {
    index: usize,
    last: bool,
}

/// Mix state of one listener.
#[derive(Clone, Debug)]
pub struct Listener {
    state: MixState,
    /// The codec of what the listener gets.
    pub codec: CodecId,
    /// Encodes the listener's own mix, once there was one: that without their voice, which nobody
    /// shares.
    own_mix: Option<AnyCodec>,
    /// A talkspurt of the mix is running: a terminator is owed.
    pub(crate) streaming: bool,
}

#[derive(Debug)]
struct SharedMix {
    codec: CodecId,
    before: MixState,
    after: MixState,
    packet: SharedPacket,
}

impl Listener {
    /// A listener who has heard nothing yet.
    pub fn new(codec: CodecId) -> Self {
        Self {
            state: MixState::new(),
            codec,
            own_mix: None,
            streaming: false,
        }
    }
}

impl Mixdown {
    /// For rooms of that format.
    pub fn new(rule: MixRule, format: AudioFormat) -> Self {
        let frame_samples = format.frame_samples();
        Self {
            rule,
            frame_samples,
            frames: Vec::new(),
            heard: 0,
            levels: Vec::new(),
            going_on: 0,
            talkers: Box::new(Talkers::new(format.rate, frame_samples)),
            shared: Vec::new(),
            mix: Frame::silence(frame_samples),
            encodings: 0,
        }
    }

    /// Forgets the last tick.
    pub fn begin(&mut self) {
        self.heard = 0;
        self.levels.clear();
        self.going_on = 0;
        self.talkers.clear();
        self.shared.clear();
    }

    /// Adds a talker, whose frame `pop` writes, and whose level it returns. Returns `None` if the
    /// talker has none in this tick, nor had one in the last.
    pub fn add(
        &mut self,
        state: &mut TalkerState,
        pop: impl FnOnce(&mut Frame) -> (Playout, u8),
    ) -> Option<Own> {
        let index = self.heard;
        if index == self.frames.len() {
            self.frames.push(Frame::silence(self.frame_samples));
        }
        let frame = &mut self.frames[index];
        let (playout, level) = pop(frame);
        let last = match playout {
            Playout::Silence => return self.add_nothing(state),
            Playout::Frame { terminator } => terminator,
            Playout::Faded => true,
            // A talkspurt that breaks off without a terminator ends where no more of it is
            // concealed.
            Playout::Concealed => false,
        };
        let part = state.frame(frame, level, last);
        self.talkers.add(part, frame);
        self.heard += 1;
        self.levels.push(level);
        self.going_on += usize::from(!last);
        let frame = Some(HeardFrame { index, last });
        Some(Own { part, frame })
    }

    /// Takes note that someone has no frame in this tick.
    pub fn add_nothing(&mut self, state: &mut TalkerState) -> Option<Own> {
        let part = state.no_frame()?;
        self.talkers.add(part, &[]);
        Some(Own { part, frame: None })
    }

    /// Makes the packet that a listener is to get in the tick of `stamp`, if any; `own` is what was
    /// added for the listener.
    pub fn packet_for(
        &mut self,
        listener: &mut Listener,
        own: Option<Own>,
        shared_encoders: &mut SharedEncoders,
        stamp: Stamp,
    ) -> Option<SharedPacket> {
        let own_frame = own.and_then(|own| own.frame);
        let others = self.heard - usize::from(own_frame.is_some());
        if others == 0 {
            listener.state = MixState::new();
            return std::mem::take(&mut listener.streaming)
                .then(|| encode_voice(stamp, level::SILENCE, true, &[]));
        }
        let others_going_on =
            self.going_on - usize::from(own_frame.is_some_and(|frame| !frame.last));
        let terminator = others_going_on == 0;
        listener.streaming = !terminator;
        let packet = match own {
            Some(_) => {
                let encoder = listener.own_mix.get_or_insert(listener.codec.into());
                self.packet(own, &mut listener.state, encoder, stamp, terminator)
            }
            None => self.shared_packet(listener, shared_encoders, stamp, terminator),
        };
        if terminator {
            // A silent room has no tick in which the limiter could recover.
            listener.state = MixState::new();
        }
        Some(packet)
    }

    /// Mixes for one whose own part is `own`.
    fn packet(
        &mut self,
        own: Option<Own>,
        state: &mut MixState,
        encoder: &mut AnyCodec,
        stamp: Stamp,
        terminator: bool,
    ) -> SharedPacket {
        let own_index = own.and_then(|own| own.frame).map(|frame| frame.index);
        let heard = self.levels.iter().enumerate();
        let others = heard.filter(|(index, _)| Some(*index) != own_index);
        let loudest = others.map(|(_, level)| *level).min();
        let own = own.map(|Own { part, frame }| Contribution {
            part,
            samples: frame.map_or(&[], |frame| &self.frames[frame.index]),
        });
        render(&self.talkers, own, self.rule, state, &mut self.mix);
        self.encodings += 1;
        let level = loudest.unwrap_or(level::SILENCE);
        let mut payload = [0; PAYLOAD_MAX];
        let len = encoder
            .encode(&self.mix, &mut payload)
            .expect("a frame of a session fits its payload");
        encode_voice(stamp, level, terminator, &payload[..len])
    }

    fn shared_packet(
        &mut self,
        listener: &mut Listener,
        encoders: &mut SharedEncoders,
        stamp: Stamp,
        terminator: bool,
    ) -> SharedPacket {
        let (codec, before) = (listener.codec, listener.state);
        let is_same = |mix: &&SharedMix| mix.codec == codec && mix.before == before;
        if let Some(same) = self.shared.iter().find(is_same) {
            listener.state = same.after;
            return Arc::clone(&same.packet);
        }
        let (state, encoder) = (&mut listener.state, &mut encoders[usize::from(codec.id())]);
        let packet = self.packet(None, state, encoder, stamp, terminator);
        self.shared.push(SharedMix {
            codec,
            before,
            after: listener.state,
            packet: Arc::clone(&packet),
        });
        packet
    }
}

#[cfg(test)]
mod tests;
