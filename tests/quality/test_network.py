"""How much what is heard is like the ideal mix."""

import unittest

import network
import numpy as np
from samples import RATE_HZ


def words(seconds: int) -> np.ndarray:
    """Sound that never resembles itself."""
    rng = np.random.default_rng(1)
    return 3_000 * rng.standard_normal(seconds * RATE_HZ)


class Similarity(unittest.TestCase):
    def setUp(self):
        self.ideal = words(4)

    def test_a_mix_is_like_itself_however_late_it_is(self):
        for late_ms in (-20, 0, 60, 300):
            late = late_ms * RATE_HZ // 1_000
            heard = np.pad(self.ideal, (late, 0)) if late >= 0 else self.ideal[-late:]
            self.assertGreater(network.similarity(self.ideal, heard), 0.98, late_ms)

    def test_what_is_missing_counts(self):
        heard = self.ideal.copy()
        frame = RATE_HZ // 50
        for nth in range(0, len(heard) // frame, 5):
            heard[nth * frame : (nth + 1) * frame] = 0
        similarity = network.similarity(self.ideal, heard)
        # A fifth of the energy is missing in each part.
        self.assertAlmostEqual(similarity, np.sqrt(0.8), delta=0.03)

    def test_other_sound_is_not_similar(self):
        heard = np.random.default_rng(2).standard_normal(len(self.ideal)) * 3_000
        self.assertLess(network.similarity(self.ideal, heard), 0.3)


if __name__ == "__main__":
    unittest.main()
