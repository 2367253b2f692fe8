use super::*;

const SLACK: Duration = Duration::from_millis(3);

/// What became of a talkspurt's frames.
#[derive(Debug, Default)]
struct Outcome {
    /// How long each waited from its coming to its playing.
    waits: Vec<Duration>,
    /// Frame periods in which the next frame had not come in time.
    missing: u32,
}

fn ms(ms: f64) -> Duration {
    Duration::from_secs_f64(ms / 1_000.0)
}

/// Plays a talkspurt whose packets come at these times, on a device that has sound for `SLACK` when
/// a frame is due. Pauses last for every tenth frame.
fn play(clock: &mut PlayoutClock, arrivals: &[Instant]) -> Outcome {
    let mut played = Outcome::default();
    let (mut came, mut taken) = (0, 0);
    // Everything happens in steps of 0.1 ms, from the frame before the talkspurt on.
    let mut now = arrivals[0] - clock.frame;
    while taken < arrivals.len() {
        let before = came;
        came += arrivals[came..].iter().take_while(|at| **at <= now).count();
        if came > before {
            clock.arrived(now, (came - before) as u32);
        }
        let hearing = Hearing {
            is_active: came > 0,
            is_next_here: came > taken,
            // The device has sound for so long after a frame is due.
            slack: (clock.due + SLACK).saturating_duration_since(now),
            waiting_frames: (came - taken) as u16,
        };
        if now >= clock.next_due(now, hearing) {
            let is_here = came > taken;
            if is_here {
                played.waits.push(now - arrivals[taken]);
                taken += 1;
            } else {
                played.missing += u32::from(came > 0);
            }
            let waiting = (came - taken) as u16;
            clock.played(Played {
                is_received: is_here,
                is_pause: taken.is_multiple_of(10),
                waiting_frames: waiting,
                margin_frames: 0,
            });
        }
        now += Duration::from_micros(100);
    }
    // The pause after it.
    let silent = Hearing {
        is_active: false,
        is_next_here: false,
        slack: Duration::ZERO,
        waiting_frames: 0,
    };
    clock.next_due(now, silent);
    played
}

/// A talkspurt that begins at `start`, each frame late by what `late_ms` says.
fn arrivals(start: Instant, frame_ms: u64, late_ms: impl Fn(u64) -> f64) -> Vec<Instant> {
    let at = |n| start + Duration::from_millis(n * frame_ms) + ms(late_ms(n));
    (0..3_000 / frame_ms).map(at).collect()
}

#[test]
fn frames_that_come_evenly_wait_for_no_phase() {
    for frame_ms in [5u8, 10, 20] {
        let start = Instant::now();
        let mut clock = PlayoutClock::new(start, frame_ms);
        for (nth, phase_ms) in [0.0, 7.3, 13.9, 19.9].into_iter().enumerate() {
            let begins = start + Duration::from_secs(10 * (nth as u64 + 1)) + ms(phase_ms);
            let played = play(&mut clock, &arrivals(begins, frame_ms.into(), |_| 0.0));
            assert_eq!(played.missing, 0);
            let longest = played.waits.iter().max().unwrap();
            assert!(
                *longest <= ms(2.2),
                "{frame_ms} ms at {phase_ms}: {longest:?}"
            );
            // Nothing comes late, so little is waited for in the end.
            let last = played.waits[played.waits.len() - 1];
            assert!(
                last <= ms(0.7),
                "{frame_ms} ms at {phase_ms}: {last:?} in the end"
            );
        }
    }
}

