//! The image rejoins by itself, and is heard and hears again.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use talkspurt_testkit::board::MPS2_AN386;
use talkspurt_testkit::busy_machine::repeat_if_line_spoilt;
use talkspurt_testkit::fixture::SOON;
use talkspurt_testkit::programs::Server;
use talkspurt_testkit::speech::{sentence, speak};

use crate::scene::{Scene, repeated};

/// Shorter than any of the disturbances, so that each costs the image its place in the room.
const IMPATIENT: [&str; 2] = ["--idle-timeout", "3s"];
/// How long the image repeats its sentence: longer than any of the tests.
const REPEATS_SECS: u64 = 120;
/// The board's only sentence, and those of its visitors before and after.
const CHIP: usize = 2;
const VISITORS: [(&str, usize); 2] = [("ann", 0), ("ben", 1)];

#[test]
fn after_the_bridge_was_restarted() -> Result<()> {
    disturbed(|scene| {
        let mark = scene.firmware.log.mark();
        let bridge = scene.bridge.take().context("no bridge")?;
        bridge.kill()?;
        drop(bridge);
        scene.wait_for(mark, "Lost {")?;
        scene.bridge_again()?;
        scene.wait_for(mark, "Joined {")
    })
}

#[test]
fn after_the_server_was_restarted() -> Result<()> {
    disturbed(|scene| {
        let mark = scene.firmware.log.mark();
        scene.stage.server.process.kill()?;
        scene.stage.server.process.wait(SOON)?;
        let address = scene.stage.server.address.clone();
        scene.stage.server = Server::start_at(&address, &IMPATIENT)?;
        scene.wait_for(mark, "Joined {")
    })
}

#[test]
fn after_the_line_was_cut_for_ten_seconds() -> Result<()> {
    disturbed(|scene| {
        let mark = scene.firmware.log.mark();
        scene.line.set_cut(true);
        thread::sleep(Duration::from_secs(10));
        scene.wait_for(mark, "Lost {")?;
        scene.line.set_cut(false);
        scene.wait_for(mark, "Joined {")
    })
}

#[test]
fn after_a_burst_of_noise() -> Result<()> {
    disturbed(|scene| {
        let mark = scene.firmware.log.mark();
        // One byte in five is damaged: no packet survives that.
        scene.line.set_damage(200_000);
        scene.wait_for(mark, "Lost {")?;
        scene.line.set_damage(0);
        scene.wait_for(mark, "Joined {")?;
        let damaged = scene.line.damaged_bytes();
        println!("{damaged} bytes damaged");
        anyhow::ensure!(damaged > 100, "only {damaged} bytes were damaged");
        Ok(())
    })
}

#[test]
fn after_a_reset() -> Result<()> {
    disturbed(|scene| {
        // Twice within a second: neither start may be taken for the one before.
        for _ in 0..2 {
            let mark = scene.firmware.log.mark();
            scene.firmware.reset()?;
            scene.wait_for(mark, ": up")?;
            scene.wait_for(mark, "Joined {")?;
        }
        Ok(())
    })
}

/// A visitor talks with the image before and after the disturbance. `disturb` returns once the
/// image is back in the room.
fn disturbed(disturb: impl Fn(&mut Scene) -> Result<()>) -> Result<()> {
    repeat_if_line_spoilt(|| talk_before_and_after(&disturb))
}

fn talk_before_and_after(disturb: impl Fn(&mut Scene) -> Result<()>) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let chip = speak(&sentence(CHIP, 0), &dir.path().join("sentence.wav"))?;
    let mut scene = Scene::start(MPS2_AN386, &IMPATIENT, &repeated(&chip, REPEATS_SECS), &[])?;
    let [before, after] = VISITORS;
    scene.talk(before.0, before.1, &chip)?;
    disturb(&mut scene)?;
    scene.talk(after.0, after.1, &chip)
}
