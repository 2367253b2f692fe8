//! Which packets of a sequence are lost: each on its own, or in bursts.

use fastrand::Rng;

/// Loss in two states, as in Gilbert's model ("Capacity of a burst-noise channel", 1960): after a
/// lost packet, the next one is lost as often as makes bursts as long as asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct PacketLoss {
    was_lost: bool,
}

impl PacketLoss {
    /// Returns whether the next packet is lost. Of all packets, `share` are (0 to 1), in bursts of
    /// `burst_packets` on average; with 1 or less, losses know nothing of each other.
    pub fn next(&mut self, rng: &mut Rng, share: f64, burst_packets: f64) -> bool {
        let goes_on = match burst_packets {
            burst if burst > 1.0 => 1.0 - 1.0 / burst,
            _ => share,
        };
        // As many bursts begin as end, so that `share` of all packets are in one.
        let begins = share * (1.0 - goes_on) / (1.0 - share).max(f64::EPSILON);
        let likely = if self.was_lost { goes_on } else { begins };
        self.was_lost = rng.f64() < likely;
        self.was_lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The share of packets that are lost, and the mean length of a burst.
    fn measured(share: f64, burst_packets: f64) -> (f64, f64) {
        const PACKETS: usize = 200_000;
        let (mut loss, mut rng) = (PacketLoss::default(), Rng::with_seed(1));
        let lost: Vec<_> = (0..PACKETS)
            .map(|_| loss.next(&mut rng, share, burst_packets))
            .collect();
        let count = lost.iter().filter(|it| **it).count() as f64;
        let bursts = lost.windows(2).filter(|pair| !pair[0] && pair[1]).count() as f64;
        (count / PACKETS as f64, count / bursts)
    }

    #[test]
    fn as_many_are_lost_as_asked_for_in_bursts_as_long_as_asked_for() {
        for (share, asked_burst, burst) in [(0.1, 1.0, 1.11), (0.1, 4.0, 4.0), (0.3, 8.0, 8.0)] {
            let (measured_share, measured_burst) = measured(share, asked_burst);
            assert!(
                (measured_share / share - 1.0).abs() < 0.06,
                "{measured_share}"
            );
            assert!(
                (measured_burst / burst - 1.0).abs() < 0.06,
                "{measured_burst}"
            );
        }
        assert_eq!(measured(0.0, 4.0).0, 0.0);
    }
}
