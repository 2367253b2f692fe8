//! The order in which the addresses of a host are tried, how long each has before the next one is
//! tried as well (RFC 8305), and which failure is reported.
//!
//! A name often has an address of each family, and one of them may lead nowhere: a router that
//! drops what it cannot forward answers nothing, and a connection attempt takes minutes to fail. So
//! the next address is tried soon, and the first connection that succeeds is used.

use std::{io, net::SocketAddr, time::Duration};

/// How long an address is tried alone (RFC 8305, section 8: "Connection Attempt Delay").
pub(super) const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Returns the addresses with the two families taking turns, starting with the family of the first.
/// Within a family the order stays.
pub(super) fn interleave(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_ipv4 = addresses.first().is_some_and(SocketAddr::is_ipv4);
    let (mut preferred, mut other): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv4() == first_is_ipv4);
    preferred.reverse();
    other.reverse();
    let mut ordered = Vec::new();
    while !preferred.is_empty() || !other.is_empty() {
        ordered.extend(preferred.pop());
        ordered.extend(other.pop());
    }
    ordered
}

/// Returns the failure that says more about the host; the first if they say as much.
///
/// A name often has an address of a family that this machine does not have. A failure there says
/// nothing about the host, while a refusal at another address says that the host exists.
pub(super) fn more_telling(first: io::Error, second: io::Error) -> io::Error {
    match weight(&second) > weight(&first) {
        true => second,
        false => first,
    }
}

fn weight(failure: &io::Error) -> u8 {
    use io::ErrorKind as Kind;
    match failure.kind() {
        Kind::ConnectionRefused => 2,
        Kind::NetworkUnreachable
        | Kind::HostUnreachable
        | Kind::NetworkDown
        | Kind::AddrNotAvailable
        | Kind::Unsupported => 0,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unsupported_family_does_not_hide_other_failures() {
        use io::ErrorKind::{ConnectionRefused, NetworkUnreachable, TimedOut};
        let told = |kinds: &[io::ErrorKind]| {
            let failures = kinds.iter().map(|&kind| io::Error::from(kind));
            failures.reduce(more_telling).unwrap().kind()
        };
        assert_eq!(
            told(&[ConnectionRefused, NetworkUnreachable]),
            ConnectionRefused
        );
        assert_eq!(
            told(&[NetworkUnreachable, ConnectionRefused]),
            ConnectionRefused
        );
        assert_eq!(told(&[TimedOut, NetworkUnreachable]), TimedOut);
        assert_eq!(told(&[TimedOut, ConnectionRefused]), ConnectionRefused);
        assert_eq!(told(&[NetworkUnreachable]), NetworkUnreachable);
    }

    fn interleaved(addresses: &[&str]) -> Vec<String> {
        let parsed = addresses.iter().map(|text| text.parse().unwrap());
        interleave(parsed.collect())
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn families_take_turns_and_the_resolvers_order_stays() {
        assert_eq!(
            interleaved(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "2.2.2.2:1"]),
            ["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"]
        );
        assert_eq!(
            interleaved(&["1.1.1.1:1", "2.2.2.2:1", "[::1]:1"]),
            ["1.1.1.1:1", "[::1]:1", "2.2.2.2:1"]
        );
        assert_eq!(interleaved(&["[::1]:1"]), ["[::1]:1"]);
        assert!(interleaved(&[]).is_empty());
    }
}
