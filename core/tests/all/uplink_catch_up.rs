//! How an uplink takes back the delay of its pre-roll: soon, at the voice's pitch, with no word cut
//! and no frame out of turn.

use crate::common::cases::cases;
use crate::common::ear::largest_step;
use crate::uplink::FIXED;
use proptest::prelude::*;
use proptest::sample::select;
use talkspurt_core::audio::codec::{AnyCodec, CodecId, PAYLOAD_MAX, Pcm16};
use talkspurt_core::audio::format::{AudioFormat, FrameDuration, SampleRate};
use talkspurt_core::audio::frame::FRAME_SAMPLES_MAX;
use talkspurt_core::audio::gate::{GateConfig, GateDecision, GateMode};
use talkspurt_core::carrier::stream::TRANSMIT_MAX;
use talkspurt_core::endpoint::{Client, ClientConfig};
use talkspurt_core::session::JoinRequest;
use talkspurt_core::voice::uplink::{
    Compress, Uplink, UplinkConfig, catch_up_samples, history_samples,
};

const FRAMES: [FrameDuration; 3] = [FrameDuration::Ms5, FrameDuration::Ms10, FrameDuration::Ms20];
/// At which PCM16 has frames of 20 ms.
const RATES: [SampleRate; 2] = [SampleRate::Hz8000, SampleRate::Hz16000];
const HISTORY: usize = history_samples(AudioFormat::DEFAULT, 200);
type Host = Uplink<HISTORY, Pcm16, Compress<{ catch_up_samples(AudioFormat::DEFAULT) }>>;

/// A host's microphone, and what a listener hears of it without a network: each frame at its time.
struct Ear {
    uplink: Host,
    format: AudioFormat,
    pushed: usize,
    heard: Vec<i16>,
    /// First and last sample (exclusive) of each talkspurt.
    talkspurts: Vec<[usize; 2]>,
    is_talking: bool,
    packets: u16,
}

impl Ear {
    fn new(format: AudioFormat, gate: GateConfig) -> Self {
        let config = UplinkConfig {
            codec: Pcm16,
            format,
            gate,
            pre_roll_frames: format.frame.frames_in_ms(200) as u16,
        };
        Self {
            uplink: Host::new(config).unwrap(),
            format,
            pushed: 0,
            heard: Vec::new(),
            talkspurts: Vec::new(),
            is_talking: false,
            packets: 0,
        }
    }

    fn samples(&self, ms: usize) -> usize {
        self.format.rate.samples_in_ms(ms)
    }

    /// Takes sound in frames, and asks after each for what there is to send.
    fn hear(&mut self, sound: &[i16]) -> GateDecision {
        let mut decision = GateDecision::Closed;
        for frame in sound.chunks_exact(self.format.frame_samples()) {
            decision = self.uplink.push(frame);
            self.pushed += frame.len();
            self.poll();
        }
        decision
    }

    fn poll(&mut self) {
        let mut buffer = [0; PAYLOAD_MAX];
        while let Some(voice) = self.uplink.poll_voice(&mut buffer) {
            assert_eq!(voice.seq.0, self.packets, "none twice, none left out");
            self.packets = self.packets.wrapping_add(1);
            // The session's clock stands at one frame when the first frame starts.
            let units = (voice.timestamp.0 - self.format.frame.units()) as usize;
            let at = units * self.samples(5) / 2;
            let end = at + voice.payload.len() / 2;
            match self.talkspurts.last_mut().filter(|_| self.is_talking) {
                Some([_, last]) => {
                    assert_eq!(*last, at, "a talkspurt has no holes");
                    *last = end;
                }
                None => {
                    assert!(at >= self.heard.len(), "a talkspurt begins behind the last");
                    self.talkspurts.push([at, end]);
                }
            }
            self.is_talking = !voice.terminator;
            self.heard.resize(end, 0);
            for (heard, bytes) in self.heard[at..].iter_mut().zip(voice.payload.as_chunks().0) {
                *heard = i16::from_le_bytes(*bytes);
            }
            // What is heard now was said before.
            assert!(end <= self.pushed + self.samples(200));
        }
        if self.is_talking && self.uplink.stats().frames_overrun == 0 {
            assert!(
                self.heard.len() >= self.pushed,
                "a frame misses its turn: {} of {}",
                self.heard.len(),
                self.pushed
            );
        }
    }

