"""The roster and its repair."""

import unittest

import roster
import shown
from scripted_server import Case, Log, entry


class RosterOfASession(Case):
    def test_gap_and_repair(self):
        def part(peer):
            peer.welcome(peer.expect("Hello"))
            peer.send("Joined", revision=301, entry=entry(9, "eve"))
            peer.send("State", revision=301, id=9, flags=1)
            peer.send("State", revision=303, id=9, flags=1)
            peer.expect("RosterRequest")
            peer.revision = 304
            names = [entry(one, f"n{one}") for one in range(1, 10)]
            peer.roster(*names)
            peer.send("Left", revision=305, id=1, reason=0)
            peer.expect("Bye")

        self.begin(part)
        self.join()
        self.until_event("change", packet="Left")
        gap = self.log.one("roster_gap")
        self.assertEqual((gap["had"], gap["got"], gap["packet"]), (301, 303, "State"))
        applied = [(one["packet"], one["revision"], one["applied"]) for one
                   in self.log.all("change")]  # fmt: skip
        self.assertEqual(applied, [("Joined", 301, True), ("State", 301, False),
                                   ("State", 303, True), ("Left", 305, True)])  # fmt: skip
        self.assertEqual(sorted(self.client.roster.entries), list(range(2, 10)))
        self.assertEqual((self.client.roster.revision, self.client.participants), (305, 8))
        self.client.leave()
        self.finish()

    def test_a_pong_shows_a_gap(self):
        def part(peer):
            peer.welcome(peer.expect("Hello"))
            peer.revision = 303
            peer.expect("RosterRequest")
            peer.roster(entry(7, "ada"))
            peer.expect("Bye")

        self.begin(part)
        self.join()
        self.until(lambda: len(self.log.all("roster")) == 2)
        self.assertEqual(self.log.one("roster_gap")["packet"], "Pong")
        self.assertEqual(self.client.participants, 1)
        self.client.leave()
        self.finish()

    def test_only_the_number(self):
        def part(peer):
            self.assertEqual(peer.next()["roster"], 0)
            peer.welcome({"nonce": self.client.hello["nonce"]}, roster=False)
            peer.revision = 320
            peer.send("Count", participants=3)
            peer.expect("RosterRequest")
            peer.roster(entry(7, "ada"), entry(8, "bob"), entry(9, "eve"))
            peer.expect("Bye")

        self.begin(part, line=("--no-roster",))
        self.join()
        self.until_event("count")
        self.until_event("pong")
        self.assertEqual(self.client.participants, 3)
        self.assertEqual(self.log.all("roster_request"), [])
        self.client.ask_for_roster()
        self.until_event("roster")
        self.client.leave()
        self.finish()


class RosterAlone(unittest.TestCase):
    """Roster without a stream, at times of its own."""

    def setUp(self):
        self.log = Log()
        self.roster = roster.Roster(300, True, self.emit, 0.0)
        self.page(0, 1, [entry(7, "ada")])

    def emit(self, event, **fields):
        self.log(event, fields)

    def page(self, first, total, entries, revision=300, now=0.0):
        value = {"revision": revision, "first": first, "total": total, "entries": entries}
        self.roster.page(value, now)

    def state(self, revision, now=0.0):
        self.roster.change({"packet": "State", "revision": revision, "id": 7, "flags": 1}, now)

    def asked(self, begin, end):
        """The times between at which it asks, in tenths."""
        times = range(round(begin * 10), round(end * 10) + 1)
        return [at / 10 for at in times if self.roster.due(at / 10)]

    def test_asks_again_later_and_later(self):
        self.state(305, now=10.0)
        self.assertEqual(self.asked(10, 60), [10.0, 12.0, 16.0, 24.0, 40.0, 56.0])

    def test_asks_once_a_second_at_most(self):
        self.state(305, now=10.0)
        self.assertTrue(self.roster.due(10.0))
        self.page(0, 1, [entry(7, "ada")], revision=305)
        self.state(309, now=10.1)
        self.assertEqual(self.asked(10.1, 11.5), [11.0])

    def test_one_answer_for_several_gaps(self):
        self.state(305, now=10.0)
        self.assertTrue(self.roster.due(10.0))
        self.state(309, now=10.1)
        self.page(0, 1, [entry(7, "ada")], revision=309, now=10.2)
        self.assertEqual(self.asked(10.2, 60), [])

    def test_pages_that_do_not_continue(self):
        names = [entry(one, f"n{one}") for one in range(1, 20)]
        for wrong in (
            {"first": 8, "total": 19, "revision": 302}, {"first": 8, "total": 20},
            {"first": 16, "total": 19}, {"first": 7, "total": 19},
        ):  # fmt: skip
            self.setUp()
            self.state(305, now=10.0)
            self.assertTrue(self.roster.due(10.0))
            self.page(0, 19, names[:8], revision=301, now=10.1)
            fields = {"revision": 301, **wrong}
            self.page(fields["first"], fields["total"], names[8:16], fields["revision"], 10.1)
            self.page(16, 19, names[16:], revision=301, now=10.1)
            self.assertEqual(list(self.roster.entries), [7])
            self.assertEqual(self.asked(10.1, 11.9), [11.0], wrong)

    def test_a_change_between_pages_or_an_empty_page_means_a_loss(self):
        names = [entry(one, f"n{one}") for one in range(1, 10)]
        for lost in (lambda: self.state(302, 10.1), lambda: self.page(8, 9, [], 301, 10.1)):
            self.setUp()
            self.state(301, now=10.0)
            self.page(0, 9, names[:8], revision=301, now=10.1)
            lost()
            self.page(8, 9, names[8:], revision=301, now=10.1)
            self.assertEqual(list(self.roster.entries), [7])
            self.assertEqual(self.asked(10.1, 11.0), [10.1])

    def test_pages_behind_the_welcome_that_do_not_come(self):
        self.roster = roster.Roster(300, True, self.emit, 100.0)
        self.assertEqual(self.asked(100, 130), [102.0, 106.0, 114.0, 130.0])

    def test_revisions_wrap_without_zero(self):
        self.roster.revision = 0xFFFFFFFE
        self.state(0xFFFFFFFF)
        self.state(1)
        self.state(0xFFFFFFFF)
        self.assertEqual(self.log.all("roster_gap"), [])
        self.assertEqual(self.roster.revision, 1)

    def test_hostile_pages(self):
        self.page(0, 0, [])
        self.assertEqual(self.roster.entries, {})
        self.page(0, 0xFFFFFFFF, [entry(1, "a")] * 8)
        self.page(0, 3, [entry(1, "a")] * 8)
        for first in range(0, 100_000, 8):
            names = [entry(first + one + 1, "x" * 32) for one in range(8)]
            self.page(first, 100_000, names)
        self.assertEqual(len(self.roster.entries), roster.ROSTER_MOST)
        self.page(0, 2, [entry(0, "nobody"), entry(3, "\0\u202e")])
        self.assertEqual([one["name"] for one in self.roster.entries.values()], ["(unprintable)"])

    def test_names_as_shown(self):
        heart, family = "\u2764\ufe0f", "\U0001f468\u200d\U0001f469"
        for name in ("Zoë", heart, family, "a b", "a\ufffd"):
            self.assertEqual(shown.shown_name(name), name)
        self.assertEqual(shown.shown_name("a\u200b\nb\u202e\ufe0f"), "ab")
        self.assertEqual(shown.shown_name("é" * 40), "é" * 16)


if __name__ == "__main__":
    unittest.main()
