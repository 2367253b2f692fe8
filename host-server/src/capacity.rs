//! How many may come, of those that each take a file descriptor. Pure.

/// Connections that have not joined, beside as many as there may be participants (who may all come
/// at once).
const HANDSHAKES: usize = 256;
/// Connections that are over and still wait for the peer to close, so that it gets the last packet;
/// beyond, they are just closed.
const LINGERING: usize = 256;
/// Connections that ask for pages.
const HTTP: usize = 128;
/// At least so many of them: a page that is being made, a newcomer, the health check, and one more.
const HTTP_LEAST: usize = 4;
/// The program's own descriptors: standard streams, listeners, epoll and signals are 11, `/metrics`
/// opens four, and connections that make room have theirs a moment longer.
const OWN: usize = 24;
/// Where descriptors are short, participants leave one part of so many to all other connections:
/// whoever is refused can be told so, and the health check is answered.
const PARTS: usize = 8;

const _: () = assert!(HANDSHAKES == LINGERING && HANDSHAKES + LINGERING == 4 * HTTP);

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
        let shared = limit.saturating_sub(OWN);
        let others = shared
            .saturating_sub(self.participants)
            .max(shared / PARTS)
            .min(HANDSHAKES + LINGERING + HTTP);
        // As they are to each other where nothing is short.
        let http = (others / 5).clamp(HTTP_LEAST, self.http);
        let half = others.saturating_sub(http) / 2;
        let handshakes = half.clamp(1, self.handshakes);
        let lingering = half.clamp(1, self.lingering);
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
        // Everyone gets in as long as an eighth is left for the others.
        assert_eq!(wanted.within(1_166).participants, 1_000);
        assert_eq!(wanted.within(1_165).participants, 999);
        assert_eq!(Capacity::of(3).within(700).handshakes, HANDSHAKES);
    }

    #[test]
    fn no_limit_is_exceeded_and_nothing_is_taken_away_altogether() {
        for participants in [1, 20, 1_000] {
            let mut before = 0;
            for limit in 0..2_000 {
                let capacity = Capacity::of(participants).within(limit);
                let least = OWN + HTTP_LEAST + 3;
                assert!(capacity.descriptors() <= limit.max(least), "{limit}");
                let others = [capacity.handshakes, capacity.lingering];
                assert!(others.iter().all(|share| *share > 0), "{limit}");
                assert!(capacity.http >= HTTP_LEAST, "{limit}");
                let now = capacity.participants;
                assert!(now >= 1, "{limit}");
                // Where two other shares grow at once, it is one less.
                assert!(now + 1 >= before, "more descriptors, fewer people: {limit}");
                before = now;
            }
        }
    }
}
