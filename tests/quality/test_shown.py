"""What a client shows, beside what is measured."""

import json
import unittest

import shown
from delays import Part


def level(t_ms, delay_ms):
    return json.dumps({"event": "level", "t_ms": t_ms, "delay_ms": delay_ms})


def part(at_ms, delay_ms, since_onset_ms=5_000.0):
    return Part(at_ms, since_onset_ms, delay_ms, 1.0)


class Shown(unittest.TestCase):
    def test_only_levels_that_have_a_delay_are_read(self):
        log = "\n".join([level(1_000, None), "warning: no sound", '{"event": "joined", "t_ms": 2}',
                         level(2_000, 61), "7"])  # fmt: skip
        self.assertEqual(shown.shown(log), [(2_000.0, 61.0)])

    def test_a_figure_is_compared_with_what_was_heard_just_before(self):
        parts = [part(at, 50.0 if at < 2_000 else 80.0) for at in range(0, 4_000, 100)]
        found = shown.compared(parts, [(1_900.0, 53.0), (3_900.0, 75.0)])
        self.assertEqual(found["count"], 2)
        self.assertEqual((found["error_ms"], found["worst_ms"]), (-1.0, 5.0))
        self.assertEqual((found["shown_ms"], found["measured_ms"]), (64.0, 65.0))

    def test_pauses_and_beginnings_are_not_judged(self):
        early = [part(at, 90.0, since_onset_ms=at) for at in range(0, 1_000, 100)]
        self.assertEqual(shown.compared(early, [(1_000.0, 40.0), (9_000.0, 40.0)]), {"count": 0})


if __name__ == "__main__":
    unittest.main()
