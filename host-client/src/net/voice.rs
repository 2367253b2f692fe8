//! The two ways of voice in one session: source to packets, packets to sink.

use crate::{
    audio::{Captured, Sink, Source},
    events::Counts,
    quiet::{QuietWatch, TooQuiet},
};
use talkspurt_core::{
    audio::{format::FRAME_SAMPLES_MAX, frame::Frame, jitter::JitterConfig, level::LevelMeter},
    carrier::stream::ENCODED_MAX,
    session::SessionParams,
    voice::{
        downlink::{Downlink, Playout},
        uplink::{Uplink, UplinkConfig},
    },
    wire::Voice,
};

mod settings;

pub(super) use settings::VoiceSettings;

/// The longest pre-roll that `--pre-roll` may ask for. Half a second holds the longest word onset many times over.
pub const PRE_ROLL_MS_MAX: u16 = 500;
/// Samples that the uplink keeps: the pre-roll and the frame being sent, at 16 samples a millisecond.
const HISTORY_SAMPLES: usize = 16 * (PRE_ROLL_MS_MAX as usize + 20);
/// Packets that may wait for their turn: 2.5 s at 20 ms, 640 ms at 5 ms. A stalled machine catches up from here.
const SLOTS: usize = 128;
/// A microphone that gives nothing while the gate is open counts as silent for so long; then the talkspurt is ended.
const DRY_MS_MAX: u32 = 300;

/// Uplink and downlink of one session.
pub(super) struct VoicePath {
    uplink: Box<Uplink<HISTORY_SAMPLES>>,
    downlink: Box<Downlink<SLOTS>>,
    params: SessionParams,
    /// Frames in a row that the source did not have.
    dry_frames: u32,
    output_meter: LevelMeter,
    output_rms: u16,
    packet: Vec<u8>,
    quiet: QuietWatch,
}

impl VoicePath {
    pub(super) fn new(params: SessionParams, settings: &VoiceSettings) -> Self {
        let gate = &settings.gate;
        let config = UplinkConfig {
            codec: params.codec,
            frame: params.frame,
            gate: settings.gate_config(&params),
            pre_roll_frames: params.frame.frames_in_ms(u32::from(gate.pre_roll_ms)) as u16,
        };
        // The configuration was checked against the core's own limits.
        let mut uplink = Box::new(Uplink::new(config).expect("a checked gate is a valid gate"));
        uplink.set_muted(settings.is_off());
        let margin_frames = params
            .frame
            .frames_in_ms(u32::from(settings.playout_delay_ms)) as u16;
        let mut jitter = JitterConfig::default_for(params.frame, margin_frames);
        jitter.target_max_frames = jitter.target_max_frames.max(margin_frames);
        let downlink = Box::new(Downlink::new(params.codec, params.frame, jitter));
        Self {
            uplink,
            downlink,
            params,
            dry_frames: 0,
            output_meter: LevelMeter::new(),
            output_rms: 0,
            packet: vec![0; ENCODED_MAX],
            quiet: QuietWatch::new(params.frame, settings.may_be_too_quiet()),
        }
    }

    /// Takes a voice packet of the server.
    pub(super) fn receive(&mut self, voice: &Voice<'_>) {
        if let Err(error) = self.downlink.push(voice) {
            tracing::debug!(%error, "dropped a voice packet");
        }
    }

    /// One frame from the source; what is to be sent of it goes to `send`, a packet at a time.
    pub(super) fn capture(
        &mut self,
        source: &mut dyn Source,
        mut send: impl FnMut(&[u8]),
    ) -> Captured {
        let mut samples = [0; FRAME_SAMPLES_MAX];
        let frame = &mut samples[..self.params.frame_samples()];
        let captured = source.read(frame);
        match captured {
            Captured::Frame => {
                self.dry_frames = 0;
                self.uplink.push(frame);
                let (level, is_sent) = (self.uplink.level_rms(), self.uplink.is_talking());
                self.quiet.push(level, is_sent);
            }
            Captured::Missing if self.uplink.is_talking() => {
                self.dry_frames += 1;
                if self.dry_frames * u32::from(self.params.frame.ms()) < DRY_MS_MAX {
                    self.uplink.push(frame);
                } else {
                    self.uplink.finish();
                }
            }
            Captured::Missing => {}
            Captured::End => self.uplink.finish(),
        }
        self.poll(&mut send);
        captured
    }

