"""Gate figures of cases made by hand."""

import unittest

import gate
import numpy as np
from gate import GateFigures
from samples import RATE_HZ, active_level_dbfs, at_active_level, coloured_noise, gain, rms


def places(*spans_ms: tuple[int, int], length_ms: int = 5_000) -> np.ndarray:
    return gate.sent_places(spans_ms, length_ms // gate.STEP_MS)


class Figures(unittest.TestCase):
    def test_what_is_sent_whole_is_without_fault(self):
        speech = places((1_000, 2_000), (2_100, 2_600))
        figures = GateFigures.of(speech, places((900, 2_800)))
        self.assertEqual(figures.missed_places, 0)
        self.assertEqual(figures.clipped_ms, (0,))
        self.assertEqual(figures.open_places, 0)

    def test_a_late_opening_clips_the_onset(self):
        speech = places((1_000, 2_000), (3_000, 4_000))
        figures = GateFigures.of(speech, places((1_120, 2_100), (3_035, 4_100)))
        self.assertEqual(figures.clipped_ms, (120, 35))
        self.assertEqual(figures.missed_places, (120 + 35) // 5)
        summed = gate.summed([figures])
        self.assertAlmostEqual(summed["missed_percent"], 7.75)
        self.assertAlmostEqual(summed["onset_mean_ms"], 77.5)
        self.assertEqual(summed["onset_worst_ms"], 120)

    def test_an_early_close_misses_and_clips_nothing(self):
        figures = GateFigures.of(places((1_000, 2_000)), places((900, 1_900)))
        self.assertEqual((figures.missed_places, figures.clipped_ms), (20, (0,)))

    def test_speech_that_is_not_sent_at_all_is_clipped_whole(self):
        figures = GateFigures.of(places((1_000, 2_000)), places())
        self.assertEqual((figures.missed_places, figures.clipped_ms), (200, (1_000,)))

    def test_short_gaps_begin_no_onset_and_clicks_are_none(self):
        speech = places((500, 520), (1_000, 2_000), (2_250, 3_000), (4_000, 4_020))
        figures = GateFigures.of(speech, places((990, 3_100)))
        self.assertEqual(figures.clipped_ms, (0,))

    def test_hold_and_pre_roll_are_no_fault(self):
        speech = places((1_000, 2_000), length_ms=4_000)
        figures = GateFigures.of(speech, places((750, 2_500), length_ms=4_000))
        self.assertEqual(figures.open_places, 0)
        figures = GateFigures.of(speech, places((650, 2_600), length_ms=4_000))
        self.assertEqual(figures.open_places, 40)
        # 750 ms before and 1,500 ms behind are quiet.
        self.assertAlmostEqual(gate.summed([figures])["open_percent"], 100 * 200 / 2_250, delta=0.3)

    def test_figures_are_summed_over_signals_of_any_length(self):
        one = GateFigures.of(places((1_000, 2_000)), places((1_000, 2_000)))
        other = GateFigures.of(places((1_000, 4_000)), places((2_000, 4_000)))
        self.assertAlmostEqual(gate.summed([one, other])["missed_percent"], 25.0)


class Speech(unittest.TestCase):
    def setUp(self):
        rng = np.random.default_rng(5)
        self.loud = 3_000 * coloured_noise(RATE_HZ, 0, rng)
        self.quiet = np.zeros(RATE_HZ)

    def test_what_is_loud_is_speech(self):
        speech = gate.speech_places(np.concatenate([self.quiet, self.loud, self.quiet]))
        spans = gate.onsets(speech)
        self.assertEqual(len(spans), 1)
        self.assertAlmostEqual(spans[0][0] * gate.STEP_MS, 1_000, delta=10)
        self.assertAlmostEqual(spans[0][1] * gate.STEP_MS, 2_000, delta=15)

    def test_what_is_soft_is_speech_until_noise_hides_it(self):
        soft = self.loud * gain(-30)
        clean = np.concatenate([self.quiet, self.loud, soft, self.quiet])
        self.assertTrue(gate.speech_places(clean)[250:390].all())
        noise_rms = rms(self.loud) * gain(-20)
        self.assertFalse(gate.speech_places(clean, noise_rms)[410:590].any())
        self.assertTrue(gate.speech_places(clean, noise_rms)[210:390].all())
        softer = np.concatenate([self.quiet, self.loud, self.loud * gain(-40), self.quiet])
        self.assertFalse(gate.speech_places(softer)[410:590].any())

    def test_a_recordings_background_is_no_speech(self):
        rng = np.random.default_rng(6)
        background = 3_000 * gain(-30) * coloured_noise(3 * RATE_HZ, 0, rng)
        clean = background + np.concatenate([self.quiet, self.loud, self.quiet])
        self.assertEqual(len(gate.onsets(gate.speech_places(clean))), 1)
        self.assertFalse(gate.speech_places(clean)[:195].any())


class ActiveLevel(unittest.TestCase):
    def test_pauses_do_not_count(self):
        rng = np.random.default_rng(7)
        speech = 2_000 * coloured_noise(4 * RATE_HZ, 0, rng)
        level = active_level_dbfs(speech)
        self.assertAlmostEqual(level, 20 * np.log10(2_000 / 32_768), delta=0.1)
        padded = np.concatenate([np.zeros(4 * RATE_HZ), speech, np.zeros(4 * RATE_HZ)])
        # The hangover of 200 ms is part of the method.
        self.assertAlmostEqual(active_level_dbfs(padded), level, delta=0.4)

    def test_pauses_within_a_word_count(self):
        rng = np.random.default_rng(9)
        speech = 2_000 * coloured_noise(4 * RATE_HZ, 0, rng)
        level = active_level_dbfs(speech)
        # 100 ms of each 200 are silent: half the power, and active all the time.
        speech[np.arange(len(speech)) % (RATE_HZ // 5) < RATE_HZ // 10] = 0
        self.assertAlmostEqual(active_level_dbfs(speech), level - 3, delta=0.2)

    def test_a_level_can_be_set(self):
        rng = np.random.default_rng(8)
        speech = np.concatenate([np.zeros(RATE_HZ), coloured_noise(RATE_HZ, 1, rng)])
        for level in (-20, -40):
            self.assertAlmostEqual(active_level_dbfs(at_active_level(speech, level)), level,
                                   delta=0.2)  # fmt: skip


if __name__ == "__main__":
    unittest.main()