    /// By how much what was said from `from` on is heard later: where that is most like it.
    fn delay_ms(&self, sound: &[i16], from: usize) -> f64 {
        let window = self.samples(20);
        let said = &sound[from..from + window];
        let likeness = |delay: &isize| {
            let at = from
                .checked_add_signed(*delay)
                .unwrap_or(usize::MAX - window);
            let Some(heard) = self.heard.get(at..at + window) else {
                return f64::MIN;
            };
            let dot = |a: &[i16], b: &[i16]| -> f64 {
                a.iter()
                    .zip(b)
                    .map(|(&a, &b)| f64::from(a) * f64::from(b))
                    .sum()
            };
            dot(said, heard) / dot(heard, heard).sqrt().max(1.0)
        };
        let delays = -(self.samples(30) as isize)..self.samples(230) as isize;
        let best = delays
            .max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
            .unwrap();
        best as f64 / self.samples(1) as f64
    }
}

fn format(rate: SampleRate, frame: FrameDuration) -> AudioFormat {
    AudioFormat { rate, frame }
}

/// Noise that nobody takes for another part of it, at an RMS of about `rms`.
fn noise(samples: usize, rms: i32, seed: u32) -> Vec<i16> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state & 0xffff) as i32 - 0x8000
    };
    (0..samples)
        .map(|_| (next() * rms / 18_918) as i16)
        .collect()
}

/// A murmur that does not open the gate but belongs to the word behind it, and that word.
fn murmur_and_word(ear: &Ear, murmur_ms: usize, word_ms: usize) -> Vec<i16> {
    let silence = vec![0; ear.samples(400)];
    let murmur = noise(ear.samples(murmur_ms), 1_000, 1);
    let word = noise(ear.samples(word_ms), 6_000, 2);
    [silence, murmur, word].concat()
}

#[test]
fn a_pre_roll_is_taken_back_within_four_times_its_length_in_the_midst_of_a_word() {
    for frame in FRAMES {
        for pre_roll_ms in [40, 45, 60, 105, 180] {
            let mut ear = Ear::new(format(SampleRate::Hz16000, frame), FIXED);
            let sound = murmur_and_word(&ear, pre_roll_ms, 1_200);
            ear.hear(&sound);
            let word = ear.samples(400 + pre_roll_ms);
            let at_first = ear.delay_ms(&sound, word - ear.samples(30));
            let least = pre_roll_ms as f64 / 2.0;
            assert!(at_first > least, "{frame:?}, {pre_roll_ms}: {at_first}");
            // A stretch of up to 15 ms more, as the voice's own period is waited for.
            let later = word + ear.samples(3 * pre_roll_ms + 60);
            for from in (later..sound.len() - ear.samples(250)).step_by(ear.samples(10)) {
                let delay = ear.delay_ms(&sound, from);
                assert!(
                    (0.0..10.0).contains(&delay),
                    "{frame:?}, {pre_roll_ms}: {delay} at {from}"
                );
            }
        }
    }
}

#[test]
fn the_pre_roll_begins_with_the_voice_and_not_with_a_frame() {
    for lead_ms in [0, 5, 10, 15] {
        let mut ear = Ear::new(format(SampleRate::Hz16000, FrameDuration::Ms20), FIXED);
        let silence = vec![0; ear.samples(400 + lead_ms)];
        let murmur = noise(ear.samples(40 - lead_ms), 1_000, 1);
        let word = noise(ear.samples(40), 6_000, 2);
        let sound = [&silence[..], &murmur, &word].concat();
        ear.hear(&sound);
        // The murmur, and a step before it.
        let expected_ms = 40 - lead_ms + 5;
        assert_eq!(ear.delay_ms(&sound, silence.len()), expected_ms as f64);
    }
}

#[test]
fn without_a_pre_roll_every_sample_is_heard_as_it_was_said() {
    for rate in RATES {
        for frame in FRAMES {
            let open = GateConfig {
                mode: GateMode::Off,
                ..GateConfig::DEFAULT
            };
            let mut ear = Ear::new(format(rate, frame), open);
            let sound = noise(ear.samples(600), 3_000, 7);
            ear.hear(&sound);
            assert!(ear.heard == sound, "{rate:?}, {frame:?}");
        }
    }
}

