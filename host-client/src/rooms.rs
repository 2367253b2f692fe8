//! `talkspurt rooms`: asks a server over HTTP which rooms it has and who is in them.

use serde_json::Value;
use std::{fmt::Write as _, io::ErrorKind, time::Duration};
use talkspurt_host_kit::{
    server_address::{HTTP_PORT, ServerAddress, VOICE_PORT},
    words,
};

/// How long a server may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Longest answer that is read: 1,000 participants take about 200 kB.
const ANSWER_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// How long a server of an unknown kind may take to answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// Returns a server's rooms as text for a terminal. The error says what to do.
pub fn rooms(server: &ServerAddress) -> Result<String, String> {
    ask(server, TIMEOUT)
        .map(|answer| describe(&answer))
        .map_err(|problem| format!("cannot list the rooms of {server}: {problem}"))
}

/// Returns whether a Talkspurt server answers HTTP there.
pub(crate) fn answers(server: &ServerAddress) -> bool {
    ask(server, PROBE_TIMEOUT).is_ok_and(|answer| answer.get("rooms").is_some())
}

fn ask(server: &ServerAddress, patience: Duration) -> Result<Value, String> {
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(patience))
        .max_redirects(0)
        // A proxy reaches other hosts than this machine does, and voice never goes through it.
        .proxy(None)
        .build();
    let agent = ureq::Agent::new_with_config(config);
    let answer = agent.get(format!("http://{server}/rooms")).call();
    let mut response = answer.map_err(|error| problem(&error, server))?;
    let body = response
        .body_mut()
        .with_config()
        .limit(ANSWER_BYTES_MAX)
        .read_to_string();
    let body = body.map_err(|error| problem(&error, server))?;
    serde_json::from_str(&body)
        .map_err(|_| "an HTTP server answers there, but not like a Talkspurt server".to_owned())
}

/// Says why there is no answer, and what to check.
fn problem(error: &ureq::Error, server: &ServerAddress) -> String {
    use ureq::Error;
    let is_this = format!("is that the server's --http port ({HTTP_PORT} by default)?");
    match error {
        Error::HostNotFound => "there is no host of that name; is it spelt right?".into(),
        Error::Io(error) if error.kind() == ErrorKind::ConnectionRefused => format!(
            "nothing listens there; is the server running, and {is_this} By default \
             only its own machine reaches it"
        ),
        Error::Timeout(_) if server.port != VOICE_PORT => {
            format!("no answer within {} s; {is_this}", TIMEOUT.as_secs())
        }
        Error::StatusCode(code) => {
            format!("an HTTP server answers there, but not like a Talkspurt server (status {code})")
        }
        // As from a socket that speaks another protocol.
        Error::Timeout(_) | Error::Protocol(_) | Error::Io(_) if server.port == VOICE_PORT => {
            format!("that is the voice port; rooms are on the --http port, {HTTP_PORT} by default")
        }
        Error::Protocol(_) => format!("something answers there, but not in HTTP; {is_this}"),
        Error::Io(error) => words::unreachable(error),
        error => words::describe(error),
    }
}

/// Describes the known parts of the answer, and ignores the rest: servers of other versions may say
/// more or less.
fn describe(answer: &Value) -> String {
    let empty = Vec::new();
    let rooms = answer.get("rooms").unwrap_or(answer);
    let rooms = rooms.as_array().unwrap_or(&empty);
    if rooms.is_empty() {
        return "no rooms: nobody is connected\n".to_owned();
    }
    let mut text = String::new();
    for room in rooms {
        let participants = room["participants"].as_array().unwrap_or(&empty);
        let talking = participants
            .iter()
            .filter(|who| flag(who, "talking"))
            .count();
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{}  ({} here, {talking} talking)",
            name(room),
            participants.len()
        );
        for who in participants {
            let _ = writeln!(text, "  {}", participant(who));
        }
    }
    text
}

fn participant(who: &Value) -> String {
    let mark = if flag(who, "talking") { '●' } else { '○' };
    let mut line = format!("{mark} {}", name(who));
    if flag(who, "muted") {
        line.push_str("  muted");
    }
    if let Some(level) = who["level_dbfs"].as_f64() {
        let _ = write!(line, "  {level:.0} dBFS");
    }
    if let Some(codec) = who["codec"].as_str() {
        let _ = write!(line, "  {}", words::clean(codec));
    }
    line
}

fn flag(of: &Value, key: &str) -> bool {
    of[key].as_bool().unwrap_or(false)
}

fn name(of: &Value) -> String {
    let name = of["name"].as_str().or(of["room"].as_str());
    words::clean(name.unwrap_or("(no name)"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::{
        io::{Read as _, Write as _},
        net::TcpListener,
    };

    #[test]
    fn rooms_and_people_are_listed() {
        let answer = json!({"rooms": [
            {"name": "kitchen", "frame_ms": 20, "participants": [
                {"id": 1, "name": "ann", "talking": true, "muted": false, "level_dbfs": -20.4, "codec": "pcm16"},
                {"id": 2, "name": "bob\u{1b}[2J", "talking": false, "muted": true, "level_dbfs": null, "codec": "adpcm"},
            ]},
            {"name": "cellar", "something": "new"},
        ]});
        assert_eq!(
            describe(&answer),
            "kitchen  (2 here, 1 talking)\n  ● ann  -20 dBFS  pcm16\n  ○ bob[2J  muted  adpcm\ncellar  (0 here, 0 talking)\n"
        );
        assert_eq!(
            describe(&json!({"rooms": []})),
            "no rooms: nobody is connected\n"
        );
        assert_eq!(
            describe(&json!([{"room": "attic"}])),
            "attic  (0 here, 0 talking)\n"
        );
        assert_eq!(describe(&json!("?")), "no rooms: nobody is connected\n");
    }

    #[test]
    fn a_server_is_asked_over_http_and_nonsense_is_refused() {
        for (body, expected) in [
            (r#"{"rooms":[]}"#, Ok("no rooms: nobody is connected\n")),
            ("<html>", Err("like a Talkspurt")),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = listener.local_addr().unwrap().port();
            let server = std::thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 1_024];
                let count = stream.read(&mut request).unwrap();
                assert!(request[..count].starts_with(b"GET /rooms HTTP/1.1\r\n"));
                let length = body.len();
                write!(
                    stream,
                    "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
                )
                .unwrap();
            });
            let answer = rooms(&ServerAddress {
                host: "127.0.0.1".into(),
                port,
            });
            server.join().unwrap();
            match (answer, expected) {
                (Ok(text), Ok(expected)) => assert_eq!(text, expected),
                (Err(text), Err(part)) => assert!(text.contains(part), "{text}"),
                (answer, _) => panic!("{body}: {answer:?}"),
            }
        }
    }

    #[test]
    fn a_missing_server_is_reported_with_advice() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let error = rooms(&ServerAddress {
            host: "127.0.0.1".into(),
            port,
        })
        .unwrap_err();
        assert!(error.contains("--http"), "{error}");
    }
}
