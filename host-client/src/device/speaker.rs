//! The session's side of a speaker: the room's frames at the device's rate and pace.

use super::{
    Direction,
    callback::PlaybackLink,
    session_end::{OpenStream, SessionEnd},
    splice::{is_quiet, splice},
};
use crate::audio::{ROOM_RATE_HZ, Sink, to_f32};
use rtrb::Producer;
use std::{
    sync::mpsc::Receiver,
    time::{Duration, Instant},
};

/// More than this above the target is delay (the session caught up after a stall): frames are
/// dropped. Seconds.
const EXCESS_MAX_S: f64 = 0.020;
/// In pauses, an excess or a lack above this is cut or added. Seconds.
const SURPLUS_S: f64 = 0.001;
/// Sound that begins after nothing is faded in over this, so that it does not click. Seconds.
const FADE_IN_S: f64 = 0.002;
/// A frame is put off only as long as the ring still holds this. Seconds.
const SLACK_LEFT_S: f64 = 0.001;
/// After this, a stream's callbacks come evenly. Seconds.
const SETTLED_S: f64 = 1.0;

/// A speaker as a [`Sink`]. It outlives its device: after a loss it discards frames until the
/// supervisor has reopened one.
///
/// Between talkspurts it is not fed: the first frame then waits for the margin, and for nothing
/// that was written before.
pub struct Speaker {
    end: SessionEnd<Producer<f32>>,
    delay_ms: u32,
}

impl Speaker {
    pub(super) fn new(links: Receiver<PlaybackLink>) -> Self {
        Self {
            end: SessionEnd::new(Direction::Output, links),
            delay_ms: 0,
        }
    }

    fn current(&mut self, frame_samples: usize) -> Option<&mut OpenStream<Producer<f32>>> {
        self.end.current(frame_samples, Producer::is_abandoned)
    }

    fn write_at(&mut self, frame: &[i16], now: Instant) {
        let open = self.current(frame.len());
        self.delay_ms = open.map_or(0, |open| open.write(frame, now));
    }

    fn write_silence_at(&mut self, frame: &[i16], now: Instant) {
        if let Some(open) = self.current(frame.len()) {
            open.write_silence(frame, now);
        }
    }

    fn slack_at(&self, now: Instant) -> Duration {
        self.end
            .open
            .as_ref()
            .map_or(Duration::ZERO, |open| open.slack(now))
    }
}

impl OpenStream<Producer<f32>> {
    /// Returns how long the frame waits before it is heard, in milliseconds.
    fn write(&mut self, frame: &[i16], now: Instant) -> u32 {
        let rate_hz = f64::from(self.link.shared.rate_hz);
        let frame_s = frame.len() as f64 / f64::from(ROOM_RATE_HZ);
        if self.pace.observe(&self.link.shared, frame_s) {
            tracing::debug!("the speaker ran dry");
        }
        let was_resting = self.link.shared.is_resting();
        let is_dry = was_resting || self.ring_fill() == 0;
        if is_dry {
            self.pace.narrow();
        } else if self.settling.is_over() {
            let late_s = self.control.usual_excess_s() - self.excess_s(now);
            let widened_s = self.pace.note_late(late_s);
            self.control.target_rose(widened_s);
        }
        let excess_s = self.excess_s(now);
        if excess_s > EXCESS_MAX_S {
            tracing::debug!("dropped a frame: the speaker is too far behind");
            self.control.forget_fill();
            return self.delay_ms(now);
        }
        let is_pause = is_quiet(frame);
        if is_dry {
            // Silence provides the reserve.
            self.link.shared.set_resting(false);
            self.push_silence((-excess_s * rate_hz).max(0.0) as usize);
            self.control.forget_fill();
            (self.owed_s, self.owes_at_once) = (0.0, false);
            if self.link.shared.age(now).as_secs_f64() < SETTLED_S {
                self.settling.restart();
            } else {
                self.settling.skip();
            }
        } else if !self.settling.is_over() {
            if let Some(excess_s) = self.settling.observe(excess_s, frame_s) {
                (self.owed_s, self.owes_at_once) = (excess_s, true);
            }
        } else {
            let correction = self.control.update(excess_s, frame_s);
            self.converter.set_correction(correction);
            if is_pause && !self.owes_at_once {
                self.owed_s = self.surplus_s();
            }
        }
        let delay_ms = self.delay_ms(now);
        self.silent_samples = 0;
        self.input.clear();
        self.input.extend(frame.iter().copied().map(to_f32));
        if is_dry {
            let fade = (FADE_IN_S * f64::from(ROOM_RATE_HZ)) as usize;
            for (n, sample) in self.input.iter_mut().take(fade).enumerate() {
                *sample *= n as f32 / fade as f32;
            }
        }
        self.push_input(is_pause || self.owes_at_once);
        delay_ms
    }

