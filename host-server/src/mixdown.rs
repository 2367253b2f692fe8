//! One tick's mixing: the talkers' frames go in, each listener's encoded packet comes out.
//!
//! One [`Mixdown`] serves all rooms in turn, so that a room costs no mixing buffers and a tick allocates nothing but its packets.
//! Listeners who do not talk and whose mixes have the same state and codec get one rendering and one encoding.

use std::rc::Rc;

use talkspurt_core::codec::{Codec, Encoder, PAYLOAD_MAX};
use talkspurt_core::downlink::Playout;
use talkspurt_core::frame::Frame;
use talkspurt_core::mixer::{Accumulator, MixRule, MixState, render};
use talkspurt_core::seq::Seq;
use talkspurt_core::wire::{ENCODED_MAX, ServerPacket, Voice, emit};

use crate::outbox::Encoded;

/// Buffers for the mixing of one room at a time.
#[derive(Debug)]
pub struct Mixdown {
    rule: MixRule,
    frame_samples: usize,
    /// The frames of those heard in this tick come first; what lies behind is kept for the next.
    frames: Vec<Frame>,
    heard: usize,
    /// How many of them go on after this tick.
    going_on: usize,
    sum: Box<Accumulator>,
    shared: Vec<SharedMix>,
    mix: Frame,
    encodings: u64,
}

/// A talker's frame in this tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeardFrame {
    index: usize,
    last: bool,
}

/// What one listener's mix remembers from tick to tick.
#[derive(Clone, Debug)]
pub struct Listener {
    state: MixState,
    /// For mixes that nobody shares.
    encoder: Encoder,
    /// A talkspurt of his mix is running: a terminator is owed.
    streaming: bool,
}

/// The encoders of a room for the mixes that are shared.
#[derive(Clone, Debug)]
pub struct SharedEncoders([Encoder; Codec::ALL.len()]);

#[derive(Debug)]
struct SharedMix {
    codec: Codec,
    before: MixState,
    after: MixState,
    packet: Encoded,
}

impl Listener {
    /// One who has heard nothing yet.
    pub fn new(codec: Codec) -> Self {
        Self {
            state: MixState::new(),
            encoder: Encoder::new(codec),
            streaming: false,
        }
    }

    /// Whether a terminator is owed to him.
    pub fn is_streaming(&self) -> bool {
        self.streaming
    }

    /// The codec that he hears.
    pub fn codec(&self) -> Codec {
        self.encoder.codec()
    }
}

impl Default for SharedEncoders {
    fn default() -> Self {
        Self(Codec::ALL.map(Encoder::new))
    }
}

impl SharedEncoders {
    fn of(&mut self, codec: Codec) -> &mut Encoder {
        &mut self.0[usize::from(codec.id())]
    }
}

impl Mixdown {
    /// For rooms whose frames have `frame_samples` samples.
    pub fn new(rule: MixRule, frame_samples: usize) -> Self {
        Self {
            rule,
            frame_samples,
            frames: Vec::new(),
            heard: 0,
            going_on: 0,
            sum: Box::new(Accumulator::new(frame_samples)),
            shared: Vec::new(),
            mix: Frame::silence(frame_samples),
            encodings: 0,
        }
    }

    /// Forgets the last tick.
    pub fn begin(&mut self) {
        self.heard = 0;
        self.going_on = 0;
        self.sum.clear();
        self.shared.clear();
    }

    /// Adds a talker, whose frame `pop` writes; `None` if he has none in this tick.
    pub fn add(&mut self, pop: impl FnOnce(&mut Frame) -> Playout) -> Option<HeardFrame> {
        let index = self.heard;
        if index == self.frames.len() {
            self.frames.push(Frame::silence(self.frame_samples));
        }
        let frame = &mut self.frames[index];
        let last = match pop(frame) {
            Playout::Silence => return None,
            Playout::Frame { terminator } => terminator,
            Playout::Concealed => false,
        };
        self.sum.add(frame);
        self.heard += 1;
        self.going_on += usize::from(!last);
        Some(HeardFrame { index, last })
    }

    /// The samples of a talker added in this tick.
    pub fn samples(&self, frame: HeardFrame) -> &[i16] {
        &self.frames[frame.index]
    }

