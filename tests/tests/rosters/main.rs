//! Rosters of a real server under joins, leaves and killed processes, and a churn of 200
//! participants over TCP.

mod tcp;

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result};
use fastrand::Rng;
use serde_json::Value;
use talkspurt_netem::Person;
use talkspurt_testkit::fixture::{SOON, Stage, leave, page};
use talkspurt_testkit::process::Process;
use talkspurt_testkit::programs::Server;
use talkspurt_testkit::seeds::for_each_seed;

use crate::tcp::{Crowd, MemberId};

/// Returns the roster according to a client's events.
fn roster_of(process: &Process) -> BTreeSet<String> {
    let mut roster = BTreeSet::new();
    for event in process.events() {
        let name = event.json["name"].as_str().unwrap_or_default().to_owned();
        match event.kind.as_str() {
            "joined" => roster = names(&event.json["roster"]),
            "participant_joined" => assert!(roster.insert(name.clone()), "{name} joined twice"),
            "participant_left" => assert!(roster.remove(&name), "{name} left twice"),
            _ => {}
        }
    }
    roster
}

fn names(participants: &Value) -> BTreeSet<String> {
    let entries = participants.as_array().into_iter().flatten();
    entries
        .filter_map(|entry| Some(entry["name"].as_str()?.to_owned()))
        .collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn joins_leaves_and_killed_processes_are_told_to_everyone() -> Result<()> {
    let stage = Stage::new(&[])?;
    let ann = stage.join("r", "ann", &[], &[])?;
    let mut ben = stage.join("r", "ben", &[], &[])?;
    let cat = stage.join("r", "cat", &[], &["--muted"])?;
    let dan = stage.join("other", "dan", &[], &[])?;
    for client in [&ann, &ben] {
        client.wait_for_event_after(0, "participant_joined", SOON, |event| {
            event["name"] == "cat"
        })?;
    }
    assert_eq!(roster_of(&ann), set(&["ann", "ben", "cat"]));
    assert_eq!(roster_of(&cat), set(&["ann", "ben", "cat"]));
    assert_eq!(roster_of(&dan), set(&["dan"]));
    // The kernel closes a killed process's connection, so nobody waits for a timeout.
    cat.kill()?;
    ann.wait_for_event_after(0, "participant_left", SOON, |event| event["name"] == "cat")?;
    leave(&mut ben)?;
    ann.wait_for_event_after(0, "participant_left", SOON, |event| event["name"] == "ben")?;
    assert_eq!(roster_of(&ann), set(&["ann"]));
    // Both names are free again. Ann was told of their first joining, too.
    let mark = ann.mark();
    let cat = stage.join("r", "cat", &[], &[])?;
    let ben = stage.join("r", "ben", &[], &[])?;
    for client in [&ann, &cat, &ben] {
        if client.name() != "ben" {
            let mark = if client.name() == "ann" { mark } else { 0 };
            client.wait_for_event_after(mark, "participant_joined", SOON, |event| {
                event["name"] == "ben"
            })?;
        }
        assert_eq!(
            roster_of(client),
            set(&["ann", "ben", "cat"]),
            "{}",
            client.name()
        );
    }
    assert_eq!(roster_of(&dan), set(&["dan"]));
    Ok(())
}

#[test]
fn after_a_churn_of_two_hundred_everyone_has_the_true_list() {
    for_each_seed(1, |seed| {
        churn(seed).unwrap_or_else(|error| panic!("{error:#}"));
    });
}

fn churn(seed: u64) -> Result<()> {
    let server = Server::start(&["--room-capacity", "256", "--idle-timeout", "6s"])?;
    let mut rng = Rng::with_seed(seed);
    let mut crowd = Crowd::new(&server.address);
    let mut present: Vec<MemberId> = Vec::new();
    let join = |crowd: &mut Crowd, rng: &mut Rng, number: usize| -> Result<MemberId> {
        // Half of them join one room, the rest three small ones.
        let room = ["hall", "hall", "hall", "a", "b", "c"][rng.usize(0..6)];
        crowd.join(Person::new(room, &format!("p{number}")))
    };
    for number in 0..200 {
        present.push(join(&mut crowd, &mut rng, number)?);
    }
    crowd.pump_until("200 are in", SOON, |crowd| {
        present.iter().all(|id| crowd.client(*id).is_in())
    })?;
    for number in 200..400 {
        let gone = present.swap_remove(rng.usize(0..present.len()));
        match rng.u8(0..3) {
            0 => crowd.leave(gone),
            1 => crowd.crash(gone),
            _ => crowd.fall_silent(gone),
        }
        present.push(join(&mut crowd, &mut rng, number)?);
        crowd.pump_for(Duration::from_millis(rng.u64(0..30)))?;
    }
    // Those who fell silent are dropped after the idle timeout. Then everyone must know exactly who
    // is there.
    let truth = |crowd: &Crowd, room: &str| -> BTreeSet<String> {
        let there = present.iter().map(|id| crowd.client(*id));
        there
            .filter(|client| client.person.room == room)
            .map(|client| client.person.name.clone())
            .collect()
    };
    let settled = |crowd: &Crowd| {
        present.iter().all(|id| {
            let client = crowd.client(*id);
            let known: BTreeSet<String> = client
                .names()
                .iter()
                .map(|name| (*name).to_owned())
                .collect();
            client.is_in()
                && known == truth(crowd, &client.person.room)
                && known.len() == client.roster.len()
        })
    };
    crowd
        .pump_until("everyone has the true list", SOON, settled)
        .with_context(|| server.process.log())?;
    assert_server_agrees(&server, &crowd, &present)
}

/// Checks that the server's own page lists the same rooms and people.
fn assert_server_agrees(server: &Server, crowd: &Crowd, present: &[MemberId]) -> Result<()> {
    let rooms: Value = serde_json::from_str(&page(&server.http, "/rooms")?)?;
    let rooms = rooms["rooms"].as_array().context("a list of rooms")?;
    assert_eq!(rooms.len(), 4);
    let listed: BTreeSet<String> = rooms
        .iter()
        .flat_map(|room| names(&room["participants"]))
        .collect();
    let there: BTreeSet<String> = present
        .iter()
        .map(|id| crowd.client(*id).person.name.clone())
        .collect();
    assert_eq!(listed, there);
    Ok(())
}
