"""Delays of signals whose delay is known."""

import unittest

import delays
import numpy as np

RATE_HZ = 48_000


def words(seconds: float, seed: int = 1) -> np.ndarray:
    """Noise in the band of speech, whose loudness goes up and down: never like itself."""
    rng = np.random.default_rng(seed)
    count = int(seconds * RATE_HZ)
    noise = np.convolve(rng.standard_normal(count), np.ones(12) / 12, "same")
    return 20_000 * noise * (1.1 + np.sin(np.arange(count) * 2 * np.pi * 3 / RATE_HZ))


def silence(seconds: float) -> np.ndarray:
    return np.zeros(int(seconds * RATE_HZ))


def later(samples: np.ndarray, ms: float) -> np.ndarray:
    return np.concatenate([silence(ms / 1_000), samples])[: len(samples)]


def parts_of(said: np.ndarray, heard: np.ndarray, most_ms: float = 500) -> list[delays.Part]:
    return delays.Listener(said, heard, RATE_HZ).parts(most_ms)


class Delays(unittest.TestCase):
    def setUp(self):
        self.said = np.concatenate([silence(0.5), words(4), silence(1.5)])

    def test_a_known_delay_is_found_to_the_sample(self):
        for ms in (0.0, 0.25, 37.5, 480.0):
            parts = parts_of(self.said, later(self.said, ms))
            figures = delays.figures(parts)
            self.assertEqual(figures["found"], figures["said"])
            self.assertGreaterEqual(figures["said"], 36)
            for name in ("median_ms", "p99_ms", "least_ms", "most_ms"):
                self.assertAlmostEqual(figures[name], ms, delta=0.05)

    def test_what_is_later_than_the_limit_is_not_found(self):
        parts = parts_of(self.said, later(self.said, 650))
        self.assertLess(delays.figures(parts)["found"], 3)

    def test_a_splice_is_found_where_it_is(self):
        heard = later(self.said, 100)
        at = int(2.5 * RATE_HZ)
        # 40 ms are left out at 2.5 s of what is heard.
        gone = int(0.04 * RATE_HZ)
        heard = np.concatenate([heard[:at], heard[at + gone :], silence(0.04)])
        parts = parts_of(self.said, heard)
        before = delays.between(parts, 0, 2_200)
        after = delays.between(parts, 2_500, 9_000)
        self.assertAlmostEqual(delays.median_ms(before), 100, delta=0.1)
        self.assertAlmostEqual(delays.median_ms(after), 60, delta=0.1)
        self.assertTrue(all(part.delay_ms is not None for part in before + after))

    def test_a_half_is_found_where_the_whole_is_not(self):
        heard = later(self.said, 100)
        # From 2.0 s to 2.1 s of what was said there is silence: the first half of one part.
        heard[int(2.1 * RATE_HZ) : int(2.2 * RATE_HZ)] = 0
        parts = parts_of(self.said, heard)
        missing = [part.at_ms for part in parts if part.delay_ms is None]
        self.assertEqual(missing, [2_000.0])
        for part in parts:
            self.assertAlmostEqual(part.delay_ms or 100, 100, delta=0.05)

    def test_a_missing_part_is_counted(self):
        heard = later(self.said, 50)
        heard[int(1.65 * RATE_HZ) : int(2.05 * RATE_HZ)] = 0
        figures = delays.figures(parts_of(self.said, heard))
        self.assertEqual(figures["said"] - figures["found"], 4)
        self.assertAlmostEqual(figures["median_ms"], 50, delta=0.05)

    def test_another_sound_is_not_taken_for_what_was_said(self):
        other = np.concatenate([silence(0.5), words(4, seed=2), silence(1.5)])
        figures = delays.figures(parts_of(self.said, other))
        self.assertEqual(figures["found"], 0)
        self.assertIsNone(figures["median_ms"])

    def test_the_bare_loop_is_taken_away(self):
        parts = parts_of(self.said, later(self.said, 37.5))
        self.assertAlmostEqual(delays.figures(parts, 10.0)["median_ms"], 27.5, delta=0.05)

    def test_the_beginning_of_each_talkspurt_stands_apart(self):
        said = np.concatenate([silence(0.5), words(2), silence(1), words(2, 3), silence(1)])
        parts = parts_of(said, later(said, 20))
        early, settled = delays.early(parts), delays.settled(parts)
        for some, least, most in ((early, 0, 500), (settled, 1_000, 2_000)):
            starts = [part.at_ms % 3_000 - 500 for part in some]
            self.assertTrue(all(least - 1 <= start < most for start in starts), starts)
        self.assertGreaterEqual(len(early), 8)
        self.assertGreaterEqual(len(settled), 16)

    def test_recovery_counts_from_the_end_of_the_stall(self):
        part = lambda at, delay: delays.Part(at, at, delay, 1.0)  # noqa: E731
        calm = [part(at, 50.0) for at in range(0, 2_000, 100)]
        late = [part(at, 400.0 - (at - 3_000) / 5) for at in range(3_000, 4_700, 100)]
        back = [part(at, 65.0) for at in range(4_700, 6_000, 100)]
        stall = (2_000.0, 3_000.0)
        after = delays.recovered_after_ms([*calm, *late, *back], stall)
        self.assertEqual(after, 1_700.0)
        self.assertEqual(delays.recovered_after_ms([*calm, *back], stall), 0.0)
        self.assertIsNone(delays.recovered_after_ms([*calm, *late], stall))


if __name__ == "__main__":
    unittest.main()
