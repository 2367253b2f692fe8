//! `HOST[:PORT]`, with IPv6 in brackets.

use super::ConfigError;
use std::fmt;

/// A host name or address, and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// A name or an address; an IPv6 address stands without its brackets.
    pub host: String,
    /// The port as given, or the default of the caller.
    pub port: u16,
}

impl Endpoint {
    /// Reads `HOST`, `HOST:PORT`, `[IPV6]`, `[IPV6]:PORT` or a bare IPv6 address.
    pub fn parse(text: &str, default_port: u16) -> Result<Self, ConfigError> {
        let wrong = |problem: String| Err(ConfigError::new("HOST[:PORT]", problem));
        let text = text.trim();
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let Some((host, rest)) = rest.split_once(']') else {
                return wrong(format!(
                    "`{text}` has `[` without `]`; write [::1]:{default_port}"
                ));
            };
            match rest.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if rest.is_empty() => (host, None),
                None => {
                    return wrong(format!(
                        "`{rest}` after `]` is not a port; write [{host}]:{default_port}"
                    ));
                }
            }
        } else if text.matches(':').count() > 1 {
            (text, None)
        } else {
            match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            }
        };
        if host.is_empty() || host.contains(char::is_whitespace) || host.contains('/') {
            return wrong(format!(
                "`{text}` names no host; write for example localhost:{default_port}"
            ));
        }
        let port = match port {
            None => default_port,
            Some(port) => match port.parse::<u16>() {
                Ok(port) if port > 0 => port,
                _ => return wrong(format!("`{port}` is not a port from 1 to 65535")),
            },
        };
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_addresses_and_ports() {
        for (text, host, port) in [
            ("localhost", "localhost", 8255),
            ("talk.example:9000", "talk.example", 9000),
            ("192.0.2.7", "192.0.2.7", 8255),
            ("::1", "::1", 8255),
            ("[::1]", "::1", 8255),
            ("[2001:db8::1]:9", "2001:db8::1", 9),
        ] {
            let found = Endpoint::parse(text, 8255).unwrap();
            assert_eq!((found.host.as_str(), found.port), (host, port), "{text}");
        }
        assert_eq!(
            Endpoint::parse("[::1]:9", 1).unwrap().to_string(),
            "[::1]:9"
        );
    }

    #[test]
    fn what_cannot_be_reached_is_said() {
        for text in [
            "",
            ":8255",
            "host:",
            "host:0",
            "host:70000",
            "host:x",
            "[::1",
            "[::1]8255",
            "a b",
            "http://x",
        ] {
            let error = Endpoint::parse(text, 8255).unwrap_err();
            assert!(error.to_string().len() > "HOST[:PORT]: ".len(), "{text}");
        }
    }
}
