//! Joining, leaving, coming back, and Pings outside a session.

use anyhow::{Result, ensure};
use talkspurt_testkit::programs::Server;

use crate::program::{Client, Events};

/// Someone who watches the room until "zoe" joins.
struct Observer<'a> {
    server: &'a str,
    client: Client,
}

impl<'a> Observer<'a> {
    fn start(server: &'a Server) -> Result<Self> {
        let server = server.address.as_str();
        let client = Client::join(server, "eve", &[], "join; until present zoe 60; leave")?;
        Ok(Self { server, client })
    }

    /// Ends, and returns what it saw.
    fn finish(self) -> Result<Events> {
        let zoe = Client::join(self.server, "zoe", &[], "join; until gone eve; leave")?;
        let seen = self.client.finish()?;
        zoe.finish()?;
        Ok(seen)
    }
}

#[test]
fn a_client_leaves_and_joins_again_under_its_name() -> Result<()> {
    let server = Server::start(&[])?;
    let observer = Observer::start(&server)?;
    let script = "join; until present eve; leave; join; roster; leave";
    let ada = Client::run(&server.address, "ada", &[], script)?;
    let joined = ada.all("joined");
    ensure!(
        joined.len() == 2 && joined[0]["id"] != joined[1]["id"],
        "{ada}"
    );
    ensure!(joined[1]["participants"] == 2, "{ada}");
    let changes = observer.finish()?.changes_of("ada");
    ensure!(
        changes == ["Joined", "Left 0", "Joined", "Left 0"],
        "{changes:?}"
    );
    Ok(())
}

#[test]
fn a_session_is_resumed_after_its_connection_was_cut() -> Result<()> {
    let server = Server::start(&[])?;
    let observer = Observer::start(&server)?;
    // Its second Hello carries the token, as the script has left without a Bye.
    let script = "join; drop; wait 0.5; join; ping; leave";
    let ada = Client::run(&server.address, "ada", &[], script)?;
    let hellos = ada.all("hello");
    ensure!(hellos.len() == 2 && hellos[1]["resume"] == true, "{ada}");
    same_ids(&ada, 2)?;
    let changes = observer.finish()?.changes_of("ada");
    ensure!(
        changes == ["Joined", "Left 137", "Joined", "Left 0"],
        "{changes:?}"
    );
    Ok(())
}

#[test]
fn a_session_that_still_runs_is_resumed_unnoticed() -> Result<()> {
    let server = Server::start(&[])?;
    let observer = Observer::start(&server)?;
    let script = "join; resume; until event old_stream; ping; leave";
    let ada = Client::run(&server.address, "ada", &[], script)?;
    same_ids(&ada, 2)?;
    let ends = ada.all("old_stream");
    ensure!(
        ends[0]["packet"] == "Bye" && ends[0]["reason"] == 10,
        "{ada}"
    );
    let changes = observer.finish()?.changes_of("ada");
    ensure!(changes == ["Joined", "Left 0"], "{changes:?}");
    Ok(())
}

#[test]
fn another_hello_on_the_same_stream_ends_the_session_unless_it_resumes_it() -> Result<()> {
    let server = Server::start(&[])?;
    let observer = Observer::start(&server)?;
    let script = "join; resume-here; rejoin; ping; leave";
    let ada = Client::run(&server.address, "ada", &[], script)?;
    ada.one("connected")?;
    let joined = ada.all("joined");
    ensure!(joined.len() == 3, "{ada}");
    ensure!(joined[0]["id"] == joined[1]["id"], "with a token: {ada}");
    ensure!(joined[1]["id"] != joined[2]["id"], "with none: {ada}");
    let changes = observer.finish()?.changes_of("ada");
    ensure!(
        changes == ["Joined", "Left 140", "Joined", "Left 0"],
        "{changes:?}"
    );
    Ok(())
}

#[test]
fn a_repeated_hello_changes_nothing() -> Result<()> {
    let server = Server::start(&[])?;
    let observer = Observer::start(&server)?;
    let script = "join; repeat; until event welcome_again; ping; leave";
    let ada = Client::run(&server.address, "ada", &[], script)?;
    ensure!(ada.one("welcome_again")?["participants"] == 2, "{ada}");
    ada.one("joined")?;
    ensure!(ada.all("roster").len() == 2, "{ada}");
    let changes = observer.finish()?.changes_of("ada");
    ensure!(changes == ["Joined", "Left 0"], "{changes:?}");
    Ok(())
}

#[test]
fn pings_are_answered_outside_a_session() -> Result<()> {
    let server = Server::start(&[])?;
    let script = "connect; ping; ping; join; until event pong; leave";
    let ada = Client::run(&server.address, "ada", &[], script)?;
    let pongs = ada.all("pong");
    for outside in &pongs[..2] {
        ensure!(
            outside["revision"] == 0 && outside["flags"] == 0,
            "{outside}"
        );
    }
    ensure!(pongs[2]["revision"] == 1, "{ada}");
    ensure!(ada.all("connected").len() == 1, "{ada}");
    Ok(())
}

#[test]
fn pings_keep_a_session_beyond_the_idle_timeout() -> Result<()> {
    let server = Server::start(&["--idle-timeout", "600ms"])?;
    let script = "join; wait 2; ping; leave";
    let ada = Client::run(&server.address, "ada", &[], script)?;
    ensure!(ada.one("joined")?["idle_timeout_ms"] == 600, "{ada}");
    ensure!(ada.all("pong").len() > 5, "{ada}");
    Ok(())
}

fn same_ids(events: &Events, sessions: usize) -> Result<()> {
    let joined = events.all("joined");
    ensure!(joined.len() == sessions, "{events}");
    ensure!(
        joined.iter().all(|one| one["id"] == joined[0]["id"]),
        "{events}"
    );
    Ok(())
}
