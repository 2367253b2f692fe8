//! Servers as people write them: `HOST[:PORT]` to connect to, `ADDR:PORT` to listen on.

use std::{fmt, net::SocketAddr};

/// Default port for voice: 8255 is TALK on a phone's keypad.
pub const VOICE_PORT: u16 = 8255;
/// Default port for HTTP (`/rooms`, `/healthz`, `/metrics`).
pub const HTTP_PORT: u16 = 8256;

/// A host name or address, and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAddress {
    /// A name or an address. An IPv6 address has no brackets here.
    pub host: String,
    /// The given port, or the caller's default.
    pub port: u16,
}

impl ServerAddress {
    /// Reads `HOST`, `HOST:PORT`, `[IPV6]`, `[IPV6]:PORT` or a bare IPv6 address.
    ///
    /// # Errors
    /// A sentence that says what is wrong and what to write instead.
    pub fn parse(text: &str, default_port: u16) -> Result<Self, String> {
        let text = text.trim();
        if let Some((_, rest)) = text.split_once("://") {
            let host = rest.split('/').next().unwrap_or_default();
            return Err(format!(
                "`{text}` is a URL; write HOST[:PORT] alone, such as {host} \
                 (the port is {default_port} by default)"
            ));
        }
        let (host, port) = split(text, default_port)?;
        if host.is_empty() || host.contains(char::is_whitespace) || host.contains('/') {
            return Err(format!(
                "`{text}` names no host; write for example localhost:{default_port}"
            ));
        }
        let port = match port {
            None => default_port,
            Some(port) => match port.parse() {
                Ok(port) if port > 0 => port,
                _ => return Err(format!("`{port}` is not a port from 1 to 65535")),
            },
        };
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

/// Splits the host (without brackets) from the port, if there is one.
fn split(text: &str, default_port: u16) -> Result<(&str, Option<&str>), String> {
    let Some(rest) = text.strip_prefix('[') else {
        return Ok(match text.split_once(':') {
            // An IPv6 address without brackets has no port.
            Some((_, rest)) if rest.contains(':') => (text, None),
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        });
    };
    let Some((host, rest)) = rest.split_once(']') else {
        return Err(format!(
            "`{text}` has `[` without `]`; write [::1]:{default_port}"
        ));
    };
    match rest.strip_prefix(':') {
        None if !rest.is_empty() => Err(format!(
            "`{rest}` after `]` is not a port; write [{host}]:{default_port}"
        )),
        port => Ok((host, port)),
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Reads `ADDR:PORT` with a numeric address, for a listener.
///
/// # Errors
/// A sentence that says what to write instead.
pub fn numeric_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!(
            "expected ADDR:PORT with a numeric address, \
             such as [::]:{VOICE_PORT} or 192.0.2.7:{VOICE_PORT}"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_addresses_and_ports() {
        for (text, host, port) in [
            ("localhost", "localhost", 8255),
            ("localhost:9000", "localhost", 9000),
            (" localhost\n", "localhost", 8255),
            ("talk.example:9000", "talk.example", 9000),
            ("192.0.2.7", "192.0.2.7", 8255),
            ("::1", "::1", 8255),
            ("[::1]", "::1", 8255),
            ("[::1]:9", "::1", 9),
            ("[2001:db8::1]:9", "2001:db8::1", 9),
        ] {
            let found = ServerAddress::parse(text, 8255).unwrap();
            assert_eq!((found.host.as_str(), found.port), (host, port), "{text}");
        }
        for (text, shown) in [
            ("localhost", "localhost:8255"),
            ("::1", "[::1]:8255"),
            ("[::1]:9", "[::1]:9"),
        ] {
            let found = ServerAddress::parse(text, 8255).unwrap();
            assert_eq!(found.to_string(), shown);
        }
    }

    #[test]
    fn an_invalid_address_is_refused_with_the_reason() {
        for (text, said) in [
            ("", "names no host"),
            (":8255", "names no host"),
            ("host:", "not a port"),
            ("host:0", "not a port"),
            ("host:70000", "not a port"),
            ("host:x", "not a port"),
            ("[::1", "without `]`"),
            ("[::1]8255", "write [::1]:8255"),
            ("a b", "names no host"),
            ("host/x", "names no host"),
            ("http://x", "HOST[:PORT] alone, such as x "),
            ("http://box:8080/rooms", "alone, such as box:8080 "),
        ] {
            let error = ServerAddress::parse(text, 8255).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn listeners_have_numeric_addresses() {
        assert_eq!(numeric_address("[::1]:7").unwrap().port(), 7);
        for text in ["8255", "localhost:8255", "192.0.2.7"] {
            let error = numeric_address(text).unwrap_err();
            assert!(error.contains("ADDR:PORT"), "{error}");
        }
    }
}
