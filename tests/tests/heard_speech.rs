//! The measure of heard speech against the core itself: all that an uplink has sent is found,
//! wherever it has left out frames to take its pre-roll back.

use anyhow::{Context, Result};
use talkspurt_core::audio::codec::{AnyCodec, Codec, CodecId, PAYLOAD_MAX};
use talkspurt_core::audio::format::AudioFormat;
use talkspurt_core::voice::uplink::Uplink;
use talkspurt_testkit::heard_speech::{Bounds, hear};
use talkspurt_testkit::recording::Recording;
use talkspurt_testkit::speech::{sentence, speak};
use talkspurt_testkit::wav::samples;

const FORMAT: AudioFormat = AudioFormat::DEFAULT;
/// The samples of a unit of a timestamp.
const UNIT_SAMPLES: usize = FORMAT.frame_samples() / FORMAT.frame.units() as usize;
const BEFORE: usize = samples(1_000);
/// Three frames of the sentence at most are left out, each blended with the next one. The last
/// frames before the gate closes may be too soft to be sent.
const SENT: Bounds = Bounds {
    share: 0.95,
    similarity: 0.995,
    gap_ms: 60.0,
    delay_ms: 100.0,
    spread_ms: 60.0,
};

#[test]
fn all_that_an_uplink_sends_is_found_wherever_its_frames_begin() -> Result<()> {
    let dir = tempfile::tempdir()?;
    for (speaker, nth) in [(0, 0), (1, 0), (1, 2), (3, 1)] {
        let said = speak(&sentence(speaker, nth), &dir.path().join("said.wav"))?;
        for shift in (0..FORMAT.frame_samples()).step_by(10) {
            let heard = send_and_receive(&said, BEFORE + shift)?;
            let due = (BEFORE + shift) as i64;
            let hearing = hear(&said, &Recording::new(&heard), due, samples(200));
            let what = format!("sentence {nth} of speaker {speaker}, {shift} samples later");
            SENT.check(&what, &hearing.context("a sentence is speech")?)?;
        }
    }
    Ok(())
}

/// What comes out of a network that loses and delays nothing, with each frame at its timestamp.
fn send_and_receive(said: &[i16], silence: usize) -> Result<Vec<i16>> {
    let silence = vec![0; silence];
    let spoken = [&silence, said, &silence].concat();
    let mut uplink = Uplink::<{ samples(80) }>::default_for(CodecId::ImaAdpcm.into(), FORMAT);
    let mut decoder = AnyCodec::from(CodecId::ImaAdpcm);
    let (mut heard, mut payload) = (Vec::new(), [0; PAYLOAD_MAX]);
    for frame in spoken.chunks_exact(FORMAT.frame_samples()) {
        let _ = uplink.push(frame);
        while let Some(voice) = uplink.poll_voice(&mut payload) {
            let starts = voice.timestamp.0 as usize * UNIT_SAMPLES;
            heard.resize(starts.max(heard.len()), 0);
            if !voice.payload.is_empty() {
                let mut frame = vec![0; FORMAT.frame_samples()];
                decoder.decode(voice.payload, &mut frame)?;
                heard.extend(frame);
            }
        }
    }
    heard.resize(heard.len() + samples(1_000), 0);
    Ok(heard)
}
