//! A microphone and a speaker paced, sample for sample, by the time that the loop is called with.

use talkspurt_core::audio::format::AudioFormat;
use talkspurt_core::time::{Duration, Instant};
use talkspurt_host_kit::sound::{Captured, Sink, Source};
use tracing::warn;

use crate::node::{SampleSink, SampleSource};

/// A source as a microphone. It listens in real time: sound that was not asked for in time is still
/// given, in order.
pub struct PacedSource {
    sound: Box<dyn Source>,
    clock: Option<FrameClock>,
    ended_at: Option<Instant>,
}

/// A speaker that is ready for a frame once per frame period, from the moment of joining.
pub struct PacedSink {
    sink: Box<dyn Sink>,
    clock: Option<FrameClock>,
}

/// Frame periods, one after the other. Nothing that happens meanwhile moves them.
#[derive(Clone, Copy, Debug)]
struct FrameClock {
    /// When the next one begins.
    next: Instant,
    frame: Duration,
}

impl PacedSource {
    /// Creates a microphone that hears `sound` from the moment of joining.
    #[must_use]
    pub const fn new(sound: Box<dyn Source>) -> Self {
        Self {
            sound,
            clock: None,
            ended_at: None,
        }
    }

    /// Returns when the last of the sound was heard, once the source has ended.
    #[must_use]
    pub const fn ended_at(&self) -> Option<Instant> {
        self.ended_at
    }
}

impl SampleSource for PacedSource {
    fn start(&mut self, now: Instant, format: AudioFormat) {
        self.clock = Some(FrameClock::start(self.clock, now, format));
    }

    fn capture(&mut self, now: Instant, frame: &mut [i16]) -> bool {
        let Some(clock) = &mut self.clock else {
            return false;
        };
        // A frame is ready when its last sample has been heard.
        if now < clock.next + clock.frame {
            return false;
        }
        if self.sound.read(frame) == Captured::End && self.ended_at.is_none() {
            self.ended_at = Some(clock.next);
            if let Some(problem) = self.sound.take_problem() {
                warn!("the input has ended: {problem}");
            }
        }
        clock.next += clock.frame;
        true
    }

    fn next_frame_at(&self) -> Option<Instant> {
        self.clock.map(|clock| clock.next + clock.frame)
    }
}

impl PacedSink {
    /// Creates a speaker whose sound goes to `sink`, without gaps.
    #[must_use]
    pub const fn new(sink: Box<dyn Sink>) -> Self {
        Self { sink, clock: None }
    }

    /// Returns the sink.
    pub fn sink(&mut self) -> &mut dyn Sink {
        &mut *self.sink
    }
}

impl SampleSink for PacedSink {
    fn start(&mut self, now: Instant, format: AudioFormat) {
        if self.clock.is_none() {
            self.sink.begin();
        }
        self.clock = Some(FrameClock::start(self.clock, now, format));
    }

    fn is_ready(&mut self, now: Instant) -> bool {
        self.next_frame_at().is_some_and(|due| now >= due)
    }

    fn play(&mut self, frame: &[i16]) {
        self.sink.write(frame);
        if let Some(clock) = &mut self.clock {
            clock.next += clock.frame;
        }
    }

    fn next_frame_at(&self) -> Option<Instant> {
        self.clock.map(|clock| clock.next)
    }
}

