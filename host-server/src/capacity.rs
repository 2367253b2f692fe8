//! How many may come, of those that each take a file descriptor. Pure.

/// Connections that have not joined, beside as many as there may be participants (who may all come at once).
const HANDSHAKES: usize = 256;
/// Connections that are over and still wait for the peer to close, so that it gets the last packet; beyond, they are just closed.
const LINGERING: usize = 256;
/// Connections that ask for pages.
const HTTP: usize = 128;
/// The program's own descriptors: standard streams, listeners, epoll, signals, and what `/metrics` opens.
const OWN: usize = 32;
/// Where descriptors are short, so many parts of them each are for connections that linger and for HTTP, and twice as many for
/// connections that have not joined: whoever is refused can be told so, and the health check is answered.
const PARTS: usize = 32;

/// Shares of the descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Participants in all rooms together.
    pub participants: usize,
    /// Connections that have not joined, while everyone is there.
    pub handshakes: usize,
    /// Connections that are over and still wait for the peer to close.
    pub lingering: usize,
    /// Connections that ask for pages.
    pub http: usize,
}

impl Capacity {
    /// What so many participants want.
    pub const fn of(participants: usize) -> Self {
        Self {
            participants,
            handshakes: HANDSHAKES,
            lingering: LINGERING,
            http: HTTP,
        }
    }

    /// File descriptors that all of them may come to use.
    pub const fn descriptors(&self) -> usize {
        self.participants + self.handshakes + self.lingering + self.http + OWN
    }

    /// The same in a process that may have `limit` descriptors: of each at least one.
    #[must_use]
    pub fn within(self, limit: usize) -> Self {
        if self.descriptors() <= limit {
            return self;
        }
        let shared = limit.saturating_sub(OWN);
        let share = |parts: usize, most: usize| (shared * parts / PARTS).clamp(1, most);
        let (handshakes, lingering) = (share(2, self.handshakes), share(1, self.lingering));
        let http = share(1, self.http);
        let left = shared.saturating_sub(handshakes + lingering + http);
        Self {
            participants: left.clamp(1, self.participants),
            handshakes,
            lingering,
            http,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_stays_and_what_does_not_leaves_room_for_all() {
        let wanted = Capacity::of(1_000);
        assert_eq!(wanted.descriptors(), 1_672);
        assert_eq!(wanted.within(1_672), wanted);
        let short = Capacity {
            participants: 868,
            handshakes: 62,
            lingering: 31,
            http: 31,
        };
        assert_eq!(wanted.within(1_024), short);
        assert_eq!(short.descriptors(), 1_024);
        // A few participants keep all that they want; what they leave is nobody's.
        assert_eq!(Capacity::of(3).within(600).participants, 3);
    }

    #[test]
    fn no_limit_is_exceeded_and_nothing_is_taken_away_altogether() {
        for limit in 0..2_000 {
            let capacity = Capacity::of(1_000).within(limit);
            assert!(capacity.descriptors() <= limit.max(OWN + 4), "{limit}");
            let shares = [
                capacity.participants,
                capacity.handshakes,
                capacity.lingering,
                capacity.http,
            ];
            assert!(shares.iter().all(|share| *share > 0), "{limit}: {shares:?}");
        }
    }
}