    /// Feeds silence until all that was said is out of the converter, then nothing.
    fn write_silence(&mut self, frame: &[i16], now: Instant) {
        let shared = &self.link.shared;
        // Twice the delay of the converter: nothing of what was said is left in it then.
        let tail = (2.0 * self.converter.delay_s() * f64::from(shared.rate_hz)) as usize;
        if shared.is_resting() {
            return;
        }
        if self.silent_samples >= tail || self.excess_s(now) > EXCESS_MAX_S {
            self.link.shared.set_resting(true);
            return;
        }
        self.input.clear();
        self.input.extend(frame.iter().copied().map(to_f32));
        self.silent_samples += self.push_input(false);
    }

    /// Converts and pushes the input, shorter by what is owed if it `pays`, as far as it can.
    /// Returns how many samples it made.
    fn push_input(&mut self, pays: bool) -> usize {
        let rate_hz = self.link.shared.rate_hz;
        let owed_s = if pays { self.owed_s } else { 0.0 };
        let surplus = (owed_s * f64::from(rate_hz)) as isize;
        let output = self.converter.convert(&self.input);
        let shorter = splice(output, surplus, rate_hz, &mut self.spliced);
        let paid_s = shorter as f64 / f64::from(rate_hz);
        self.owed_s -= paid_s;
        self.control.target_rose(paid_s);
        if shorter == surplus {
            self.owes_at_once = false;
        }
        for &sample in &self.spliced {
            // A full ring means that the device takes nothing, which the supervisor notices.
            let _ = self.link.ring.push(sample);
        }
        self.spliced.len()
    }

    /// Narrows the margin to what is needed. Returns by how much the ring is then too full, or too
    /// empty, of late, in seconds.
    fn surplus_s(&mut self) -> f64 {
        let narrowed_s = self.pace.narrow();
        self.control.target_rose(-narrowed_s);
        let surplus_s = self.control.usual_excess_s();
        if surplus_s.abs() > SURPLUS_S {
            surplus_s
        } else {
            0.0
        }
    }

    /// Returns how long a frame that is added now waits before it is heard, in milliseconds.
    fn delay_ms(&self, now: Instant) -> u32 {
        let shared = &self.link.shared;
        let delay_s = self.held_s(now) + self.converter.delay_s() + shared.hardware_delay_s();
        (delay_s * 1_000.0).round() as u32
    }

    /// Sound in the ring and in the callback that runs, in seconds.
    fn held_s(&self, now: Instant) -> f64 {
        let shared = &self.link.shared;
        let callback = f64::from(shared.last_frames());
        let held = self.ring_fill() as f64 + callback - shared.since_callback(now);
        held / f64::from(shared.rate_hz)
    }

    /// Before a frame is added, the device and the ring should hold a callback and the margin.
    /// Returns how much more they hold, in seconds.
    fn excess_s(&self, now: Instant) -> f64 {
        let rate_hz = self.link.shared.rate_hz;
        self.held_s(now) - self.pace.target(rate_hz) / f64::from(rate_hz)
    }

    fn slack(&self, now: Instant) -> Duration {
        if self.link.shared.is_resting() {
            return Duration::ZERO;
        }
        let callback_s = self.pace.callback() / f64::from(self.link.shared.rate_hz);
        let slack_s = self.held_s(now) - callback_s - SLACK_LEFT_S;
        Duration::from_secs_f64(slack_s.max(0.0))
    }

    fn ring_fill(&self) -> usize {
        self.link.ring.buffer().capacity() - self.link.ring.slots()
    }

    fn push_silence(&mut self, samples: usize) {
        let samples = samples.min(self.link.ring.slots());
        for _ in 0..samples {
            let _ = self.link.ring.push(0.0);
        }
    }
}

impl Sink for Speaker {
    fn write(&mut self, frame: &[i16]) {
        self.write_at(frame, Instant::now());
    }

    fn write_silence(&mut self, frame: &[i16]) {
        self.write_silence_at(frame, Instant::now());
    }

    fn slack(&mut self) -> Option<Duration> {
        Some(self.slack_at(Instant::now()))
    }

