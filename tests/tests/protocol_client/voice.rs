//! Voice between two Python clients, and between one and the desktop client.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use talkspurt_testkit::bit_exact::{covered, exact_runs, is_whole};
use talkspurt_testkit::busy_machine::repeat_if_spoilt;
use talkspurt_testkit::fixture::{SOON, Stage, finish, leave};
use talkspurt_testkit::noise::noise;
use talkspurt_testkit::wav::{self, samples};

use crate::program::Client;

const PCM16: [&str; 4] = ["--codecs-up", "0", "--codecs-down", "0"];
const ADPCM: [&str; 4] = ["--codecs-up", "1", "--codecs-down", "1"];
/// With frames in hand, no frame is late at the server, so that nothing is concealed.
const PRE_ROLL: [&str; 2] = ["--pre-roll", "60"];

/// What a talker said, and what its listener heard of it.
struct Talk {
    said: Value,
    heard: Value,
    spoken: Vec<i16>,
    recorded: Vec<i16>,
}

/// One client says a second of noise, and leaves at once; another listens.
fn talk(talker: &[&str], listener: &[&str]) -> Result<Talk> {
    let stage = Stage::new(&[])?;
    let spoken = noise(7, samples(1_000));
    let says = stage.path("says.wav");
    wav::write(&says, &spoken)?;
    let record = stage.path("heard.wav").display().to_string();
    let flags = [listener, &["--record", &record]].concat();
    let listens = "join; until heard 1 30; until gone ada; leave";
    let lis = Client::join(&stage.server.address, "lis", &flags, listens)?;
    let script = format!("join; until present lis; say '{}'; leave", says.display());
    let flags = [talker, &PRE_ROLL].concat();
    let ada = Client::run(&stage.server.address, "ada", &flags, &script)?;
    let lis = lis.finish()?;
    let said = &ada.one("said")?["spurts"][0];
    println!("said {said}\nheard {}", lis.one("heard")?);
    Ok(Talk {
        said: said.clone(),
        heard: lis.one("heard")?.clone(),
        spoken,
        recorded: wav::read(&stage.path("heard.wav"))?,
    })
}

#[test]
fn pcm16_is_heard_sample_by_sample() -> Result<()> {
    repeat_if_spoilt(|| {
        let talk = talk(&PCM16, &PCM16)?;
        let runs = exact_runs(&talk.spoken, &talk.recorded);
        ensure!(is_whole(&runs, &talk.spoken), "{runs:?}");
        heard_whole(&talk)?;
        ensure!(talk.heard["crc32"] == talk.said["crc32"], "{}", talk.heard);
        Ok(())
    })
}

#[test]
fn adpcm_is_heard_as_it_decodes() -> Result<()> {
    repeat_if_spoilt(|| {
        let talk = talk(&ADPCM, &PCM16)?;
        heard_whole(&talk)?;
        // The checksum is that of the samples as the talker itself decodes its payloads.
        ensure!(talk.heard["crc32"] == talk.said["crc32"], "{}", talk.heard);
        ensure!(exact_runs(&talk.spoken, &talk.recorded).is_empty());
        Ok(())
    })
}

#[test]
fn adpcm_both_ways_is_as_loud_as_it_was_said() -> Result<()> {
    repeat_if_spoilt(|| {
        let talk = talk(&ADPCM, &ADPCM)?;
        heard_whole(&talk)?;
        let squares: i64 = talk.spoken.iter().map(|&s| i64::from(s).pow(2)).sum();
        let rms = (squares as f64 / talk.spoken.len() as f64).sqrt();
        let heard = talk.heard["rms"].as_f64().context("an RMS")?;
        ensure!((heard / rms - 1.0).abs() < 0.02, "{heard} of {rms}");
        Ok(())
    })
}

/// Every frame was heard, each once, with the level that it was sent with, to its terminator.
fn heard_whole(talk: &Talk) -> Result<()> {
    let Talk { said, heard, .. } = talk;
    ensure!(heard["frames"] == said["frames"], "{heard} of {said}");
    ensure!(heard["level"] == said["level"], "{heard} of {said}");
    ensure!(heard["missing"] == 0 && heard["late"] == 0, "{heard}");
    ensure!(heard["terminated"] == true, "{heard}");
    Ok(())
}

#[test]
fn what_is_said_while_muted_is_not_heard() -> Result<()> {
    repeat_if_spoilt(muted)
}