#[test]
fn the_end_of_a_talkspurt_comes_with_its_terminator_and_the_next_begins_anew() {
    for frame in FRAMES {
        let mut ear = Ear::new(format(SampleRate::Hz16000, frame), FIXED);
        let sound = murmur_and_word(&ear, 100, 300);
        let silence = vec![0; ear.samples(1_000)];
        for _ in 0..3 {
            ear.hear(&sound);
            assert_eq!(ear.hear(&silence), GateDecision::Closed);
            assert!(!ear.is_talking, "the last packet is a terminator");
        }
        assert_eq!(ear.talkspurts.len(), 3);
        // Mute in the midst of a word leaves nothing behind for the next one.
        ear.hear(&sound);
        ear.uplink.set_muted(true);
        ear.poll();
        assert!(!ear.is_talking);
        ear.hear(&silence);
        ear.uplink.set_muted(false);
        let word = noise(ear.samples(100), 6_000, 3);
        ear.hear(&word);
        let [first, last] = ear.talkspurts[4];
        assert_eq!(first, ear.pushed - word.len());
        assert!(ear.heard[first..last] == word[..last - first]);
    }
}

#[test]
fn a_voice_is_heard_at_its_pitch_without_a_click() {
    for frame in FRAMES {
        let mut ear = Ear::new(format(SampleRate::Hz16000, frame), FIXED);
        let tone = |rms: f64, ms: usize| -> Vec<i16> {
            let sample = |n: usize| {
                rms * 1.414 * (std::f64::consts::TAU * 120.0 / 16_000.0 * n as f64).sin()
            };
            (0..16 * ms).map(|n| sample(n) as i16).collect()
        };
        let sound = [vec![0; 6_400], tone(1_000.0, 150), tone(6_000.0, 1_000)].concat();
        ear.hear(&sound);
        let [first, last] = ear.talkspurts[0];
        let largest = largest_step(&tone(6_000.0, 100));
        let heard = largest_step(&ear.heard[first..last]);
        assert!(
            heard <= largest + largest / 10,
            "{frame:?}: {heard}, {largest}"
        );
    }
}

#[test]
fn a_pause_in_a_word_takes_no_more_back_than_there_is() {
    for frame in FRAMES {
        for pause_at_ms in (20..=200).step_by(10) {
            for pre_roll_ms in [40, 60, 100] {
                let mut ear = Ear::new(format(SampleRate::Hz16000, frame), FIXED);
                let mut sound = murmur_and_word(&ear, pre_roll_ms, 900);
                let word = ear.samples(400 + pre_roll_ms);
                let pause = ear.samples(pause_at_ms)..ear.samples(pause_at_ms + 60);
                sound[word..][pause].fill(0);
                ear.hear(&sound);
            }
        }
    }
}

/// Whether a client is made that has so many samples to make 20 ms frames shorter in.
fn fits<const SAMPLES: usize>() -> bool {
    type Desk<K> =
        Client<PAYLOAD_MAX, TRANSMIT_MAX, 16, 8_192, HISTORY, FRAME_SAMPLES_MAX, AnyCodec, K>;
    let (room, name) = ("r".parse().unwrap(), "n".parse().unwrap());
    let request = JoinRequest::new(room, name, &CodecId::ALL);
    Desk::<Compress<SAMPLES>>::new(ClientConfig::new(request)).is_ok()
}

#[test]
fn without_room_for_a_block_and_a_frame_there_is_no_client() {
    assert!(fits::<800>() && !fits::<799>());
}

proptest! {
    #![proptest_config(cases(40))]

    #[test]
    fn whatever_is_said_no_sound_is_heard_before_it_was_said_and_none_much_later(
        frame in select(&FRAMES[..]),
        rate in select(&RATES[..]),
        parts in prop::collection::vec((0..8_000i32, 5..400usize), 1..12),
        mute_at in 0..12usize,
        skip_polls in any::<bool>(),
    ) {
        let gate = GateConfig { hold_ms: 60, window_ms: 40, ..FIXED };
        let mut ear = Ear::new(format(rate, frame), gate);
        for (nth, (rms, ms)) in parts.into_iter().enumerate() {
            let sound = noise(ear.samples(ms), rms, nth as u32);
            if skip_polls && nth % 3 == 2 {
                // Frames that nobody asks for in time.
                for frame in sound.chunks_exact(ear.format.frame_samples()) {
                    ear.uplink.push(frame);
                    ear.pushed += frame.len();
                }
                ear.is_talking = false;
                ear.heard.clear();
                ear.talkspurts.clear();
                continue;
            }
            ear.hear(&sound);
            ear.uplink.set_muted(nth == mute_at);
            ear.poll();
        }
        ear.uplink.finish();
        ear.poll();
        prop_assert!(!ear.is_talking);
    }
}
