//! How much of what was spoken was heard: in order, within a bound of delay, with which gaps, and what was heard besides.
//!
//! Speech is looked for twice. First in parts that are long enough to be found anywhere within the bound: those that are
//! found in order tell the delay. Then frame by frame at these delays: a frame counts as heard only there.

use std::fmt;
use std::ops::Range;
use std::time::Instant;

use anyhow::{Result, ensure};

use crate::analysis::{Recording, rms, speech_parts};
use crate::wav::{millis, samples};

/// What is heard or not: a frame of 20 ms.
const FRAME: usize = samples(20);
/// What tells the delay: long enough that other speech is not taken for it.
const PART: usize = samples(200);
/// Frames above this RMS are speech, where a gate lets them pass.
const SPEECH_RMS: f64 = 300.0;
/// What every gate with the default thresholds lets pass: from a frame of this RMS on ...
const OPENS_RMS: f64 = 2_300.0;
/// ... until so many frames in a row (200 ms; the gate holds 300 ms) ...
const HOLD_FRAMES: usize = 10;
/// ... were softer than this. (Thresholds are 2,000 and 500, of frames that begin elsewhere.)
const CLOSES_RMS: f64 = 600.0;
/// A part that is less similar has no delay of its own: it is missing, or its delay changes in its midst.
const PART_FOUND: f64 = 0.9;
/// A frame that is less similar was not heard: its noise is louder than a third of it.
const FRAME_HEARD: f64 = 0.95;
/// Two parts in order may overlap by this much: playout that drops frames to catch up brings them closer.
const OVERLAP: usize = samples(80);
/// How far a frame may be from where the parts around it put it: clocks that differ, and resamplers.
const DRIFT: i64 = 16;
/// The moments from which delay is counted come from two processes, and agree within this.
const EARLY: i64 = samples(200) as i64;
/// Concealment, fading and the reverberation of filters last no longer than this beyond the speech.
const TAIL: usize = samples(80);

/// How one talker was heard in a recording.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hearing {
    /// Frames in which there was speech.
    pub frames: usize,
    /// The share of them that was heard in order, within the bound of delay.
    pub share: f64,
    /// The cosine between these frames and what was heard of them: 1 without noise.
    pub similarity: f64,
    /// The longest stretch of speech that was not heard.
    pub gap_ms: f64,
    /// The least delay of a frame.
    pub least_delay_ms: f64,
    /// The median delay.
    pub delay_ms: f64,
    /// The greatest delay of a frame.
    pub most_delay_ms: f64,
    /// The stretches of the recording that are explained by this speech, its gaps included.
    explained: Vec<Range<usize>>,
}

impl fmt::Display for Hearing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.1} % of {} frames heard, similarity {:.4}, longest gap {:.0} ms, delay {:.0} to {:.0} ms",
            self.share * 100.0,
            self.frames,
            self.similarity,
            self.gap_ms,
            self.least_delay_ms,
            self.most_delay_ms
        )
    }
}

/// Looks for the speech in `spoken` where it is due: its first sample at the sample `due` of the recording or up to `latest`
/// samples later. `None` where `spoken` has no speech.
pub fn hear(spoken: &[i16], recording: &Recording<'_>, due: i64, latest: usize) -> Option<Hearing> {
    let parts = speech_parts(spoken, SPEECH_RMS, PART);
    let found = parts.into_iter().filter_map(|part| {
        let from = due + part.start as i64 - EARLY;
        let to = due + (part.end + latest) as i64;
        let range = from.max(0) as usize..to.max(0) as usize;
        let found = recording.find_within(&spoken[part.clone()], range)?;
        (found.similarity >= PART_FOUND).then_some(Anchor {
            spoken: part.start,
            heard: found.offset,
        })
    });
    let mut anchors = in_order(&found.collect::<Vec<_>>());
    let mut heard = Frames::compare(spoken, recording.samples(), &anchors);
    if !anchors.is_empty() {
        let bounds = due - EARLY..due + latest as i64;
        anchors.extend(heard.refine(spoken, recording, bounds));
        anchors.sort_by_key(|anchor| anchor.spoken);
        heard = Frames::compare(spoken, recording.samples(), &anchors);
    }
    (heard.frames > 0).then(|| heard.summary(spoken, due))
}

