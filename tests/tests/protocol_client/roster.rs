//! The roster: asked for again, and repaired after a packet of it was lost.

use anyhow::{Context, Result, ensure};
use talkspurt_testkit::programs::Server;

use crate::losing_line::lose_first;
use crate::program::{Client, Events, names};

const JOINED: u8 = 0x0a;
const ROSTER: u8 = 0x09;

#[test]
fn the_roster_is_sent_again_on_request() -> Result<()> {
    let server = Server::start(&[])?;
    // More than fit one page.
    let crowd: Vec<String> = (0..9).map(|nth| format!("crowd {nth}")).collect();
    let join = |name: &String| Client::join(&server.address, name, &[], "join; wait 60");
    let _crowd = crowd.iter().map(join).collect::<Result<Vec<_>>>()?;
    let ada = Client::run(&server.address, "ada", &[], "join; roster; leave")?;
    let rosters = ada.all("roster");
    ensure!(rosters.len() == 2, "{ada}");
    ensure!(names(rosters[0]).len() == 10, "{ada}");
    ensure!(rosters[0]["entries"] == rosters[1]["entries"], "{ada}");
    Ok(())
}

#[test]
fn a_lost_change_is_repaired_at_the_next() -> Result<()> {
    let server = Server::start(&[])?;
    let address = lose_first(&server.address, JOINED)?;
    let script = "join; until present bob; until present eve; leave";
    let ada = Client::join(&address, "ada", &[], script)?;
    let bob = Client::join(&server.address, "bob", &[], "join; until gone ada; leave")?;
    let eve = Client::join(&server.address, "eve", &[], "join; until gone ada; leave")?;
    let ada = ada.finish()?;
    bob.finish()?;
    eve.finish()?;
    repaired(&ada, &["ada", "bob", "eve"])
}

#[test]
fn a_pong_shows_that_a_change_was_lost() -> Result<()> {
    // A Ping comes every 300 ms.
    let server = Server::start(&["--idle-timeout", "900ms"])?;
    let address = lose_first(&server.address, JOINED)?;
    let ada = Client::join(&address, "ada", &[], "join; until present bob; leave")?;
    let bob = Client::join(&server.address, "bob", &[], "join; until gone ada; leave")?;
    let ada = ada.finish()?;
    bob.finish()?;
    ensure!(ada.one("roster_gap")?["packet"] == "Pong", "{ada}");
    repaired(&ada, &["ada", "bob"])
}

#[test]
fn a_page_that_was_lost_behind_the_welcome_is_asked_for_again() -> Result<()> {
    let server = Server::start(&[])?;
    let address = lose_first(&server.address, ROSTER)?;
    let ada = Client::run(&address, "ada", &[], "join; until present ada; leave")?;
    ensure!(ada.one("roster_request")?["why"] == "incomplete", "{ada}");
    ensure!(names(ada.one("roster")?) == ["ada"], "{ada}");
    Ok(())
}

#[test]
fn a_client_without_a_roster_is_told_how_many_there_are() -> Result<()> {
    let server = Server::start(&[])?;
    let script = "join; until participants 2; until participants 1; leave";
    let ada = Client::join(&server.address, "ada", &["--no-roster"], script)?;
    Client::run(&server.address, "bob", &[], "join; wait 1.5; leave")?;
    let ada = ada.finish()?;
    ensure!(ada.all("roster").is_empty(), "{ada}");
    let counts = ada.all("count");
    let numbers: Vec<u64> = counts
        .iter()
        .filter_map(|count| count["participants"].as_u64())
        .collect();
    ensure!(numbers.ends_with(&[2, 1]), "{ada}");
    let times: Vec<u64> = counts
        .iter()
        .filter_map(|count| count["t"].as_u64())
        .collect();
    let are_apart = |pair: &[u64]| pair[1] - pair[0] > 900;
    ensure!(times.windows(2).all(are_apart), "{ada}");
    Ok(())
}

fn repaired(events: &Events, everyone: &[&str]) -> Result<()> {
    ensure!(events.one("roster_request")?["why"] == "gap", "{events}");
    let rosters = events.all("roster");
    let last = rosters.last().context("no roster")?;
    ensure!(rosters.len() == 2 && names(last) == everyone, "{events}");
    Ok(())
}
