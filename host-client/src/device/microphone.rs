//! The session's side of a microphone: frames for the room, whatever the device delivers.

use super::{
    Direction,
    callback::CaptureLink,
    session_end::{OpenStream, SessionEnd},
    splice::{blend_samples, is_quiet},
};
use crate::audio::{Captured, ROOM_RATE_HZ, Source, to_i16};
use rtrb::Consumer;
use std::{
    mem,
    sync::mpsc::Receiver,
    time::{Duration, Instant},
};

/// More than this above the target is old sound (the session was stalled) and is dropped. Seconds.
const EXCESS_MAX_S: f64 = 0.020;
/// While nothing is sent, an excess above this is dropped. Seconds.
const SURPLUS_S: f64 = 0.001;

/// A microphone as a [`Source`]. It outlives its device: after a loss it is silent until the
/// supervisor has reopened one.
pub struct Microphone {
    end: SessionEnd<Consumer<f32>>,
    /// How long ago the last frame ended.
    age: Duration,
}

impl Microphone {
    pub(super) fn new(links: Receiver<CaptureLink>) -> Self {
        Self {
            end: SessionEnd::new(Direction::Input, links),
            age: Duration::ZERO,
        }
    }

    fn current(&mut self, frame_samples: usize) -> Option<&mut OpenStream<Consumer<f32>>> {
        self.end.current(frame_samples, Consumer::is_abandoned)
    }

    fn is_ready_at(&mut self, frame_samples: usize, now: Instant) -> bool {
        self.current(frame_samples)
            .is_none_or(|open| open.is_ready(now))
    }

    fn read_at(&mut self, frame: &mut [i16], now: Instant) -> Captured {
        let Some(open) = self.current(frame.len()) else {
            frame.fill(0);
            return Captured::Missing;
        };
        let captured = open.read(frame, now);
        self.age = Duration::from_secs_f64(open.age_s(now));
        captured
    }
}

impl OpenStream<Consumer<f32>> {
    /// Before a frame is taken, the device and the ring should hold that frame, a callback and the
    /// margin. Returns how much more they hold, in seconds.
    fn excess_s(&self, now: Instant) -> f64 {
        let shared = &self.link.shared;
        let target = self.converter.needs() as f64 + self.pace.target(shared.rate_hz);
        let settled = self.link.ring.slots() as f64 + shared.since_callback(now);
        (settled - target) / f64::from(shared.rate_hz)
    }

    /// Returns how long ago the frame ended that was taken last, in seconds: what came after it is
    /// in the ring, the device or the converter.
    fn age_s(&self, now: Instant) -> f64 {
        let shared = &self.link.shared;
        let held = self.link.ring.slots() as f64 + shared.since_callback(now);
        held / f64::from(shared.rate_hz) + self.converter.delay_s() + shared.hardware_delay_s()
    }

    fn note_late(&mut self, now: Instant) {
        let late_s = self.control.usual_excess_s() - self.excess_s(now);
        let widened_s = self.pace.note_late(late_s);
        self.control.target_rose(widened_s);
    }

    fn is_ready(&mut self, now: Instant) -> bool {
        let needs = self.converter.needs();
        if !self.primed || self.link.ring.slots() >= needs {
            return true;
        }
        self.link.shared.wake_at(needs);
        if self.link.ring.slots() >= needs {
            return true;
        }
        self.note_late(now);
        false
    }

    fn read(&mut self, frame: &mut [i16], now: Instant) -> Captured {
        let frame_s = frame.len() as f64 / f64::from(ROOM_RATE_HZ);
        self.pace.observe(&self.link.shared, frame_s);
        let skipped_s = mem::take(&mut self.skipped_s);
        if self.primed && skipped_s > 0.0 {
            self.drop_oldest(skipped_s);
        }
        let mut excess_s = self.excess_s(now);
        if self.primed && self.settling.is_over() {
            self.note_late(now);
            // That may have moved the target.
            excess_s = self.excess_s(now);
        }
        let is_unheard = mem::take(&mut self.is_unheard);
        if self.primed && excess_s > EXCESS_MAX_S {
            self.drop_oldest(excess_s);
        } else if self.primed && !self.settling.is_over() {
            if let Some(excess_s) = self.settling.observe(excess_s, frame_s) {
                // Only an excess is cut. The pitch makes up for a lack, as missing sound cannot be
                // added.
                self.drop_oldest(excess_s.max(0.0));
            }
        } else if self.primed {
            let correction = self.control.update(excess_s, frame_s);
            self.converter.set_correction(correction);
            if is_unheard {
                let surplus_s = self.surplus_s();
                self.drop_oldest(surplus_s);
            }
        }
        let enough = self.link.ring.slots() >= self.converter.needs();
        if self.primed && !enough {
            tracing::debug!("the microphone ran dry");
            self.pace.widen();
            self.control.forget_fill();
            self.primed = false;
        } else if !self.primed {
            self.primed = excess_s >= 0.0 && enough;
            self.settling.restart();
        }
        if self.primed {
            self.convert(frame);
            self.is_unheard = is_quiet(frame);
            Captured::Frame
        } else {
            frame.fill(0);
            Captured::Missing
        }
    }

