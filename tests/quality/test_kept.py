"""Kept values, and the places that tables fill."""

import tempfile
import unittest
from pathlib import Path

import document
import kept
import tables


class Kept(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "kept.json"
        self.figures = {"loss/pcm16/5/pesq": 3.1, "gate/clean/20ms/missed_percent": 1.0}
        kept.keep(self.figures, self.path)

    def outcome(self, name: str, value: float) -> kept.Verdict:
        verdicts = kept.judge(self.figures | {name: value}, self.path)
        return next(one for one in verdicts if one.name == name)

    def test_what_is_as_it_was_is_good(self):
        self.assertTrue(all(one.is_good for one in kept.judge(self.figures, self.path)))

    def test_only_what_exceeds_its_tolerance_is_worse(self):
        pesq, missed = self.figures
        self.assertTrue(self.outcome(pesq, 3.06).is_good)
        self.assertFalse(self.outcome(pesq, 3.04).is_good)
        self.assertIn("better", self.outcome(pesq, 3.2).outcome)
        self.assertTrue(self.outcome(missed, 1.4).is_good)
        self.assertFalse(self.outcome(missed, 1.6).is_good)
        self.assertIn("better", self.outcome(missed, 0.4).outcome)

    def test_what_is_new_or_gone_is_not_good(self):
        self.assertIn("NEW", self.outcome("loss/adpcm/5/stoi", 0.9).outcome)
        verdicts = kept.judge({}, self.path)
        self.assertEqual([one.outcome for one in verdicts], ["NOT MEASURED"] * 2)

    def test_every_kept_value_has_a_tolerance(self):
        results = {
            "loss": [{"codec": "pcm16", "loss_percent": 5, "pesq": 3.0, "stoi": 0.9}],
            "gate": {
                "conditions": [{"noise": "white", "snr_db": 20, "frame_ms": 5, "missed_percent": 1,
                                "onset_mean_ms": 2, "onset_worst_ms": 3, "open_percent": 4}],
                "scores": [{"frame_ms": 5, "pesq": 4.0, "stoi": 0.99}],
            },
        }  # fmt: skip
        figures = kept.figures_of(results)
        self.assertEqual(len(figures), 8)
        kept.keep(figures, self.path)
        self.assertTrue(all(one.is_good for one in kept.judge(figures, self.path)))


class Document(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "document.md"
        self.mark = "<!-- quality: loss -->\n"
        self.end = "<!-- end of quality: loss -->\n"

    def test_the_marked_place_is_filled_and_filled_again(self):
        self.path.write_text(f"before\n\n{self.mark}\nold\n\n{self.end}\nafter\n")
        for text in ("| new |", "| newer |"):
            document.fill(self.path, "loss", text)
            expected = f"before\n\n{self.mark}\n{text}\n\n{self.end}\nafter\n"
            self.assertEqual(self.path.read_text(), expected)

    def test_a_document_without_the_place_is_an_error(self):
        for text in ("nothing\n", self.mark, self.end + self.mark, 2 * (self.mark + self.end),
                     self.mark + 2 * self.end):  # fmt: skip
            self.path.write_text(text)
            with self.assertRaises(ValueError):
                document.fill(self.path, "loss", "| new |")
            self.assertEqual(self.path.read_text(), text)


class Tables(unittest.TestCase):
    def test_columns_stand_above_each_other(self):
        text = tables.markdown(["what", "value"], [["a", "1"], ["longer", "22"]])
        self.assertEqual(text, "| what   | value |\n|--------|------:|\n"
                               "| a      |     1 |\n| longer |    22 |")  # fmt: skip

    def test_what_is_not_there_is_a_dash(self):
        self.assertEqual(tables.slashed([1.25, None], 1), "1.2 / -")


if __name__ == "__main__":
    unittest.main()
