//! A microphone and a speaker paced, sample for sample, by the time that the loop is called with.

use talkspurt_core::audio::format::AudioFormat;
use talkspurt_core::time::{Duration, Instant};
use talkspurt_host_kit::wav::{self, BackgroundReader, RecordingNotice};
use tracing::warn;

use crate::node::{SampleSink, SampleSource};

/// Samples as a microphone. It listens in real time: sound that was not asked for in time is still
/// given, in order. After the last sample it hears silence, as it does while a file has nothing.
pub struct PacedSource {
    sound: Sound,
    clock: Option<FrameClock>,
    ended_at: Option<Instant>,
}

/// Source of a [`PacedSource`]'s samples.
enum Sound {
    Samples { samples: Vec<i16>, position: usize },
    File(BackgroundReader),
}

/// Records what the speaker plays, frame by frame, without gaps.
pub trait Recorder {
    /// Prepares for the first frame, which follows.
    fn begin(&mut self) {}

    /// Takes a frame that is played.
    fn record(&mut self, frame: &[i16]);

    /// Completes the recording. A failure at its end is reported by
    /// [`next_notice`](Self::next_notice), or is the error.
    ///
    /// # Errors
    /// When the end of the recording is not taken.
    fn finish(&mut self) -> Result<(), String> {
        Ok(())
    }

    /// Returns what has happened to the recording since the last call.
    fn next_notice(&mut self) -> Option<RecordingNotice> {
        None
    }
}

/// A speaker that is ready for a frame once per frame period, from the moment of joining.
#[derive(Clone, Debug)]
pub struct PacedSink<R> {
    recorder: R,
    clock: Option<FrameClock>,
}

/// Counts frame periods from its origin. Nothing that happens meanwhile moves them.
#[derive(Clone, Copy, Debug)]
struct FrameClock {
    origin: Instant,
    frame: Duration,
    taken: u64,
}

impl PacedSource {
    /// Creates a source that plays `samples` (at the session's rate) from the moment of joining.
    #[must_use]
    pub const fn new(samples: Vec<i16>) -> Self {
        Self::of(Sound::Samples {
            samples,
            position: 0,
        })
    }

    /// Creates a source that plays a sound file from the moment of joining.
    #[must_use]
    pub const fn playing(file: BackgroundReader) -> Self {
        Self::of(Sound::File(file))
    }

    const fn of(sound: Sound) -> Self {
        Self {
            sound,
            clock: None,
            ended_at: None,
        }
    }

    /// Returns when the last of the samples was heard, once it was.
    #[must_use]
    pub const fn ended_at(&self) -> Option<Instant> {
        self.ended_at
    }
}

impl SampleSource for PacedSource {
    fn start(&mut self, now: Instant, format: AudioFormat) {
        FrameClock::start(&mut self.clock, now, format);
    }

    fn capture(&mut self, now: Instant, frame: &mut [i16]) -> bool {
        let Some(clock) = &mut self.clock else {
            return false;
        };
        // A frame is ready when its last sample has been heard.
        let heard_at = clock.period(clock.taken + 1);
        if now < heard_at {
            return false;
        }
        clock.taken += 1;
        if self.sound.hear(frame) && self.ended_at.is_none() {
            self.ended_at = Some(heard_at);
        }
        true
    }

    fn next_frame_at(&self) -> Option<Instant> {
        self.clock.map(|clock| clock.period(clock.taken + 1))
    }
}

impl Sound {
    /// Fills a frame, with silence where there is nothing. Returns true when nothing more will
    /// come.
    fn hear(&mut self, frame: &mut [i16]) -> bool {
        match self {
            Self::Samples { samples, position } => {
                let rest = &samples[*position..];
                let count = rest.len().min(frame.len());
                frame[..count].copy_from_slice(&rest[..count]);
                frame[count..].fill(0);
                *position += count;
                *position == samples.len()
            }
            Self::File(file) => {
                // A missing frame is silence, and so is any frame after the end.
                let _ = file.read(frame);
                if let Some(problem) = file.take_problem() {
                    warn!("the input has ended: {problem}");
                }
                file.is_at_end()
            }
        }
    }
}

impl<R> PacedSink<R> {
    /// Creates a speaker whose sound goes to `recorder`.
    pub const fn new(recorder: R) -> Self {
        Self {
            recorder,
            clock: None,
        }
    }

    /// Returns the recorder.
    pub const fn recorder(&self) -> &R {
        &self.recorder
    }

    /// Returns the recorder for changes.
    pub const fn recorder_mut(&mut self) -> &mut R {
        &mut self.recorder
    }

