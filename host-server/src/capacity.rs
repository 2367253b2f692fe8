//! Divides the limit of open files among the kinds of connections, without I/O.

/// Connections that have not joined, in addition to those of all participants (who may all connect
/// at once).
const HANDSHAKES: usize = 256;
/// Connections that have ended but wait for the peer to close, so that it gets the last packet. Any
/// more are closed at once.
const LINGERING: usize = 256;
/// Connections to the HTTP pages.
const HTTP: usize = 128;
/// The fewest of these: a page being made, a new connection, the health check, and one more.
const HTTP_MIN: usize = 4;
/// The program's own descriptors. Standard streams, listeners, epoll, signals and a timer are 12.
/// `/metrics` opens one for each request being answered, and connections that make room keep theirs
/// a moment longer.
const OWN: usize = 24;
/// Where descriptors are short, one in this many is kept for connections other than participants',
/// so that a refusal can be sent and the health check answered.
const OTHERS_ONE_IN: usize = 8;

const _: () = assert!(HANDSHAKES == LINGERING && HANDSHAKES + LINGERING == 4 * HTTP);

/// How the descriptors are divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Participants in all rooms together.
    pub participants: usize,
    /// Connections that have not joined, while the rooms are full.
    pub handshakes: usize,
    /// Connections that have ended but wait for the peer to close.
    pub lingering: usize,
    /// Connections to the HTTP pages.
    pub http: usize,
}

impl Capacity {
    /// Returns the shares for this many participants if descriptors are not short.
    pub const fn of(participants: usize) -> Self {
        Self {
            participants,
            handshakes: HANDSHAKES,
            lingering: LINGERING,
            http: HTTP,
        }
    }

    /// Returns how many file descriptors all of these may need.
    pub const fn descriptors(&self) -> usize {
        self.participants + self.handshakes + self.lingering + self.http + OWN
    }

    /// Returns the shares for as many of these participants as fit within `limit` descriptors. Each
    /// kind of connection keeps at least one.
    #[must_use]
    pub fn within(self, limit: usize) -> Self {
        let shared = limit.saturating_sub(OWN);
        let others = shared
            .saturating_sub(self.participants)
            .max(shared / OTHERS_ONE_IN)
            .min(HANDSHAKES + LINGERING + HTTP);
        // In the proportions of the full shares, 1 : 2 : 2.
        let http = (others / 5).max(HTTP_MIN);
        let half = (others.saturating_sub(http) / 2).max(1);
        let left = shared.saturating_sub(2 * half + http);
        Self {
            participants: left.max(1).min(self.participants),
            handshakes: half,
            lingering: half,
            http,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_that_fit_stay_and_others_shrink_for_all() {
        let wanted = Capacity::of(1_000);
        assert_eq!(wanted.descriptors(), 1_664);
        assert_eq!(wanted.within(usize::MAX), wanted);
        assert_eq!(wanted.within(1_664), wanted);
        let short = Capacity {
            participants: 875,
            handshakes: 50,
            lingering: 50,
            http: 25,
        };
        assert_eq!(wanted.within(1_024), short);
        assert_eq!(short.descriptors(), 1_024);
        // Everyone gets in as long as an eighth remains for the others.
        assert_eq!(wanted.within(1_166).participants, 1_000);
        assert_eq!(wanted.within(1_165).participants, 999);
        assert_eq!(Capacity::of(3).within(700).handshakes, HANDSHAKES);
    }

    #[test]
    fn no_limit_is_exceeded_and_no_share_is_taken_away_entirely() {
        for participants in [1, 20, 1_000] {
            let mut before = 0;
            for limit in 0..2_000 {
                let capacity = Capacity::of(participants).within(limit);
                let least = OWN + HTTP_MIN + 3;
                assert!(capacity.descriptors() <= limit.max(least), "{limit}");
                let others = [capacity.handshakes, capacity.lingering];
                assert!(others.iter().all(|share| *share > 0), "{limit}");
                assert!(capacity.http >= HTTP_MIN, "{limit}");
                let now = capacity.participants;
                assert!(now >= 1, "{limit}");
                // When two other shares grow at once, this one loses one.
                assert!(
                    now + 1 >= before,
                    "more descriptors, fewer participants: {limit}"
                );
                before = now;
            }
        }
    }
}