    fn delay_ms(&self) -> u32 {
        self.delay_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::callback::{self, PlaybackCallback};
    use std::sync::mpsc;

    /// A device on virtual time whose clock runs `ppm` fast.
    struct Device {
        callback: PlaybackCallback,
        rate_hz: f64,
        buffer: Vec<f32>,
        callbacks: usize,
        heard: Vec<f32>,
        start: Instant,
    }

    impl Device {
        fn run_until(&mut self, now: Instant) {
            loop {
                let at = (self.callbacks * self.buffer.len()) as f64 / self.rate_hz;
                let at = self.start + Duration::from_secs_f64(at);
                if at > now {
                    return;
                }
                self.callback.fill(&mut self.buffer, at);
                self.callbacks += 1;
                self.heard.extend_from_slice(&self.buffer);
            }
        }
    }

    fn connect(
        rate_hz: u32,
        ppm: f64,
        callback_frames: usize,
    ) -> (Device, Speaker, mpsc::Sender<PlaybackLink>) {
        let start = Instant::now();
        let (callback, link) = callback::playback(rate_hz, 1, start);
        let (sender, receiver) = mpsc::channel();
        sender.send(link).unwrap();
        let rate_hz = f64::from(rate_hz) * (1.0 + ppm * 1e-6);
        let buffer = vec![0.0; callback_frames];
        let device = Device {
            callback,
            rate_hz,
            buffer,
            callbacks: 0,
            heard: Vec::new(),
            start,
        };
        (device, Speaker::new(receiver), sender)
    }

    fn tone_frame(number: u64) -> [i16; 320] {
        std::array::from_fn(|n| {
            let n = (number * 320 + n as u64) as f64;
            (16_384.0 * (std::f64::consts::TAU * 440.0 * n / 16_000.0).sin()) as i16
        })
    }

    #[test]
    fn a_drifting_speaker_never_runs_dry_and_never_piles_up() {
        for (rate_hz, callback_frames, ppm) in [
            (48_000, 480, 300.0),
            (48_000, 480, -300.0),
            (44_100, 1_024, 80.0),
            (16_000, 100, -80.0),
            (96_000, 960, 0.0),
        ] {
            let (mut device, mut speaker, _sender) = connect(rate_hz, ppm, callback_frames);
            for n in 0..6_000u64 {
                let now = device.start + Duration::from_micros(n * 20_000 + n * 7_919 % 3_000);
                device.run_until(now);
                speaker.write_at(&tone_frame(n), now);
            }
            let shortfalls = device.callback.shared.shortfalls();
            assert!(
                shortfalls <= 2,
                "{rate_hz} Hz {ppm} ppm: ran dry {shortfalls} times"
            );
            assert!(
                speaker.delay_ms() < 60,
                "{rate_hz} Hz {ppm} ppm: {} ms",
                speaker.delay_ms()
            );
            let settled = &device.heard[rate_hz as usize * 2..];
            let steepest = 0.5 * std::f64::consts::TAU * 440.0 / f64::from(rate_hz) * 1.02;
            let step = settled
                .windows(2)
                .map(|w| f64::from((w[1] - w[0]).abs()))
                .fold(0.0, f64::max);
            assert!(
                step < steepest,
                "{rate_hz} Hz {ppm} ppm: a step of {step}, the tone has {steepest}"
            );
        }
    }

    /// Returns how long a frame written at `now` waits in the ring and in the callback, in
    /// milliseconds, by when its first loud sample is heard.
    fn first_heard_ms(device: &Device, since: usize, written_at: Instant) -> f64 {
        let first = device.heard[since..].iter().position(|s| s.abs() > 0.1);
        let first = (since + first.expect("it is heard")) as f64 / device.rate_hz;
        (device.start + Duration::from_secs_f64(first) - written_at).as_secs_f64() * 1_000.0
    }

    #[test]
    fn a_word_waits_for_no_silence_that_was_written_before_it() {
        let (mut device, mut speaker, _sender) = connect(48_000, 0.0, 120);
        let at = |n: u64, phase_us: u64| Duration::from_micros(20_000 * n + phase_us);
        let mut n = 0;
        for phase_us in [0, 3_700, 11_000, 19_000, 7_300] {
            for _ in 0..50 {
                let now = device.start + at(n, phase_us);
                device.run_until(now);
                speaker.write_silence_at(&[0; 320], now);
                n += 1;
            }
            let heard_before = device.heard.len();
            let begins = device.start + at(n, phase_us);
            for _ in 0..50 {
                let now = device.start + at(n, phase_us);
                device.run_until(now);
                speaker.write_at(&[16_384; 320], now);
                n += 1;
            }
            let ms = first_heard_ms(&device, heard_before, begins);
            // A callback of 2.5 ms, the margin of 8 to start with, and the converter's 4 ms.
            assert!((2.0..17.0).contains(&ms), "at {phase_us} us: {ms} ms");
        }
        assert_eq!(device.callback.shared.shortfalls(), 0, "a pause is none");
    }

    #[test]
    fn a_pause_within_a_talkspurt_takes_what_is_not_needed() {
        let (mut device, mut speaker, _sender) = connect(48_000, 0.0, 120);
        for n in 0..600u64 {
            let now = device.start + Duration::from_millis(20 * n);
            device.run_until(now);
            if n < 500 {
                speaker.write_at(&tone_frame(n), now);
            } else {
                speaker.write_at(&[10; 320], now);
            }
        }
        let open = speaker.end.open.as_ref().unwrap();
        let held_ms = open.held_s(device.start + Duration::from_millis(12_000)) * 1_000.0;
        assert!(
            (20.0..28.0).contains(&held_ms),
            "{held_ms} ms with the last frame"
        );
        assert_eq!(device.callback.shared.shortfalls(), 0);
    }

    #[test]
    fn a_frame_may_be_put_off_as_long_as_there_is_sound() {
        let (mut device, mut speaker, _sender) = connect(48_000, 0.0, 120);
        let start = device.start;
        assert_eq!(speaker.slack_at(start), Duration::ZERO);
        for n in 0..50u64 {
            let now = start + Duration::from_millis(20 * n);
            device.run_until(now);
            speaker.write_at(&tone_frame(n), now);
        }
        let due = start + Duration::from_millis(1_000);
        device.run_until(due);
        let slack = speaker.slack_at(due);
        assert!(slack > Duration::from_millis(4), "{slack:?} of 8 ms");
        device.run_until(due + slack);
        speaker.write_at(&tone_frame(50), due + slack);
        assert_eq!(device.callback.shared.shortfalls(), 0);
    }

    #[test]
    fn excess_after_the_start_is_cut_and_not_bent_away() {
        let (mut device, mut speaker, _sender) = connect(48_000, 0.0, 480);
        let at = |n: u64| Duration::from_millis(20 * n);
        let begin = device.start;
        for n in 0..50 {
            if n == 5 {
                // The device takes nothing for 25 ms, as if it was filled before it started to
                // play.
                device.start += Duration::from_millis(25);
            }
            device.run_until(begin + at(n));
            speaker.write_at(&tone_frame(n), begin + at(n));
        }
        // One callback of 10 ms and the margin of 8 ms to start with.
        let delay_ms = speaker.delay_ms();
        assert!((12..=24).contains(&delay_ms), "{delay_ms} ms after 1 s");
        let drift_ppm = speaker.end.open.as_ref().unwrap().control.drift_ppm();
        assert!(drift_ppm.abs() < 100.0, "{drift_ppm} ppm of pitch");
    }

    #[test]
    fn catching_up_after_a_stall_adds_no_lasting_delay() {
        let (mut device, mut speaker, _sender) = connect(48_000, 0.0, 480);
        let at = |n: u64| Duration::from_millis(20 * n);
        for n in 0..50 {
            device.run_until(device.start + at(n));
            speaker.write_at(&tone_frame(n), device.start + at(n));
        }
        // The session slept for 700 ms and now catches up on 35 frames at once.
        let now = device.start + at(85);
        device.run_until(now);
        (50..85).for_each(|n| speaker.write_at(&tone_frame(n), now));
        // The last frame was dropped, behind those that wait.
        let delay_ms = speaker.delay_ms();
        assert!((60..110).contains(&delay_ms), "{delay_ms} ms");
    }

    #[test]
    fn what_was_said_last_comes_out_of_the_converter() {
        for rate_hz in [8_000, 16_000, 44_100, 48_000] {
            let (mut device, mut speaker, _sender) = connect(rate_hz, 0.0, 120);
            let mut frame = [0; 320];
            // Half a millisecond.
            frame[312..].fill(20_000);
            for n in 0..10 {
                let now = device.start + Duration::from_millis(20 * n);
                device.run_until(now);
                match n {
                    0 => speaker.write_at(&frame, now),
                    _ => speaker.write_silence_at(&[0; 320], now),
                }
            }
            let heard: f64 = device.heard.iter().map(|it| f64::from(*it)).sum();
            let said = 8.0 * 20_000.0 / 32_768.0 * f64::from(rate_hz) / 16_000.0;
            assert!(
                (heard / said - 1.0).abs() < 0.05,
                "{rate_hz} Hz: {heard} of {said}"
            );
        }
    }

    #[test]
    fn a_lost_device_swallows_frames_until_the_next_one_comes() {
        let (device, mut speaker, sender) = connect(48_000, 0.0, 480);
        let start = device.start;
        (0..2).for_each(|n| speaker.write_at(&tone_frame(n), start));
        assert!(speaker.delay_ms() > 0);
        drop(device);
        speaker.write_at(&tone_frame(1), start);
        assert!(speaker.end.open.is_none());
        assert_eq!(speaker.delay_ms(), 0, "nothing waits");
        let (mut callback, link) = callback::playback(8_000, 2, start);
        sender.send(link).unwrap();
        (2..4).for_each(|n| speaker.write_at(&tone_frame(n), start));
        let mut out = [0i16; 640];
        callback.fill(&mut out, start);
        assert!(
            out.iter().any(|&sample| sample > 8_000),
            "the new device is heard"
        );
    }
}