#[test]
fn late_frames_move_the_clock_and_calm_moves_it_back() {
    let start = Instant::now();
    let mut clock = PlayoutClock::new(start, 20);
    // Every 7th comes 6 ms late: the allowance of 2 and the slack of 3 do not suffice at first.
    let unsteady = |n: u64| if n % 7 == 3 { 6.0 } else { 0.0 };
    let begins = start + Duration::from_secs(1);
    let played = play(&mut clock, &arrivals(begins, 20, unsteady));
    assert!(played.missing <= 2, "{} missing", played.missing);
    let again = play(&mut clock, &arrivals(begins + ms(5_007.0), 20, unsteady));
    assert_eq!(again.missing, 0, "it is known from before");
    let longest = again.waits.iter().max().unwrap();
    assert!(*longest < ms(8.0), "{longest:?}");
    let calm = play(&mut clock, &arrivals(begins + ms(10_013.0), 20, |_| 0.0));
    let last = calm.waits[calm.waits.len() - 1];
    assert!(last < ms(1.0), "{last:?} after 3 s of calm");
}

#[test]
fn a_frame_that_comes_within_the_slack_is_waited_for() {
    let start = Instant::now();
    let mut clock = PlayoutClock::new(start, 20);
    let late = |n: u64| if n == 120 { 3.3 } else { 0.0 };
    let played = play(&mut clock, &arrivals(start + ms(500.0), 20, late));
    assert_eq!((played.missing, played.waits.len()), (0, 150));
}

#[test]
fn what_was_missed_in_a_stall_is_not_played_later() {
    let start = Instant::now();
    let mut clock = PlayoutClock::new(start, 20);
    assert_eq!(clock.take_missed(start + ms(59.0)), 0, "a hiccup");
    assert_eq!(clock.take_missed(start + ms(1_010.0)), 50);
    assert_eq!(clock.take_missed(start + ms(1_010.0)), 0, "told once");
    let silent = Hearing {
        is_active: false,
        is_next_here: false,
        slack: Duration::ZERO,
        waiting_frames: 0,
    };
    let due = clock.next_due(start + ms(1_010.0), silent);
    assert_eq!(due, start + ms(1_000.0), "the frame of this period");
}

#[test]
fn silence_is_played_evenly() {
    let start = Instant::now();
    let mut clock = PlayoutClock::new(start, 10);
    let silent = Hearing {
        is_active: false,
        is_next_here: false,
        slack: SLACK,
        waiting_frames: 0,
    };
    for n in 0..100 {
        let due = start + Duration::from_millis(10 * n);
        assert_eq!(clock.next_due(due, silent), due);
        clock.played(Played {
            is_received: false,
            is_pause: true,
            waiting_frames: 0,
            margin_frames: 0,
        });
    }
}

/// A talkspurt whose next frame has come, and of which so many wait.
fn waiting(waiting_frames: u16) -> Hearing {
    Hearing {
        is_active: true,
        is_next_here: true,
        slack: SLACK,
        waiting_frames,
    }
}

#[test]
fn what_waits_on_purpose_is_no_surplus() {
    let start = Instant::now();
    let mut clock = PlayoutClock::new(start, 20);
    clock.arrived(start, 2);
    for n in 0..200 {
        let now = start + Duration::from_millis(20 * n);
        clock.arrived(now, 1);
        let due = clock.next_due(now, waiting(3));
        assert!(due >= now, "frame {n} is due {:?} too early", now - due);
        clock.played(Played {
            is_received: true,
            is_pause: true,
            waiting_frames: 2,
            margin_frames: 2,
        });
    }
}

#[test]
fn packets_of_the_talkspurt_before_say_nothing_of_this_one() {
    let start = Instant::now();
    let mut clock = PlayoutClock::new(start, 20);
    let silent = Hearing {
        is_active: false,
        ..waiting(0)
    };
    for begins_s in [0, 5, 10] {
        let now = start + Duration::from_secs(begins_s);
        clock.arrived(now, 1);
        let due = clock.next_due(now, waiting(1));
        assert!(
            due - now < ms(3.0),
            "{:?} in the talkspurt at {begins_s} s",
            due - now
        );
        // More wait than have come in this one, and then as many.
        for waiting_frames in [1, 0] {
            clock.played(Played {
                is_received: true,
                is_pause: false,
                waiting_frames,
                margin_frames: 0,
            });
        }
        clock.next_due(now, silent);
    }
}