    /// One frame to the sink. Deaf, the sink gets silence, and the frame goes by.
    pub(super) fn play(&mut self, sink: &mut dyn Sink, deafened: bool) {
        let mut frame = Frame::silence(self.params.frame_samples());
        let playout = self.downlink.pop(&mut frame);
        let heard_rms = self.output_meter.rms(&frame);
        self.output_rms = if playout == Playout::Silence {
            0
        } else {
            heard_rms
        };
        if deafened {
            frame.silence_all();
        }
        sink.write(&frame);
    }

    /// Ends a running talkspurt; its last packets go to `send`.
    pub(super) fn finish(&mut self, mut send: impl FnMut(&[u8])) {
        self.uplink.finish();
        self.poll(&mut send);
    }

    /// Mute, key of push-to-talk and gate as they are now.
    pub(super) fn set(&mut self, settings: &VoiceSettings) {
        self.uplink.set_muted(settings.is_off());
        self.quiet.watch(settings.may_be_too_quiet());
        if let Err(error) = self.uplink.set_gate(settings.gate_config(&self.params)) {
            tracing::warn!(%error, "the gate stays as it was");
        }
    }

    /// A voice that was too quiet for the gate, once.
    pub(super) fn take_too_quiet(&mut self) -> Option<TooQuiet> {
        self.quiet.take()
    }

    pub(super) fn params(&self) -> &SessionParams {
        &self.params
    }

    pub(super) fn is_talking(&self) -> bool {
        self.uplink.is_talking()
    }

    /// RMS of the last captured frame.
    pub(super) fn input_rms(&self) -> u16 {
        self.uplink.level_rms()
    }

    /// RMS of the last played frame.
    pub(super) fn output_rms(&self) -> u16 {
        self.output_rms
    }

    /// How long a frame received now waits for its turn, in milliseconds.
    pub(super) fn waiting_ms(&self) -> u32 {
        u32::from(self.downlink.depth_frames()) * u32::from(self.params.frame.ms())
    }

    /// Adds what this session did to the counts of the stay.
    pub(super) fn add_counts(&self, counts: &mut Counts) {
        let up = self.uplink.stats();
        counts.talkspurts += u64::from(up.talkspurts);
        counts.frames_captured += u64::from(up.frames_captured);
        counts.frames_sent += u64::from(up.frames_sent);
        let (received, played) = self.downlink.frames_received_and_played();
        counts.frames_received += u64::from(received);
        counts.frames_played += u64::from(played);
        let jitter = self.downlink.stats();
        counts.frames_concealed += u64::from(jitter.concealed);
        counts.frames_late += u64::from(jitter.late);
        counts.frames_skipped += u64::from(jitter.skipped);
        counts.packets_lost += u64::from(jitter.lost);
    }