    /// Makes the packet that a listener is to get in tick number `tick`, if any; `own` is his own frame, if he is heard himself.
    pub fn packet_for(
        &mut self,
        listener: &mut Listener,
        own: Option<HeardFrame>,
        shared_encoders: &mut SharedEncoders,
        tick: u32,
    ) -> Option<Encoded> {
        let others = self.heard - usize::from(own.is_some());
        if others == 0 {
            listener.state = MixState::new();
            return std::mem::take(&mut listener.streaming).then(|| encode_voice(tick, true, &[]));
        }
        let others_going_on = self.going_on - usize::from(own.is_some_and(|own| !own.last));
        let terminator = others_going_on == 0;
        listener.streaming = !terminator;
        match own {
            Some(own) => {
                let own = &self.frames[own.index];
                render(
                    &self.sum,
                    Some(own),
                    self.rule,
                    &mut listener.state,
                    &mut self.mix,
                );
                self.encodings += 1;
                Some(encode_mix(
                    &self.mix,
                    &mut listener.encoder,
                    tick,
                    terminator,
                ))
            }
            None => Some(self.shared_packet(listener, shared_encoders, tick, terminator)),
        }
    }

    /// Mixes rendered and encoded so far.
    pub fn encodings(&self) -> u64 {
        self.encodings
    }

    fn shared_packet(
        &mut self,
        listener: &mut Listener,
        encoders: &mut SharedEncoders,
        tick: u32,
        terminator: bool,
    ) -> Encoded {
        let (codec, before) = (listener.codec(), listener.state);
        if let Some(same) = self
            .shared
            .iter()
            .find(|mix| mix.codec == codec && mix.before == before)
        {
            listener.state = same.after;
            return Rc::clone(&same.packet);
        }
        render(
            &self.sum,
            None,
            self.rule,
            &mut listener.state,
            &mut self.mix,
        );
        self.encodings += 1;
        let packet = encode_mix(&self.mix, encoders.of(codec), tick, terminator);
        self.shared.push(SharedMix {
            codec,
            before,
            after: listener.state,
            packet: Rc::clone(&packet),
        });
        packet
    }
}

fn encode_mix(mix: &Frame, encoder: &mut Encoder, tick: u32, terminator: bool) -> Encoded {
    let mut payload = [0; PAYLOAD_MAX];
    let len = encoder
        .encode(mix, &mut payload)
        .expect("a frame of a session fits its payload");
    encode_voice(tick, terminator, &payload[..len])
}

/// The tick numbers both the packet and its frame period: contiguous within a talkspurt, and the same for all who hear it.
fn encode_voice(tick: u32, terminator: bool, payload: &[u8]) -> Encoded {
    encode(&ServerPacket::Voice(Voice {
        seq: Seq(tick as u16),
        timestamp_frames: tick,
        terminator,
        payload,
    }))
}

/// A packet as it stands in a stream.
pub fn encode(packet: &ServerPacket<'_>) -> Encoded {
    let mut bytes = [0; ENCODED_MAX];
    let len = emit(packet, &mut bytes).expect("every packet of a server fits ENCODED_MAX");
    Rc::from(&bytes[..len])
}

#[cfg(test)]
mod tests {
    use super::*;
    use talkspurt_core::deframer::{Deframer, Feed};
    use talkspurt_core::wire::parse;

    const SAMPLES: usize = 320;

    fn talker(value: i16, last: bool) -> impl FnOnce(&mut Frame) -> Playout {
        move |frame| {
            frame.fill(value);
            Playout::Frame { terminator: last }
        }
    }

    /// Tick number, terminator, and the samples of a PCM16 packet.
    fn decoded(packet: &Encoded) -> (u32, bool, Vec<i16>) {
        let mut deframer = Deframer::<ENCODED_MAX>::new();
        let (Feed::Packet(bytes), _) = deframer.feed(packet) else {
            panic!("no packet")
        };
        let ServerPacket::Voice(voice) = parse(bytes).unwrap() else {
            panic!("no voice")
        };
        assert_eq!(u32::from(voice.seq.0), voice.timestamp_frames & 0xffff);
        let mut samples = vec![0; voice.payload.len() / 2];
        Codec::Pcm16.decode(voice.payload, &mut samples).unwrap();
        (voice.timestamp_frames, voice.terminator, samples)
    }

