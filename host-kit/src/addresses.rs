//! In which order the addresses of a host are tried, and how long each has before the next one is tried as well (RFC 8305).
//!
//! A name often stands for an address of each family, and one of them may lead nowhere: a router that drops what it cannot
//! forward answers nothing, and a connection attempt takes minutes to fail. So the next address gets its turn soon, and the first
//! connection that comes about is used.

use std::{net::SocketAddr, time::Duration};

/// How long an address is tried alone (RFC 8305, section 8: "Connection Attempt Delay").
pub const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// The addresses by turns of the two families, beginning with the family of the first; within a family in the order given.
#[must_use]
pub fn interleave(addresses: impl IntoIterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let all: Vec<SocketAddr> = addresses.into_iter().collect();
    let first_is_ipv4 = all.first().is_some_and(SocketAddr::is_ipv4);
    let (mut preferred, mut other): (Vec<_>, Vec<_>) = all
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

#[cfg(test)]
mod tests {
    use super::*;

    fn interleaved(addresses: &[&str]) -> Vec<String> {
        let parsed = addresses.iter().map(|text| text.parse().unwrap());
        interleave(parsed).iter().map(ToString::to_string).collect()
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