impl FrameClock {
    /// Starts a clock. One that runs already goes on where it is, with the frames of this format.
    fn start(running: Option<Self>, now: Instant, format: AudioFormat) -> Self {
        Self {
            next: running.map_or(now, |clock| clock.next),
            frame: format.frame.duration(),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::{Arc, Mutex};

    use talkspurt_core::audio::format::{FrameDuration, SampleRate};

    use super::*;
    use talkspurt_host_kit::wav::BackgroundReader;

    /// Samples as a source. The last frame is padded with silence.
    pub(crate) struct Samples(pub(crate) Vec<i16>);

    impl Source for Samples {
        fn read(&mut self, frame: &mut [i16]) -> Captured {
            let count = self.0.len().min(frame.len());
            frame.fill(0);
            for (to, from) in frame.iter_mut().zip(self.0.drain(..count)) {
                *to = from;
            }
            match count {
                0 => Captured::End,
                _ => Captured::Frame,
            }
        }
    }

    /// Records in memory, for all its clones.
    #[derive(Clone, Default)]
    pub(crate) struct Tape(Arc<Mutex<Vec<i16>>>);

    impl Tape {
        pub(crate) fn heard(&self) -> Vec<i16> {
            self.0.lock().unwrap().clone()
        }
    }

    impl Sink for Tape {
        fn write(&mut self, frame: &[i16]) {
            self.0.lock().unwrap().extend_from_slice(frame);
        }
    }

    const FORMAT: AudioFormat = AudioFormat {
        rate: SampleRate::Hz16000,
        frame: FrameDuration::Ms20,
    };

    fn at_ms(ms: u64) -> Instant {
        Instant::from_micros(ms * 1000)
    }

    #[test]
    fn a_source_gives_each_frame_once_it_was_heard_and_then_silence() {
        let mut source = PacedSource::new(Box::new(Samples((1..=400).collect())));
        let mut frame = [0; 320];
        assert!(!source.capture(at_ms(0), &mut frame));
        source.start(at_ms(100), FORMAT);
        assert_eq!(source.next_frame_at(), Some(at_ms(120)));
        assert!(!source.capture(at_ms(119), &mut frame));
        assert!(source.capture(at_ms(170), &mut frame));
        assert_eq!((frame[0], frame[319]), (1, 320));
        assert_eq!(source.ended_at(), None);
        assert!(source.capture(at_ms(170), &mut frame), "late, but not lost");
        assert_eq!((frame[0], frame[79], frame[80]), (321, 400, 0));
        assert!(source.capture(at_ms(170), &mut frame));
        assert_eq!((frame, source.ended_at()), ([0; 320], Some(at_ms(140))));
        assert!(!source.capture(at_ms(170), &mut frame));
    }

    #[test]
    fn a_source_plays_damaged_files_and_never_waits_for_a_pipe() {
        let folder = std::env::temp_dir().join(format!("talkspurt-pace-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (killed, pipe) = (folder.join("killed.wav"), folder.join("pipe"));
        // A recorder was killed before it wrote the sizes; stereo, with the voice on the right.
        let mut bytes = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x02\0\x80\x3E\0\0\0\xFA\0\0\x04\0\x10\0data\0\0\0\0"
            .to_vec();
        let voice = |n: usize| (8_000.0 * (n as f64 * 0.3).sin()) as i16;
        for n in 0..1_000 {
            bytes.extend([0, 0]);
            bytes.extend(voice(n).to_le_bytes());
        }
        std::fs::write(&killed, bytes).unwrap();
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        let open = |path: &std::path::Path| BackgroundReader::open(path, Default::default());
        let mut source = PacedSource::new(Box::new(open(&killed).unwrap()));
        source.start(at_ms(0), FORMAT);
        let (mut frame, mut heard) = ([0; 320], Vec::new());
        for n in 1..=5 {
            assert!(source.capture(at_ms(20 * n), &mut frame));
            heard.extend_from_slice(&frame);
        }
        let expected: Vec<i16> = (0..1_000).map(voice).collect();
        assert_eq!(heard[320..1_000], expected[320..]);
        assert_eq!(source.ended_at(), Some(at_ms(80)));
        let mut source = PacedSource::new(Box::new(open(&pipe).unwrap()));
        source.start(at_ms(0), FORMAT);
        assert!(source.capture(at_ms(20), &mut frame));
        assert_eq!((frame, source.ended_at()), ([0; 320], None));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_sink_takes_a_frame_a_period_through_a_change_of_the_frame_duration() {
        let tape = Tape::default();
        let mut sink = PacedSink::new(Box::new(tape.clone()));
        assert!(!sink.is_ready(at_ms(50)));
        sink.start(at_ms(100), FORMAT);
        for _ in 0..3 {
            assert!(sink.is_ready(at_ms(140)));
            sink.play(&[1; 320]);
        }
        assert!(!sink.is_ready(at_ms(159)));
        sink.start(at_ms(159), FORMAT);
        sink.start(
            at_ms(159),
            AudioFormat {
                frame: FrameDuration::Ms5,
                ..FORMAT
            },
        );
        assert_eq!(sink.next_frame_at(), Some(at_ms(160)));
        assert!(sink.is_ready(at_ms(160)));
        sink.play(&[2; 80]);
        assert_eq!(sink.next_frame_at(), Some(at_ms(165)));
        assert_eq!(tape.heard().len(), 3 * 320 + 80);
    }
}