    fn poll(&mut self, send: &mut dyn FnMut(&[u8])) {
        while let Some(len) = self.uplink.poll_packet(&mut self.packet) {
            send(&self.packet[..len]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        audio::NoSource,
        config::{GateSettings, Threshold},
    };
    use talkspurt_core::{
        audio::{
            codec::Codec,
            format::{FrameDuration, SampleRate},
        },
        carrier::deframer::{Deframer, Feed},
        time::Duration,
        wire::{ClientPacket, ParticipantId, parse},
    };

    /// Says the frames of a list, then ends.
    struct Script(std::vec::IntoIter<(Captured, i16)>);

    impl Source for Script {
        fn read(&mut self, frame: &mut [i16]) -> Captured {
            let (captured, sample) = self.0.next().unwrap_or((Captured::End, 0));
            // The highest frequency there is: a constant would be an offset, which no gate hears.
            for (n, out) in frame.iter_mut().enumerate() {
                *out = if n % 2 == 0 { sample } else { -sample };
            }
            captured
        }
    }

    #[derive(Default)]
    struct Tape(Vec<i16>);

    impl Sink for Tape {
        fn write(&mut self, frame: &[i16]) {
            self.0.extend_from_slice(frame);
        }
    }

    fn path(frame: FrameDuration, enabled: bool) -> VoicePath {
        let params = SessionParams {
            id: ParticipantId(1),
            codec: Codec::Pcm16,
            rate: SampleRate::Hz16000,
            frame,
            idle_timeout: Duration::from_secs(15),
        };
        let gate = GateSettings {
            open: Threshold::from_rms(2_000),
            close: Threshold::from_rms(500),
            window_frames: 10,
            pre_roll_ms: 60,
            enabled,
        };
        VoicePath::new(
            params,
            &VoiceSettings {
                gate,
                muted: false,
                key_held: None,
                playout_delay_ms: 40,
            },
        )
    }

    /// Runs a script; gives `(first sample, terminator)` of every packet sent, and the packets.
    fn run(path: &mut VoicePath, script: Vec<(Captured, i16)>) -> (Vec<(i16, bool)>, Vec<Vec<u8>>) {
        let count = script.len();
        let mut source = Script(script.into_iter());
        let (mut seen, mut packets) = (Vec::new(), Vec::new());
        for _ in 0..count {
            path.capture(&mut source, |bytes| packets.push(bytes.to_vec()));
        }
        for bytes in &packets {
            let mut deframer: Deframer = Deframer::new();
            let (Feed::Packet(packet), _) = deframer.feed(bytes) else {
                panic!("not a packet")
            };
            let Ok(ClientPacket::Voice(voice)) = parse(packet) else {
                panic!("not voice")
            };
            let sample = voice
                .payload
                .get(..2)
                .map_or(0, |s| i16::from_le_bytes([s[0], s[1]]));
            seen.push((sample, voice.terminator));
        }
        (seen, packets)
    }

    #[test]
    fn the_pre_roll_goes_first_and_silence_is_not_sent() {
        let mut path = path(FrameDuration::Ms20, true);
        let quiet = (0..20).map(|n| (Captured::Frame, n));
        let script = quiet.chain([(Captured::Frame, 9_000)]).collect();
        let (seen, _) = run(&mut path, script);
        assert_eq!(
            seen,
            [(17, false), (18, false), (19, false), (9_000, false)]
        );
    }

    #[test]
    fn the_end_of_the_input_ends_the_talkspurt() {
        let mut path = path(FrameDuration::Ms5, false);
        let script = vec![
            (Captured::Frame, 7),
            (Captured::Frame, 8),
            (Captured::End, 0),
            (Captured::End, 0),
        ];
        let (seen, _) = run(&mut path, script);
        assert_eq!(seen, [(7, false), (8, false), (0, true)]);
    }

    #[test]
    fn a_microphone_that_vanishes_while_talking_does_not_talk_for_ever() {
        let mut path = path(FrameDuration::Ms20, false);
        let script = [(Captured::Frame, 7)]
            .into_iter()
            .chain((0..100).map(|_| (Captured::Missing, 0)))
            .collect();
        let (seen, _) = run(&mut path, script);
        assert_eq!(
            seen.len(),
            1 + 14 + 1,
            "the frame, 280 ms of silence, the terminator"
        );
        assert_eq!(seen.last(), Some(&(0, true)));
    }

    #[test]
    fn a_listener_sends_nothing_even_without_a_gate() {
        let mut path = path(FrameDuration::Ms20, false);
        for _ in 0..100 {
            path.capture(&mut NoSource, |_| panic!("a listener sent something"));
        }
    }

    #[test]
    fn what_is_received_is_played_bit_for_bit_and_nothing_else() {
        let (mut talker, mut listener) = (
            path(FrameDuration::Ms20, false),
            path(FrameDuration::Ms20, false),
        );
        let said: Vec<_> = (1..=30).map(|n| (Captured::Frame, n * 100)).collect();
        let (_, packets) = run(
            &mut talker,
            said.into_iter().chain([(Captured::End, 0)]).collect(),
        );
        let mut tape = Tape::default();
        for bytes in packets {
            let mut deframer: Deframer = Deframer::new();
            let (Feed::Packet(packet), _) = deframer.feed(&bytes) else {
                panic!("not a packet")
            };
            let Ok(ClientPacket::Voice(voice)) = parse(packet) else {
                panic!("not voice")
            };
            listener.receive(&voice);
            listener.play(&mut tape, false);
        }
        (0..10).for_each(|_| listener.play(&mut tape, false));
        assert_eq!(tape.0.len(), 41 * 320, "a frame each time, whatever came");
        let heard: Vec<i16> = tape
            .0
            .chunks(320)
            .map(|frame| frame[0])
            .filter(|&s| s != 0)
            .collect();
        assert_eq!(heard[..30], (1..=30).map(|n| n * 100).collect::<Vec<_>>());
        assert_eq!(
            heard.len(),
            31,
            "the end, cut at full level, fades in a frame"
        );
        let mut counts = Counts::default();
        listener.add_counts(&mut counts);
        assert_eq!(
            (
                counts.frames_received,
                counts.frames_played,
                counts.frames_concealed
            ),
            (30, 30, 0)
        );
    }
}