fn muted() -> Result<()> {
    let stage = Stage::new(&[])?;
    let server = &stage.server.address;
    let listens = "join; until heard 2 30; until gone ada; leave";
    let lis = Client::join(server, "lis", &PCM16, listens)?;
    // A packet of 20 ms of PCM16, far ahead of anything that was said before it.
    let payload = "3412".repeat(320);
    let voice = format!("raw 03 0000 00000000 27 00 8005 {payload}");
    let script = format!(
        "join; until present lis; tone 440 400; mute; until muted ada; {voice}; wait 0.5; unmute; \
         tone 300 400; wait 0.5; leave"
    );
    let ada = Client::run(server, "ada", &[&PCM16[..], &PRE_ROLL].concat(), &script)?;
    let lis = lis.finish()?;
    let frames = |events: &[&Value]| -> Vec<Value> {
        events.iter().map(|one| one["frames"].clone()).collect()
    };
    let said: Vec<&Value> = ada.all("said");
    let said: Vec<&Value> = said.iter().map(|one| &one["spurts"][0]).collect();
    let heard = lis.all("heard");
    ensure!(frames(&heard) == frames(&said), "{lis}");
    let changes = lis.changes_of("ada");
    ensure!(
        changes
            == [
                "Joined", "State 1", "State 2", "State 0", "State 1", "State 0", "Left 0"
            ],
        "{changes:?}"
    );
    Ok(())
}

#[test]
fn the_desktop_client_hears_it_and_is_heard() -> Result<()> {
    repeat_if_spoilt(desktop)
}

fn desktop() -> Result<()> {
    let stage = Stage::new(&[])?;
    let (says, spoken) = (stage.path("says.wav"), noise(8, samples(1_000)));
    wav::write(&says, &spoken)?;
    let pcm16 = ["--codec", "pcm16", "--no-gate", "--linger", "2"];
    let mut desktop = stage.join("r", "lis", &[], &pcm16)?;
    let script = format!("join; say '{}'; wait 1; leave", says.display());
    let flags = [&PCM16[..], &PRE_ROLL].concat();
    Client::run(&stage.server.address, "ada", &flags, &script)?;
    leave(&mut desktop)?;
    share("the desktop", &spoken, &stage.heard("r", "lis")?)?;

    let record = stage.path("ada.wav").display().to_string();
    let flags = [&PCM16[..], &["--record", &record]].concat();
    let script = "join; until heard 1 30; until gone eve; leave";
    let ada = Client::join(&stage.server.address, "ada", &flags, script)?;
    let mut desktop = stage.join("r", "eve", &spoken, &pcm16)?;
    finish(&mut desktop, SOON)?;
    let events = ada.finish()?;
    share(
        "the Python client",
        &spoken,
        &wav::read(&stage.path("ada.wav"))?,
    )
    .with_context(|| events.to_string())
}

fn share(who: &str, spoken: &[i16], heard: &[i16]) -> Result<()> {
    let runs = exact_runs(spoken, heard);
    let share = covered(&runs, spoken) as f64 / spoken.len() as f64;
    println!("{who} heard {share:.3} bit for bit");
    ensure!(share > 0.95, "{who} heard only {share:.3}: {runs:?}");
    Ok(())
}

#[test]
fn listeners_who_ask_are_told_how_long_voice_takes() -> Result<()> {
    let stage = Stage::new(&[])?;
    let server = &stage.server.address;
    let told = ["--delay-ms", "400"];
    let listeners = [("bea", &told[..]), ("cem", &[])];
    let listeners =
        listeners.map(|(name, flags)| Client::join(server, name, flags, "join; wait 4; leave"));
    let ada = Client::join(server, "ada", &told, "join; wait 0.5; tone 440 1500; leave")?;
    let [bea, cem] = listeners;
    let events = bea?.finish()?;
    ensure!(events.one("joined")?["features"] == 64, "{events}");
    // What ada says, and what her frames wait for the tick.
    let delay_ms = events
        .all("delay")
        .first()
        .and_then(|it| it["delay_ms"].as_u64());
    ensure!(
        delay_ms.is_some_and(|ms| (400..1_000).contains(&ms)),
        "{events}"
    );
    for other in [ada.finish()?, cem?.finish()?] {
        ensure!(other.all("delay").is_empty(), "{other}");
    }
    Ok(())
}

#[test]
fn talkers_are_told_to_shift_their_frames_and_do() -> Result<()> {
    repeat_if_spoilt(shifts)
}

/// One of five talkers makes the room's tick. The others begin their frames at any time: that all
/// of them fit it by chance happens once in a thousand times.
fn shifts() -> Result<()> {
    let stage = Stage::new(&[])?;
    let server = &stage.server.address;
    let ada = Client::join(server, "ada", &[], "join; tone 440 6000; leave")?;
    let words = "join; tone 300 400; wait 0.5; tone 300 400; leave";
    let talkers = ["bea", "cem", "dan", "eve"];
    let talkers = talkers.map(|name| Client::start(server, name, &["--tick-hints"], words));
    let mut shifts = 0;
    for talker in talkers {
        let events = talker?.finish()?;
        ensure!(events.one("joined")?["features"] == 32, "{events}");
        let hints = events.all("tick_hint");
        ensure!(hints.iter().all(|hint| hint["why"].is_null()), "{events}");
        shifts += events.all("shifted").len();
    }
    let events = ada.finish()?;
    ensure!(events.one("joined")?["features"] == 0, "{events}");
    ensure!(events.all("tick_hint").is_empty(), "{events}");
    ensure!(shifts > 0, "nobody was told anything");
    Ok(())
}
