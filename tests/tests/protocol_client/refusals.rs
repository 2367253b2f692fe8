//! What the server refuses and ends, with which reason, and what the client makes of it.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use talkspurt_testkit::fixture::SOON;
use talkspurt_testkit::programs::Server;

use crate::program::Client;

const ONE_TRY: [&str; 2] = ["--attempts", "1"];

/// Joins with these flags, which must fail. Returns the Reject.
fn rejected(server: &Server, name: &str, flags: &[&str]) -> Result<Value> {
    let flags = [&ONE_TRY, flags].concat();
    let events = Client::start(&server.address, name, &flags, "join")?.fail()?;
    Ok(events.one("rejected")?.clone())
}

fn is_refused(reject: &Value, reason: u32, class: &str) -> Result<()> {
    ensure!(
        reject["reason"] == reason && reject["class"] == class,
        "not refused as {class} with {reason}: {reject}"
    );
    let text = reject["text"].as_str().unwrap_or_default();
    ensure!(!text.is_empty(), "nothing for a person in {reject}");
    Ok(())
}

#[test]
fn names_that_may_not_be_shown_are_refused() -> Result<()> {
    let server = Server::start(&[])?;
    let names = [
        "",
        " ada",
        "ada ",
        "a\nb",
        "a\u{202e}b",
        "a\u{200b}b",
        "\u{2800}",
        "\u{301}",
        "ada\u{fe0f}",
        "seventeen letters and sixteen more",
    ];
    for name in names {
        let reject = rejected(&server, name, &[])?;
        is_refused(&reject, 2, "permanent").with_context(|| format!("{name:?}"))?;
    }
    let reject = rejected(&server, "ada", &["--room", "a\tb"])?;
    is_refused(&reject, 3, "permanent")?;
    Ok(())
}

#[test]
fn a_name_is_shown_in_form_c() -> Result<()> {
    let server = Server::start(&[])?;
    let script = "join; until present Zo\u{eb}; leave";
    let events = Client::run(&server.address, "Zoe\u{308}", &[], script)?;
    ensure!(events.all("joined").len() == 1, "{events}");
    Ok(())
}

#[test]
fn a_name_that_is_taken_or_looks_like_it_is_refused() -> Result<()> {
    let server = Server::start(&[])?;
    let bob = Client::join(
        &server.address,
        "bob l",
        &[],
        "join; until present eve; leave",
    )?;
    for name in ["bob l", "b\u{43e}b l", "bob  l", "bob I"] {
        let reject = rejected(&server, name, &[])?;
        is_refused(&reject, 129, "again")?;
        ensure!(reject["retry_ms"] == 5_000, "{reject}");
    }
    // Case makes a difference.
    Client::run(&server.address, "BOB L", &[], "join; leave")?;
    Client::run(&server.address, "eve", &[], "join; leave")?;
    bob.finish()?;
    Ok(())
}

#[test]
fn offers_without_a_match_are_refused() -> Result<()> {
    let server = Server::start(&[])?;
    let cases: [(&[&str], u32); 5] = [
        (&["--max-packet", "351"], 7),
        (&["--rates", "44100,8000"], 5),
        (&["--codecs-up", "9"], 4),
        (&["--codecs-down", "9"], 4),
        // A frame of PCM16 does not fit.
        (&["--codecs-down", "0", "--max-packet", "352"], 4),
    ];
    for (flags, reason) in cases {
        is_refused(&rejected(&server, "ada", flags)?, reason, "permanent")?;
    }
    Ok(())
}

#[test]
fn a_full_room_and_a_full_server_say_when_to_come_again() -> Result<()> {
    for (flag, reason, retry_ms) in [
        ("--room-capacity", 130, 10_000),
        ("--max-participants", 131, 5_000),
    ] {
        let server = Server::start(&[flag, "1"])?;
        let _bob = Client::join(&server.address, "bob", &[], "join; wait 60")?;
        let reject = rejected(&server, "ada", &[])?;
        is_refused(&reject, reason, "again")?;
        ensure!(reject["retry_ms"] == retry_ms, "{reject}");
    }
    Ok(())
}