/// As [`hear`], of a recording whose beginning is not known in the talker's time: where the whole of `spoken` fits best, and
/// up to `spread` samples around. Delays are counted from the least that is possible then.
pub fn hear_anywhere(spoken: &[i16], recording: &Recording<'_>, spread: usize) -> Option<Hearing> {
    let place = recording.find(spoken).map_or(0, |found| found.offset);
    let due = place as i64 - spread as i64;
    hear(spoken, recording, due, 2 * spread)
}

/// Where the first sample of someone who joined at `talker` is due in the recording of someone who joined at `listener`: as
/// if nothing took time.
pub fn due(talker: Instant, listener: Instant) -> i64 {
    let ahead = talker.saturating_duration_since(listener).as_secs_f64();
    let behind = listener.saturating_duration_since(talker).as_secs_f64();
    ((ahead - behind) * 1_000.0 * PER_MS).round() as i64
}

/// How many milliseconds of `heard` are loud although nobody of `talkers` was speaking.
pub fn added_ms<'a>(heard: &[i16], talkers: impl IntoIterator<Item = &'a Hearing>) -> f64 {
    let mut explained = vec![false; heard.len().div_ceil(FRAME)];
    for range in talkers.into_iter().flat_map(|talker| &talker.explained) {
        let frames = range.start / FRAME..range.end.div_ceil(FRAME).min(explained.len());
        explained[frames].fill(true);
    }
    let frames = heard.chunks(FRAME).zip(explained);
    let added = frames.filter(|(frame, explained)| !explained && rms(frame) > SPEECH_RMS);
    millis(added.count() * FRAME)
}

/// What a hearing must be.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The least share of frames.
    pub share: f64,
    /// The least similarity of these.
    pub similarity: f64,
    /// The longest gap.
    pub gap_ms: f64,
    /// The greatest delay.
    pub delay_ms: f64,
    /// The greatest difference between two delays.
    pub spread_ms: f64,
}

impl Bounds {
    /// What of a hearing is out of bounds, in words with figures.
    pub fn faults(&self, hearing: &Hearing) -> Vec<String> {
        let spread = hearing.most_delay_ms - hearing.least_delay_ms;
        let percent = |share: f64| format!("{:.1} %", share * 100.0);
        let number = |value: f64| format!("{value:.4}");
        let ms = |value: f64| format!("{value:.0} ms");
        let least = |what: &str, is: f64, least: f64, shown: &dyn Fn(f64) -> String| {
            (is < least).then(|| format!("{what} {}, at least {}", shown(is), shown(least)))
        };
        let most = |what: &str, is: f64, most: f64| {
            (is > most).then(|| format!("{what} {}, at most {}", ms(is), ms(most)))
        };
        if hearing.share == 0.0 {
            return vec!["nothing heard within the bound of delay".to_owned()];
        }
        let faults = [
            least("heard", hearing.share, self.share, &percent),
            least("similarity", hearing.similarity, self.similarity, &number),
            most("gap", hearing.gap_ms, self.gap_ms),
            most("delay", hearing.most_delay_ms, self.delay_ms),
            most("delay varies by", spread, self.spread_ms),
        ];
        faults.into_iter().flatten().collect()
    }

    /// An error that names the faults of a hearing, if it has any.
    pub fn check(&self, what: &str, hearing: &Hearing) -> Result<()> {
        println!("{what}: {hearing}");
        let faults = self.faults(hearing);
        ensure!(
            faults.is_empty(),
            "{what}: {}; {hearing}",
            faults.join("; ")
        );
        Ok(())
    }
}

/// A part that was found.
#[derive(Clone, Copy, Debug)]
struct Anchor {
    spoken: usize,
    heard: usize,
}

impl Anchor {
    fn delay(self) -> i64 {
        self.heard as i64 - self.spoken as i64
    }
}