    /// Ends the sound and returns the recorder.
    pub fn into_recorder(self) -> R {
        self.recorder
    }
}

impl<R: Recorder> SampleSink for PacedSink<R> {
    fn start(&mut self, now: Instant, format: AudioFormat) {
        if self.clock.is_none() {
            self.recorder.begin();
        }
        FrameClock::start(&mut self.clock, now, format);
    }

    fn is_ready(&mut self, now: Instant) -> bool {
        self.next_frame_at().is_some_and(|due| now >= due)
    }

    fn play(&mut self, frame: &[i16]) {
        self.recorder.record(frame);
        if let Some(clock) = &mut self.clock {
            clock.taken += 1;
        }
    }

    fn next_frame_at(&self) -> Option<Instant> {
        self.clock.map(|clock| clock.period(clock.taken))
    }
}

impl Recorder for Vec<i16> {
    fn record(&mut self, frame: &[i16]) {
        self.extend_from_slice(frame);
    }
}

/// A WAV file. It has its own thread: a stalled disk does not stop the simulated chip's time.
impl Recorder for wav::Recorder {
    fn begin(&mut self) {
        self.begin();
    }

    fn record(&mut self, frame: &[i16]) {
        self.write(frame);
    }

    fn finish(&mut self) -> Result<(), String> {
        self.finish()
    }

    fn next_notice(&mut self) -> Option<RecordingNotice> {
        self.next_notice()
    }
}

/// Discards the sound.
impl Recorder for () {
    fn record(&mut self, _frame: &[i16]) {}
}

impl<R: Recorder> Recorder for Option<R> {
    fn finish(&mut self) -> Result<(), String> {
        self.as_mut().map_or(Ok(()), R::finish)
    }

    fn begin(&mut self) {
        if let Some(recorder) = self {
            recorder.begin();
        }
    }

    fn next_notice(&mut self) -> Option<RecordingNotice> {
        self.as_mut()?.next_notice()
    }

    fn record(&mut self, frame: &[i16]) {
        if let Some(recorder) = self {
            recorder.record(frame);
        }
    }
}

impl FrameClock {
    /// Starts a clock, or leaves a running one alone. A new frame duration continues where the last
    /// one was.
    fn start(clock: &mut Option<Self>, now: Instant, format: AudioFormat) {
        let frame = format.frame.duration();
        match clock {
            Some(running) if running.frame == frame => {}
            Some(running) => {
                *running = Self {
                    origin: running.period(running.taken),
                    frame,
                    taken: 0,
                }
            }
            None => {
                *clock = Some(Self {
                    origin: now,
                    frame,
                    taken: 0,
                })
            }
        }
    }

    fn period(&self, number: u64) -> Instant {
        self.origin + self.frame.saturating_mul(number)
    }
}

#[cfg(test)]
mod tests {
    use talkspurt_core::audio::format::{FrameDuration, SampleRate};

    use super::*;

    const FORMAT: AudioFormat = AudioFormat {
        rate: SampleRate::Hz16000,
        frame: FrameDuration::Ms20,
    };

    fn at_ms(ms: u64) -> Instant {
        Instant::from_micros(ms * 1000)
    }

    #[test]
    fn a_source_gives_each_frame_once_it_was_heard_and_then_silence() {
        let mut source = PacedSource::new((1..=400).collect());
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
        assert_eq!(source.ended_at(), Some(at_ms(140)));
        assert!(source.capture(at_ms(170), &mut frame));
        assert_eq!(frame, [0; 320]);
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
        let mut source = PacedSource::playing(open(&killed).unwrap());
        source.start(at_ms(0), FORMAT);
        let (mut frame, mut heard) = ([0; 320], Vec::new());
        for n in 1..=4 {
            assert!(source.capture(at_ms(20 * n), &mut frame));
            heard.extend_from_slice(&frame);
        }
        let expected: Vec<i16> = (0..1_000).map(voice).collect();
        assert_eq!(heard[320..1_000], expected[320..]);
        assert_eq!(source.ended_at(), Some(at_ms(80)));
        let mut source = PacedSource::playing(open(&pipe).unwrap());
        source.start(at_ms(0), FORMAT);
        assert!(source.capture(at_ms(20), &mut frame));
        assert_eq!((frame, source.ended_at()), ([0; 320], None));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_sink_takes_a_frame_a_period_through_a_change_of_the_frame_duration() {
        let mut sink = PacedSink::new(Vec::new());
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
        assert_eq!(sink.into_recorder().len(), 3 * 320 + 80);
    }
}