#[test]
fn what_is_wrong_in_a_session_ends_it() -> Result<()> {
    let server = Server::start(&[])?;
    // 20,000 bytes that are no packets.
    let noise = format!("noise {} 00", "01".repeat(20_000));
    let cases = [
        ("raw 04 02 00", 8, "permanent"),
        ("raw 05 80 00", 8, "permanent"),
        ("raw 3f", 9, "permanent"),
        ("raw 0d 01", 9, "permanent"),
        ("raw 03 0000 00000000 27 00 02 0000", 9, "permanent"),
        (&noise, 139, "again"),
    ];
    for (what, reason, class) in cases {
        let script = format!("join; {what}; until ended");
        let events = Client::start(&server.address, "ada", &ONE_TRY, &script)?;
        let ended = events.finish()?.one("ended")?.clone();
        ensure!(ended["by"] == "server", "{what}: {ended}");
        is_refused(&ended, reason, class).with_context(|| what.to_owned())?;
    }
    // A packet that may be skipped ends nothing.
    Client::run(
        &server.address,
        "ada",
        &[],
        "join; raw 7e 01 02; ping; leave",
    )?;
    Ok(())
}

#[test]
fn a_hello_that_cannot_be_read_is_refused() -> Result<()> {
    let server = Server::start(&[])?;
    let cases = [
        // Version 1, which has no nonce.
        ("00 01 07 6b 69 74 63 68 65 6e 03 61 64 61", 1),
        // A nonce of zeros, cut short behind it.
        ("00 02 00 00 00 00 00 00 00 00", 8),
        // Without a nonce, with all that stands behind it.
        (
            "00 02 00 00 00 00 00 00 00 00 e0 02 00 00 01 72 01 6e 01 01 01 01 01 80 7d 00 00 00",
            8,
        ),
    ];
    for (hello, reason) in cases {
        let script = format!("connect; raw {hello}; until ended");
        let events = Client::run(&server.address, "ada", &[], &script)?;
        let reject = events.one("rejected")?;
        is_refused(reject, reason, "permanent").with_context(|| hello.to_owned())?;
        ensure!(reject["server_version"] == 2, "{reject}");
    }
    Ok(())
}

#[test]
fn what_needs_a_session_is_refused_without_one() -> Result<()> {
    let server = Server::start(&[])?;
    for packet in ["04 00 00", "08", "03 0000 00000000 ff 80 00"] {
        let script = format!("connect; raw {packet}; until ended");
        let events = Client::run(&server.address, "ada", &[], &script)?;
        is_refused(events.one("rejected")?, 138, "again")?;
    }
    Ok(())
}

#[test]
fn a_server_that_stops_says_when_to_come_again() -> Result<()> {
    let mut server = Server::start(&[])?;
    let ada = Client::join(&server.address, "ada", &ONE_TRY, "join; until ended 30")?;
    server.process.terminate()?;
    let events = ada.finish()?;
    let ended = events.one("ended")?;
    is_refused(ended, 128, "again")?;
    ensure!(
        ended["by"] == "server" && ended["retry_ms"] == 2_000,
        "{ended}"
    );
    ensure!(server.process.wait(SOON)?.success());
    Ok(())
}

#[test]
fn a_client_comes_back_to_a_server_that_was_killed() -> Result<()> {
    let mut server = Server::start(&[])?;
    let script = "join; until event joined 30; roster; leave";
    let ada = Client::join(&server.address, "ada", &["--attempts", "20"], script)?;
    server.process.kill()?;
    server.process.wait(SOON)?;
    let _server = Server::start_at(&server.address.clone(), &[])?;
    let events = ada.finish()?;
    ensure!(events.all("joined").len() == 2, "{events}");
    ensure!(events.all("ended")[0]["by"] == "stream", "{events}");
    Ok(())
}
