//! Recognizes what answers in place of a Talkspurt server.

use crate::rooms;
use talkspurt_host_kit::server_address::{ServerAddress, VOICE_PORT};

/// Bytes kept from the start of a connection: programs introduce themselves in fewer.
pub(super) const GREETING_BYTES_MAX: usize = 64;

/// Says what kind of server sent these first bytes, if they tell. May ask it over HTTP, for a
/// second at most.
pub(super) fn explain(server: &ServerAddress, greeting: &[u8]) -> Option<String> {
    let kind = recognise(greeting);
    let may_be_http = greeting.is_empty() || kind == Some(HTTP);
    if may_be_http && rooms::answers(server) {
        return Some(format!(
            "that is its HTTP port; voice is on {VOICE_PORT}, unless it was started with another --listen"
        ));
    }
    kind.map(|kind| format!("{kind} answers there"))
}

const HTTP: &str = "an HTTP server";

fn recognise(greeting: &[u8]) -> Option<&'static str> {
    let begins = |with: &[u8]| greeting.starts_with(with);
    if begins(b"HTTP/") || begins(b"<") {
        Some(HTTP)
    } else if begins(b"SSH-") {
        Some("an SSH server")
    } else if begins(b"220 ") || begins(b"220-") {
        Some("a mail or FTP server")
    } else if matches!(greeting, [0x15 | 0x16, 3, 0..=4, ..]) {
        // An alert or handshake record, RFC 8446 section 5.1.
        Some("a TLS server")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_recognized_by_their_first_bytes() {
        for (greeting, kind) in [
            (&b"HTTP/1.1 400 Bad Request\r\n"[..], Some(HTTP)),
            (b"SSH-2.0-OpenSSH_9.2\r\n", Some("an SSH server")),
            (b"220 mail.example ESMTP", Some("a mail or FTP server")),
            (&[0x15, 3, 3, 0, 2, 2, 70], Some("a TLS server")),
            (b"", None),
            (&[3, 1, 2, 0], None),
        ] {
            assert_eq!(recognise(greeting), kind, "{greeting:?}");
        }
    }
}