/// The longest selection of the parts, sorted by when they were spoken, that was heard in the same order.
fn in_order(found: &[Anchor]) -> Vec<Anchor> {
    // How many parts are in order up to this one, and the one before it.
    let mut best: Vec<(usize, Option<usize>)> = Vec::new();
    for (index, part) in found.iter().enumerate() {
        let before = (0..index)
            .filter(|&earlier| found[earlier].heard + PART <= part.heard + OVERLAP)
            .max_by_key(|&earlier| best[earlier].0);
        best.push((before.map_or(1, |earlier| best[earlier].0 + 1), before));
    }
    let mut next = (0..found.len()).max_by_key(|&index| best[index].0);
    let mut chain = Vec::new();
    while let Some(index) = next {
        chain.push(found[index]);
        next = best[index].1;
    }
    chain.reverse();
    chain
}

/// The frames of speech, one by one.
#[derive(Default)]
struct Frames {
    /// Those with speech.
    frames: usize,
    /// Where each that was heard was spoken, and where it was heard.
    heard: Vec<Anchor>,
    /// Where those were spoken that were not.
    missed: Vec<Range<usize>>,
    longest_gap: usize,
    product: f64,
    spoken_energy: f64,
    heard_energy: f64,
}

impl Frames {
    fn compare(spoken: &[i16], recording: &[i16], anchors: &[Anchor]) -> Self {
        let mut all = Self::default();
        let mut gap = 0;
        let frames = spoken.chunks_exact(FRAME).enumerate();
        for ((index, frame), _) in frames.zip(due_frames(spoken)).filter(|&(_, due)| due) {
            all.frames += 1;
            let from = all.heard.last().map_or(0, |last| last.heard + 1);
            let found = find(frame, index * FRAME, recording, anchors);
            let Some((anchor, products)) = found.filter(|(found, _)| found.heard >= from) else {
                all.miss(index * FRAME);
                gap += 1;
                all.longest_gap = all.longest_gap.max(gap);
                continue;
            };
            gap = 0;
            all.heard.push(anchor);
            all.product += products.cross;
            all.spoken_energy += products.spoken;
            all.heard_energy += products.heard;
        }
        all
    }

    fn miss(&mut self, at: usize) {
        match self.missed.last_mut() {
            Some(last) if last.end == at => last.end += FRAME,
            _ => self.missed.push(at..at + FRAME),
        }
    }

    /// Places of short pieces that were missed since the delay changes close to them: each is looked for between what was heard
    /// before it and after it, with delays within `bounds`.
    fn refine(&self, spoken: &[i16], recording: &Recording<'_>, bounds: Range<i64>) -> Vec<Anchor> {
        const PIECE: usize = samples(100);
        const SHORTEST: usize = samples(40);
        let mut found = Vec::new();
        let runs = self.missed.iter().cloned();
        for at in runs.flat_map(|run| run.step_by(FRAME)) {
            let missed = self.missed.iter().find(|run| run.contains(&at));
            let end = missed.map_or(at, |run| run.end.min(at + PIECE));
            if end - at < SHORTEST {
                continue;
            }
            let next = self.heard.partition_point(|heard| heard.spoken < at);
            let before = next
                .checked_sub(1)
                .map(|last| self.heard[last].heard + FRAME);
            let after = self.heard.get(next).map(|next| next.heard + OVERLAP);
            let from = (at as i64 + bounds.start).max(before.unwrap_or(0) as i64 - OVERLAP as i64);
            let to = (end as i64 + bounds.end).min(after.map_or(i64::MAX, |after| after as i64));
            let range = from.max(0) as usize..to.max(0) as usize;
            let place = recording.find_within(&spoken[at..end], range);
            if let Some(place) = place.filter(|place| place.similarity >= PART_FOUND) {
                found.push(Anchor {
                    spoken: at,
                    heard: place.offset,
                });
            }
        }
        found
    }