    fn convert(&mut self, frame: &mut [i16]) {
        let needs = self.converter.needs();
        self.input.clear();
        while self.input.len() < needs {
            // The caller made sure that there are enough. A missing sample is silence, not a panic.
            self.input.push(self.link.ring.pop().unwrap_or(0.0));
        }
        let blended = self.input.len().min(self.dropped.len());
        for (n, old) in self.dropped.drain(..).take(blended).enumerate() {
            let share = (n + 1) as f32 / (blended + 1) as f32;
            self.input[n] = old + (self.input[n] - old) * share;
        }
        for (out, &sample) in frame.iter_mut().zip(self.converter.convert(&self.input)) {
            *out = to_i16(sample);
        }
    }

    /// Drops so much of the oldest sound, but never that of the frame about to be read. What
    /// follows is blended with its beginning.
    fn drop_oldest(&mut self, span_s: f64) {
        let rate_hz = f64::from(self.link.shared.rate_hz);
        let held = self.link.ring.slots();
        let spare = held.saturating_sub(self.converter.needs());
        let samples = ((span_s * rate_hz) as usize).min(spare);
        let blend = blend_samples(self.link.shared.rate_hz);
        if samples == 0 {
            return;
        }
        self.dropped.clear();
        for _ in 0..samples {
            let sample = self.link.ring.pop().unwrap_or(0.0);
            if self.dropped.len() < blend {
                self.dropped.push(sample);
            }
        }
        self.control.forget_fill();
        tracing::debug!(samples, "dropped old sound from the microphone");
    }

    /// Narrows the margin to what is needed. Returns what waits beyond that, in seconds.
    fn surplus_s(&mut self) -> f64 {
        let narrowed_s = self.pace.narrow();
        self.control.target_rose(-narrowed_s);
        let surplus_s = self.control.usual_excess_s();
        if surplus_s > SURPLUS_S {
            surplus_s
        } else {
            0.0
        }
    }
}

impl Source for Microphone {
    fn read(&mut self, frame: &mut [i16]) -> Captured {
        self.read_at(frame, Instant::now())
    }

    fn is_ready(&mut self, frame_samples: usize) -> bool {
        self.is_ready_at(frame_samples, Instant::now())
    }

    fn age(&self) -> Duration {
        self.age
    }

    fn may_drop(&mut self) {
        if let Some(open) = &mut self.end.open {
            open.is_unheard = true;
        }
    }

