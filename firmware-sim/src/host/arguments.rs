//! Flags that both programs have.

/// The server's port for voice.
const PORT: u16 = 8255;

/// Checks the path of a serial port.
///
/// # Errors
/// What to write instead of a URL or nothing.
pub fn parse_serial(text: &str) -> Result<String, String> {
    if text.contains("://") {
        return Err(
            "this is a URL; --serial takes the path of a serial port, such as /dev/ttyUSB0, and the \
             bridge's --server takes HOST[:PORT]"
                .to_owned(),
        );
    }
    if text.is_empty() {
        return Err("give the path of a serial port, such as /dev/ttyUSB0".to_owned());
    }
    Ok(text.to_owned())
}

/// Reads `HOST`, `HOST:PORT`, `[IPV6]`, `[IPV6]:PORT` or a bare IPv6 address; gives `HOST:PORT`.
///
/// # Errors
/// What to write instead.
pub fn parse_server(text: &str) -> Result<String, String> {
    let example = "give HOST[:PORT], such as localhost, localhost:8255 or [::1]:8255";
    if let Some((_, rest)) = text.split_once("://") {
        let host = rest.split('/').next().unwrap_or_default();
        return Err(format!(
            "this is a URL; give HOST[:PORT] alone, such as {host} (voice is on port {PORT})"
        ));
    }
    let (host, port) = match text.rsplit_once(':') {
        _ if text.starts_with('[') && text.ends_with(']') => (text.to_owned(), None),
        // An IPv6 address without brackets has no port.
        Some((host, _)) if host.contains(':') && !host.ends_with(']') => {
            (format!("[{text}]"), None)
        }
        Some((host, port)) if !host.starts_with('[') || host.ends_with(']') => {
            (host.to_owned(), Some(port))
        }
        _ => (text.to_owned(), None),
    };
    let port = match port {
        None => PORT,
        Some(port) => match port.parse() {
            Ok(port) if port > 0 => port,
            _ => return Err(format!("`{port}` is not a port from 1 to 65535; {example}")),
        },
    };
    let is_host = !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || c == '/');
    match is_host {
        true => Ok(format!("{host}:{port}")),
        false => Err(example.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_without_a_port_has_the_usual_one() {
        for (text, means) in [
            ("localhost", "localhost:8255"),
            ("localhost:9000", "localhost:9000"),
            ("192.0.2.7", "192.0.2.7:8255"),
            ("[::1]", "[::1]:8255"),
            ("[::1]:9", "[::1]:9"),
            ("::1", "[::1]:8255"),
        ] {
            assert_eq!(parse_server(text).as_deref(), Ok(means));
        }
        for wrong in [
            "",
            ":8255",
            "host:",
            "host:0",
            "host:70000",
            "a b",
            "host/x",
        ] {
            assert!(parse_server(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_url_is_refused_with_a_hint() {
        let server = parse_server("http://box:8080/rooms").unwrap_err();
        assert!(server.contains("HOST[:PORT] alone"), "{server}");
        for url in ["http://localhost", "tcp://box:8255"] {
            let serial = parse_serial(url).unwrap_err();
            assert!(serial.contains("such as /dev/ttyUSB0"), "{serial}");
        }
        assert_eq!(parse_serial("pty").as_deref(), Ok("pty"));
        assert!(parse_serial("").is_err());
    }
}