    fn summary(self, spoken: &[i16], due: i64) -> Hearing {
        let mut delays: Vec<i64> = self.heard.iter().map(|frame| frame.delay() - due).collect();
        delays.sort_unstable();
        let ms = |delay: Option<&i64>| delay.map_or(f64::NAN, |&delay| delay as f64 / PER_MS);
        let energy = (self.spoken_energy * self.heard_energy).sqrt();
        Hearing {
            frames: self.frames,
            share: self.heard.len() as f64 / self.frames as f64,
            similarity: if energy > 0.0 {
                self.product / energy
            } else {
                0.0
            },
            gap_ms: millis(self.longest_gap * FRAME),
            least_delay_ms: ms(delays.first()),
            delay_ms: ms(delays.get(delays.len() / 2)),
            most_delay_ms: ms(delays.last()),
            explained: self.explained(spoken),
        }
    }

    /// Where all sound of `spoken`, soft or lost, belongs: it has the delay of the nearest frame that was heard.
    fn explained(&self, spoken: &[i16]) -> Vec<Range<usize>> {
        const AUDIBLE_RMS: f64 = 20.0;
        let frames = spoken.chunks(FRAME).enumerate();
        let audible = frames.filter(|(_, frame)| rms(frame) > AUDIBLE_RMS);
        let placed = audible.filter_map(|(index, frame)| {
            let at = index * FRAME;
            let next = self.heard.partition_point(|heard| heard.spoken < at);
            let around = self.heard[next.saturating_sub(1)..].iter().take(2);
            let nearest = around.min_by_key(|heard| heard.spoken.abs_diff(at))?;
            let heard = (at as i64 + nearest.delay()).max(0) as usize;
            Some(heard.saturating_sub(TAIL)..heard + frame.len() + TAIL)
        });
        placed.collect()
    }
}

const PER_MS: f64 = samples(1) as f64;

/// Of each frame whether it is speech that has to arrive. Soft sound after a pause is not, which a gate may cut.
fn due_frames(spoken: &[i16]) -> Vec<bool> {
    let mut open_for = 0;
    let frames = spoken.chunks_exact(FRAME).map(rms);
    let due = frames.map(|level| {
        if level > OPENS_RMS || (open_for > 0 && level > CLOSES_RMS) {
            open_for = HOLD_FRAMES;
        }
        let open = open_for > 0;
        open_for = open_for.saturating_sub(1);
        open && level > SPEECH_RMS
    });
    due.collect()
}

/// Sums over a frame and what was heard of it.
#[derive(Clone, Copy)]
struct Products {
    cross: f64,
    spoken: f64,
    heard: f64,
}

impl Products {
    fn of(spoken: &[i16], heard: &[i16]) -> Self {
        let sum = |a: &[i16], b: &[i16]| -> f64 {
            let products = a.iter().zip(b).map(|(&a, &b)| i64::from(a) * i64::from(b));
            products.sum::<i64>() as f64
        };
        Self {
            cross: sum(spoken, heard),
            spoken: sum(spoken, spoken),
            heard: sum(heard, heard),
        }
    }

    fn similarity(self) -> f64 {
        let energy = (self.spoken * self.heard).sqrt();
        if energy > 0.0 {
            self.cross / energy
        } else {
            0.0
        }
    }
}