    fn skip(&mut self, span: Duration) {
        if let Some(open) = &mut self.end.open {
            open.skipped_s += span.as_secs_f64();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::callback::{self, CaptureCallback};
    use std::sync::mpsc;
    use talkspurt_host_kit::channels::InputChannel;

    /// A device on virtual time whose clock runs `ppm` fast.
    struct Device {
        callback: CaptureCallback,
        rate_hz: f64,
        callback_frames: usize,
        recorded: f64,
        delivered: usize,
        start: Instant,
    }

    impl Device {
        fn run_until(&mut self, now: Instant) {
            self.run_silent_until(now, false);
        }

        fn run_silent_until(&mut self, now: Instant, is_silent: bool) {
            self.recorded = (now - self.start).as_secs_f64() * self.rate_hz;
            while self.delivered + self.callback_frames <= self.recorded as usize {
                let phase = |n: usize| {
                    0.5 * f64::from(u8::from(!is_silent))
                        * (std::f64::consts::TAU * 440.0 * n as f64 / self.rate_hz).sin()
                };
                let data: Vec<f32> = (self.delivered..self.delivered + self.callback_frames)
                    .map(|n| phase(n) as f32)
                    .collect();
                self.delivered += self.callback_frames;
                let at = self.start + Duration::from_secs_f64(self.delivered as f64 / self.rate_hz);
                self.callback.take(&data, at);
            }
        }
    }

    fn connect(
        rate_hz: u32,
        ppm: f64,
        callback_frames: usize,
    ) -> (Device, Microphone, mpsc::Sender<CaptureLink>) {
        let start = Instant::now();
        let (callback, link) = callback::capture(rate_hz, 1, InputChannel::Voice, None, start);
        let (sender, receiver) = mpsc::channel();
        sender.send(link).unwrap();
        let rate_hz = f64::from(rate_hz) * (1.0 + ppm * 1e-6);
        let device = Device {
            callback,
            rate_hz,
            callback_frames,
            recorded: 0.0,
            delivered: 0,
            start,
        };
        (device, Microphone::new(receiver), sender)
    }

    #[test]
    fn a_drifting_microphone_gives_every_frame_without_a_gap() {
        for (rate_hz, callback_frames, ppm) in [
            (48_000, 480, 300.0),
            (48_000, 480, -300.0),
            (44_100, 1_024, 80.0),
            (16_000, 100, -80.0),
            (8_000, 37, 0.0),
        ] {
            let (mut device, mut microphone, _sender) = connect(rate_hz, ppm, callback_frames);
            let (mut missing, mut heard) = (0, Vec::new());
            for n in 1..=6_000u64 {
                // The session wakes up to 3 ms late.
                let now = device.start + Duration::from_micros(n * 20_000 + n * 7_919 % 3_000);
                device.run_until(now);
                let mut frame = [0; 320];
                match microphone.read_at(&mut frame, now) {
                    Captured::Frame => heard.extend_from_slice(&frame),
                    other => {
                        assert_eq!(other, Captured::Missing);
                        missing += 1;
                    }
                }
            }
            assert!(
                missing <= 6,
                "{rate_hz} Hz {ppm} ppm: {missing} frames missing (a few at the start are due)"
            );
            assert_eq!(device.callback_shortfalls(), 0);
            // A 440 Hz tone at half scale never moves more than this between two samples; a gap or
            // a jump does.
            let step = heard[16_000..]
                .windows(2)
                .map(|w| (i32::from(w[1]) - i32::from(w[0])).abs())
                .max()
                .unwrap();
            assert!(step < 2_900, "{rate_hz} Hz {ppm} ppm: a step of {step}");
        }
    }

    impl Device {
        fn callback_shortfalls(&self) -> u32 {
            self.callback.shared.shortfalls()
        }
    }

    #[test]
    fn sound_from_a_stall_of_the_session_is_dropped() {
        let (mut device, mut microphone, _sender) = connect(48_000, 0.0, 480);
        let mut frame = [0; 320];
        for n in 1..=50u32 {
            let now = device.start + Duration::from_millis(20) * n;
            device.run_until(now);
            microphone.read_at(&mut frame, now);
        }
        let now = device.start + Duration::from_millis(1_900);
        device.run_until(now);
        assert_eq!(microphone.read_at(&mut frame, now), Captured::Frame);
        let left_ms = microphone.end.open.as_ref().unwrap().link.ring.slots() / 48;
        assert!(left_ms < 40, "{left_ms} ms of old sound left");
    }

    /// How much sound waits in the ring and in the device, in milliseconds.
    fn held_ms(microphone: &Microphone, now: Instant) -> f64 {
        let open = microphone.end.open.as_ref().unwrap();
        let held = open.link.ring.slots() as f64 + open.link.shared.since_callback(now);
        held * 1_000.0 / f64::from(open.link.shared.rate_hz)
    }

    /// Reads frames of 20 ms, on time, with `before` called before each. Returns how much waits in
    /// the end, before the next one is due.
    fn held_after(frames: u32, mut before: impl FnMut(u32, &mut Microphone)) -> f64 {
        let (mut device, mut microphone, _sender) = connect(48_000, 0.0, 120);
        let at = |n: u32| Duration::from_millis(20) * n;
        for n in 1..=frames {
            let now = device.start + at(n);
            device.run_until(now);
            before(n, &mut microphone);
            microphone.read_at(&mut [0; 320], now);
        }
        let now = device.start + at(frames + 1);
        device.run_until(now);
        held_ms(&microphone, now)
    }

    #[test]
    fn what_is_not_needed_is_dropped_while_nobody_hears_it() {
        // A frame of 20 ms, a callback of 2.5, and the margin of 8 to start with.
        let heard = held_after(500, |_, _| ());
        assert!(
            (29.0..34.0).contains(&heard),
            "{heard} ms while all is heard"
        );
        // Nothing was late, so the margin is the least: 2 ms.
        let unheard = held_after(500, |_, microphone| microphone.may_drop());
        assert!((23.0..26.0).contains(&unheard), "{unheard} ms");
    }

    #[test]
    fn a_pause_in_the_sound_is_one_that_nobody_hears() {
        let (mut device, mut microphone, _sender) = connect(48_000, 0.0, 120);
        for n in 1..=500u32 {
            let now = device.start + Duration::from_millis(20) * n;
            device.run_silent_until(now, n > 400);
            microphone.read_at(&mut [0; 320], now);
        }
        let now = device.start + Duration::from_millis(20) * 501;
        device.run_silent_until(now, true);
        let held = held_ms(&microphone, now);
        assert!((23.0..26.0).contains(&held), "{held} ms");
    }

    #[test]
    fn a_frame_that_is_not_whole_is_waited_for() {
        let (mut device, mut microphone, _sender) = connect(48_000, 0.0, 480);
        for n in 1..=300u32 {
            let now = device.start + Duration::from_millis(20) * n;
            device.run_until(now);
            microphone.may_drop();
            microphone.read_at(&mut [0; 320], now);
        }
        // The device is 12 ms late.
        let due = device.start + Duration::from_millis(20) * 301;
        device.run_until(due - Duration::from_millis(20));
        assert!(!microphone.is_ready_at(320, due));
        device.run_until(due);
        assert!(microphone.is_ready_at(320, due));
        assert_eq!(microphone.read_at(&mut [0; 320], due), Captured::Frame);
        // Nothing was lost, and from now on there is more in reserve.
        let target = microphone.end.open.as_ref().unwrap().pace.target(48_000) / 48.0;
        assert!(target > 15.0, "{target} ms");
    }

    #[test]
    fn frames_that_begin_later_wait_no_longer() {
        let mut held = [0.0; 2];
        for (held, shift_ms) in held.iter_mut().zip([0, 13]) {
            let (mut device, mut microphone, _sender) = connect(48_000, 0.0, 120);
            let mut shift = Duration::ZERO;
            for n in 1..=300u32 {
                if n == 200 {
                    shift = Duration::from_millis(shift_ms);
                    microphone.skip(shift);
                }
                let now = device.start + Duration::from_millis(20) * n + shift;
                device.run_until(now);
                assert!(n < 5 || microphone.is_ready_at(320, now), "frame {n}");
                microphone.read_at(&mut [0; 320], now);
            }
            let now = device.start + Duration::from_millis(20) * 301 + shift;
            device.run_until(now);
            *held = held_ms(&microphone, now);
        }
        assert!((held[0] - held[1]).abs() < 1.0, "{held:?} ms");
    }

    #[test]
    fn a_session_with_other_frames_goes_on_with_the_same_device() {
        let (mut device, mut microphone, _sender) = connect(48_000, 0.0, 480);
        let mut missing = 0;
        for n in 1..=100 {
            let now = device.start + Duration::from_millis(20) * n;
            device.run_until(now);
            let lengths = if n <= 50 { &[320][..] } else { &[160; 2] };
            for &length in lengths {
                let captured = microphone.read_at(&mut vec![0; length], now);
                missing += u32::from(captured != Captured::Frame);
            }
        }
        assert!(missing <= 12, "{missing} frames missing, at the two starts");
    }

    #[test]
    fn a_lost_device_is_silent_until_the_next_one_comes() {
        let (mut device, mut microphone, sender) = connect(48_000, 0.0, 480);
        let mut frame = [1; 320];
        for n in 1..=10u32 {
            let now = device.start + Duration::from_millis(20) * n;
            device.run_until(now);
            microphone.read_at(&mut frame, now);
        }
        let lost_at = device.start + Duration::from_millis(220);
        drop(device);
        assert_eq!(microphone.read_at(&mut frame, lost_at), Captured::Missing);
        assert_eq!(frame, [0; 320]);
        let (mut callback, link) = callback::capture(44_100, 2, InputChannel::Voice, None, lost_at);
        sender.send(link).unwrap();
        let mut heard = 0;
        for n in 1..=20u32 {
            let now = lost_at + Duration::from_millis(20) * n;
            callback.take(&[0.25f32; 1_764], now);
            heard += u32::from(microphone.read_at(&mut frame, now) == Captured::Frame);
        }
        assert!(
            heard >= 15,
            "{heard} of 20 frames after the device came back"
        );
        assert!((i32::from(frame[160]) - 8_192).abs() < 10, "{}", frame[160]);
    }
}