    fn desk() -> (Mixdown, SharedEncoders) {
        let mut mixdown = Mixdown::new(MixRule::Mean, SAMPLES);
        mixdown.begin();
        (mixdown, SharedEncoders::default())
    }

    #[test]
    fn each_hears_the_mean_of_the_others() {
        let (mut mixdown, mut shared) = desk();
        let own: Vec<_> = [300, 500, 1_000]
            .map(|value| mixdown.add(talker(value, false)))
            .into();
        let heard = [750, 650, 400].map(|mean| vec![mean; SAMPLES]);
        for (own, heard) in own.into_iter().zip(heard) {
            let packet = mixdown
                .packet_for(&mut Listener::new(Codec::Pcm16), own, &mut shared, 7)
                .unwrap();
            assert_eq!(decoded(&packet), (7, false, heard));
        }
    }

    #[test]
    fn silent_listeners_share_one_encoding_a_codec() {
        let (mut mixdown, mut shared) = desk();
        mixdown.add(talker(300, false));
        mixdown.add(talker(500, false));
        let mut listeners = [Codec::Pcm16, Codec::ImaAdpcm]
            .repeat(10)
            .into_iter()
            .map(Listener::new)
            .collect::<Vec<_>>();
        let packets: Vec<_> = listeners
            .iter_mut()
            .map(|l| mixdown.packet_for(l, None, &mut shared, 1).unwrap())
            .collect();
        assert_eq!(mixdown.encodings(), 2);
        assert!(
            packets
                .iter()
                .skip(2)
                .step_by(2)
                .all(|packet| Rc::ptr_eq(packet, &packets[0]))
        );
        assert!(listeners.iter().all(|l| l.state == listeners[0].state));
    }

    #[test]
    fn a_newcomer_whose_mix_has_another_past_gets_his_own_once() {
        let (mut mixdown, mut shared) = desk();
        let mut old = Listener::new(Codec::Pcm16);
        mixdown.add(talker(300, false));
        mixdown.packet_for(&mut old, None, &mut shared, 1).unwrap();
        let mut new = Listener::new(Codec::Pcm16);
        for (tick, encodings) in [(2, 3), (3, 4)] {
            mixdown.begin();
            mixdown.add(talker(300, false));
            mixdown.add(talker(500, false));
            mixdown
                .packet_for(&mut old, None, &mut shared, tick)
                .unwrap();
            mixdown
                .packet_for(&mut new, None, &mut shared, tick)
                .unwrap();
            assert_eq!(mixdown.encodings(), encodings, "tick {tick}");
        }
    }

    #[test]
    fn the_last_frame_carries_the_terminator_when_all_others_end() {
        let (mut mixdown, mut shared) = desk();
        let ending = mixdown.add(talker(300, true));
        let mut alone = Listener::new(Codec::Pcm16);
        assert_eq!(
            mixdown.packet_for(&mut alone, ending, &mut shared, 1),
            None,
            "his own end is not his mix's"
        );
        let going_on = mixdown.add(talker(500, false));
        let mut listener = Listener::new(Codec::Pcm16);
        assert!(
            !decoded(
                &mixdown
                    .packet_for(&mut listener, None, &mut shared, 1)
                    .unwrap()
            )
            .1
        );
        let mut talking = Listener::new(Codec::Pcm16);
        let (_, terminator, heard) = decoded(
            &mixdown
                .packet_for(&mut talking, going_on, &mut shared, 1)
                .unwrap(),
        );
        assert!(terminator, "the only other one has ended");
        assert_eq!(heard, vec![300; SAMPLES]);
        assert!(listener.is_streaming() && !talking.is_streaming());
    }

    #[test]
    fn an_end_without_a_last_frame_is_told_by_an_empty_packet_once() {
        let (mut mixdown, mut shared) = desk();
        mixdown.add(talker(300, false));
        let mut listener = Listener::new(Codec::Pcm16);
        mixdown
            .packet_for(&mut listener, None, &mut shared, 8)
            .unwrap();
        mixdown.begin();
        assert_eq!(mixdown.add(|_| Playout::Silence), None);
        assert_eq!(
            decoded(
                &mixdown
                    .packet_for(&mut listener, None, &mut shared, 9)
                    .unwrap()
            ),
            (9, true, vec![])
        );
        assert_eq!(
            mixdown.packet_for(&mut listener, None, &mut shared, 10),
            None
        );
    }
}
