//! The session's side of a microphone: frames for the room, whatever the device delivers.

use super::{
    Direction,
    callback::CaptureLink,
    session_end::{OpenStream, SessionEnd},
};
use crate::audio::{Captured, ROOM_RATE_HZ, Source, to_i16};
use rtrb::Consumer;
use std::{sync::mpsc::Receiver, time::Instant};

/// More than this above the target is old sound (the session was stalled) and is dropped. Seconds.
const EXCESS_MAX_S: f64 = 0.080;

/// A microphone as a [`Source`]. It outlives its device: after a loss it is silent until the
/// supervisor has reopened one.
pub struct Microphone {
    end: SessionEnd<Consumer<f32>>,
}

impl Microphone {
    pub(super) fn new(links: Receiver<CaptureLink>) -> Self {
        Self {
            end: SessionEnd::new(Direction::Input, links),
        }
    }

    fn read_at(&mut self, frame: &mut [i16], now: Instant) -> Captured {
        match self.end.current(frame.len(), Consumer::is_abandoned) {
            Some(open) => open.read(frame, now),
            None => {
                frame.fill(0);
                Captured::Missing
            }
        }
    }
}

impl OpenStream<Consumer<f32>> {
    fn read(&mut self, frame: &mut [i16], now: Instant) -> Captured {
        let rate_hz = f64::from(self.link.shared.rate_hz);
        let frame_s = frame.len() as f64 / f64::from(ROOM_RATE_HZ);
        self.pace.observe(&self.link.shared, frame_s);
        // Before a frame is taken, the device and the ring should hold that frame, a callback and
        // the margin.
        let target = self.converter.needs() as f64 + self.pace.target(self.link.shared.rate_hz);
        let settled = self.link.ring.slots() as f64 + self.link.shared.since_callback(now);
        if self.primed && settled > target + EXCESS_MAX_S * rate_hz {
            self.drop_samples((settled - target) as usize);
        } else if self.primed && !self.settling.is_over() {
            if let Some(excess) = self.settling.observe(settled - target, frame_s) {
                // Only an excess is cut. The pitch makes up for a lack, as missing sound cannot be
                // added.
                self.drop_samples(excess.max(0.0) as usize);
            }
        } else if self.primed {
            let correction = self.control.update((settled - target) / rate_hz, frame_s);
            self.converter.set_correction(correction);
        }
        let enough = self.link.ring.slots() >= self.converter.needs();
        if self.primed && !enough {
            tracing::debug!("the microphone ran dry");
            self.pace.widen();
            self.control.forget_fill();
            self.primed = false;
        } else if !self.primed {
            self.primed = settled >= target && enough;
            self.settling.restart();
        }
        if self.primed {
            self.convert(frame);
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
        for (out, &sample) in frame.iter_mut().zip(self.converter.convert(&self.input)) {
            *out = to_i16(sample);
        }
    }

    /// Drops old samples, but never those of the frame about to be read.
    fn drop_samples(&mut self, count: usize) {
        let held = self.link.ring.slots();
        let samples = count.min(held.saturating_sub(self.converter.needs()));
        for _ in 0..samples {
            let _ = self.link.ring.pop();
        }
        self.control.forget_fill();
        tracing::debug!(samples, "dropped old sound from the microphone");
    }
}

impl Source for Microphone {
    fn read(&mut self, frame: &mut [i16]) -> Captured {
        self.read_at(frame, Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::callback::{self, CaptureCallback};
    use std::{sync::mpsc, time::Duration};
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
            self.recorded = (now - self.start).as_secs_f64() * self.rate_hz;
            while self.delivered + self.callback_frames <= self.recorded as usize {
                let phase = |n: usize| {
                    0.5 * (std::f64::consts::TAU * 440.0 * n as f64 / self.rate_hz).sin()
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
        let (callback, link) = callback::capture(rate_hz, 1, InputChannel::Voice, start);
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
        let (mut callback, link) = callback::capture(44_100, 2, InputChannel::Voice, lost_at);
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