/// A frame that was spoken at `at`, where the parts around it put it, if it is there.
fn find(
    frame: &[i16],
    at: usize,
    recording: &[i16],
    anchors: &[Anchor],
) -> Option<(Anchor, Products)> {
    let next = anchors.partition_point(|anchor| anchor.spoken <= at);
    let around = anchors[next.saturating_sub(2)..].iter().take(4);
    let places = around.flat_map(|anchor| {
        let expected = at as i64 + anchor.delay();
        expected - DRIFT..=expected + DRIFT
    });
    let compared = places.filter_map(|place| {
        let heard = usize::try_from(place).ok()?;
        let window = recording.get(heard..heard + frame.len())?;
        Some((Anchor { spoken: at, heard }, Products::of(frame, window)))
    });
    compared
        .filter(|(_, products)| products.similarity() >= FRAME_HEARD)
        .max_by(|a, b| a.1.similarity().total_cmp(&b.1.similarity()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::noise::noise;

    const STRICT: Bounds = Bounds {
        share: 0.97,
        similarity: 0.995,
        gap_ms: 60.0,
        delay_ms: 300.0,
        spread_ms: 100.0,
    };
    const DUE: usize = samples(500);
    const LATEST: usize = samples(300);

    /// Two sentences, with a pause between them.
    fn spoken() -> Vec<i16> {
        let pause = vec![0; samples(500)];
        [noise(1, samples(1_500)), pause, noise(2, samples(1_500))].concat()
    }

    /// A recording in which the sound comes so late.
    fn recording(sound: &[i16], delay: usize) -> Vec<i16> {
        [&vec![0; DUE + delay], sound, &vec![0; samples(1_000)]].concat()
    }

    fn heard(recording: &[i16]) -> Hearing {
        hear(&spoken(), &Recording::new(recording), DUE as i64, LATEST).unwrap()
    }

    /// The faults of a recording, added sound among them.
    fn faults(recording: &[i16]) -> Vec<String> {
        let hearing = heard(recording);
        let mut faults = STRICT.faults(&hearing);
        let added = added_ms(recording, [&hearing]);
        if added > 0.0 {
            faults.push(format!("{added} ms added"));
        }
        faults
    }

    fn assert_fault(recording: &[i16], what: &str) {
        let faults = faults(recording);
        let found = faults.iter().any(|fault| fault.contains(what));
        assert!(found, "no \"{what}\" in {faults:?}");
    }

    #[test]
    fn what_was_heard_as_spoken_has_no_fault_at_any_loudness() {
        for delay in [0, 77, samples(250)] {
            let soft: Vec<i16> = spoken().iter().map(|s| s / 3).collect();
            assert_eq!(faults(&recording(&soft, delay)), [""; 0]);
            let hearing = heard(&recording(&spoken(), delay));
            assert_eq!((hearing.share, hearing.gap_ms), (1.0, 0.0));
            let delay_ms = millis(delay);
            let near = |ms: f64| (ms - delay_ms).abs() < 0.01;
            assert!(near(hearing.least_delay_ms) && near(hearing.most_delay_ms));
        }
    }

    #[test]
    fn half_missing_is_a_fault_wherever_it_is_missing() {
        let half = spoken().len() / 2;
        let mut first = spoken();
        first[half..].fill(0);
        assert_fault(&recording(&first, 100), "heard 50.0 %");
        let mut second = spoken();
        second[..half].fill(0);
        assert_fault(&recording(&second, 100), "heard 50.0 %");
        // Every second frame: no gap is long.
        let mut riddled = spoken();
        for frame in riddled.chunks_mut(FRAME).step_by(2) {
            frame.fill(0);
        }
        assert_fault(&recording(&riddled, 100), "heard");
    }

    #[test]
    fn a_lost_word_is_a_gap() {
        let mut gapped = spoken();
        gapped[samples(600)..samples(700)].fill(0);
        assert_fault(&recording(&gapped, 100), "gap 100 ms");
    }

    #[test]
    fn words_that_have_changed_places_were_not_heard() {
        let mut swapped = spoken();
        let (one, other) = swapped[..samples(600)].split_at_mut(samples(300));
        one.swap_with_slice(other);
        assert_fault(&recording(&swapped, 0), "heard");
        // Also where both are within the bound of delay.
        let mut swapped = spoken();
        let (one, other) = swapped[..samples(400)].split_at_mut(samples(200));
        one.swap_with_slice(other);
        assert_fault(&recording(&swapped, samples(200)), "heard");
        let (first, second) = (noise(1, samples(1_500)), noise(2, samples(1_500)));
        let reversed = [&second[..], &vec![0; samples(500)], &first].concat();
        assert_fault(&recording(&reversed, 100), "nothing heard");
    }

    #[test]
    fn what_comes_after_the_bound_was_not_heard() {
        assert_fault(&recording(&spoken(), LATEST + samples(50)), "nothing heard");
        let late = [&spoken()[..samples(1_500)], &vec![0; samples(900)]].concat();
        let late = [late, noise(2, samples(1_500))].concat();
        assert_fault(&recording(&late, 0), "heard 50.0 %");
    }

    #[test]
    fn a_delay_that_grows_within_the_bound_is_a_spread() {
        let grown = [&spoken()[..samples(1_500)], &vec![0; samples(650)]].concat();
        let grown = [grown, noise(2, samples(1_500))].concat();
        assert_fault(&recording(&grown, 0), "delay varies by 150 ms");
    }

    #[test]
    fn noise_under_speech_and_noise_in_a_pause_are_faults() {
        let under = spoken();
        let noisy: Vec<i16> = under
            .iter()
            .zip(noise(3, under.len()))
            .map(|(speech, noise)| speech.saturating_add(noise / 6))
            .collect();
        assert_fault(&recording(&noisy, 100), "similarity");
        let mut beside = recording(&spoken(), 100);
        for (sample, noise) in beside.iter_mut().zip(noise(4, samples(100))) {
            *sample = noise / 6;
        }
        assert_fault(&beside, "100 ms added");
        let mut twice = recording(&spoken(), 100);
        twice.extend(noise(2, samples(1_500)));
        assert_fault(&twice, "1520 ms added");
    }

    #[test]
    fn a_frame_that_playout_dropped_costs_a_frame() {
        let cut = samples(610);
        let mut sound = spoken();
        sound.drain(cut..cut + FRAME);
        let hearing = heard(&recording(&sound, samples(100)));
        assert!(hearing.frames - (hearing.share * hearing.frames as f64) as usize <= 2);
        assert!((hearing.least_delay_ms - 80.0).abs() < 1.1, "{hearing}");
        assert!((hearing.most_delay_ms - 100.0).abs() < 1.1, "{hearing}");
        assert_eq!(faults(&recording(&sound, samples(100))), [""; 0]);
    }

    #[test]
    fn a_soft_end_that_comes_sooner_than_the_rest_was_heard() {
        // Too short to be a part, and one frame nearer.
        let soft: Vec<i16> = noise(3, samples(140)).iter().map(|s| s / 6).collect();
        let spoken = [&noise(1, samples(600))[..], &[0; samples(60)], &soft].concat();
        let heard = [
            &[0; 1_000],
            &noise(1, samples(600))[..],
            &[0; samples(40)],
            &soft,
        ]
        .concat();
        let hearing = hear(&spoken, &Recording::new(&heard), 900, LATEST).unwrap();
        assert_eq!((hearing.frames, hearing.share), (37, 1.0), "{hearing}");
    }

    #[test]
    fn a_recording_with_a_clock_of_its_own_is_compared_around_the_best_place() {
        let recording = recording(&spoken(), samples(400));
        let anywhere = hear_anywhere(&spoken(), &Recording::new(&recording), samples(200)).unwrap();
        assert!((anywhere.share - 1.0).abs() < 1e-9, "{anywhere}");
        assert!((anywhere.delay_ms - 200.0).abs() < 0.1, "{anywhere}");
        let nothing = Recording::new(&[0; 16_000]);
        assert_eq!(hear_anywhere(&spoken(), &nothing, 100).unwrap().share, 0.0);
    }

    #[test]
    fn what_a_gate_may_cut_is_not_missed_and_the_rest_is() {
        let soft: Vec<i16> = noise(3, samples(300)).iter().map(|s| s / 8).collect();
        let pause = vec![0; samples(400)];
        let spoken = [&noise(1, samples(600))[..], &soft, &pause, &soft].concat();
        let due = due_frames(&spoken);
        // 600 ms of speech and the soft end that follows at once; not the murmur after the pause.
        assert_eq!(due.iter().filter(|due| **due).count(), 45);
        assert!(due[..45].iter().all(|due| *due));
    }

    #[test]
    fn who_joins_later_is_due_later() {
        let now = Instant::now();
        let later = now + Duration::from_millis(250);
        assert_eq!(due(later, now), samples(250) as i64);
        assert_eq!(due(now, later), -(samples(250) as i64));
    }

    #[test]
    fn silence_is_no_speech() {
        let recording = Recording::new(&[1; 16_000]);
        assert_eq!(hear(&[0; 16_000], &recording, 0, 1_000), None);
    }
}
