"""When frames begin."""

import unittest

import sound
from scripted_server import Case

WORD = sound.tone(440, 60, 12000, 16000)


class TickHints(Case):
    def talk(self, *hints, line=("--tick-hints",)):
        """Says a word, gets hints, and says another: the Hello, and the Voice of both words."""
        got, voice = [], []

        def part(peer):
            got.append(peer.expect("Hello"))
            peer.welcome(got[0], features=got[0]["features"])
            for _ in range(3):
                voice.append(peer.expect("Voice"))
            for ahead, shift_us in hints:
                seq = (voice[-1]["seq"] + ahead) & 0xFFFF
                peer.send("TickHint", seq=seq, shift_us=shift_us)
            for _ in range(3):
                voice.append(peer.expect("Voice"))
            peer.expect("Bye")

        self.begin(part, line=line)
        self.join()
        for word in range(2):
            self.client.say(WORD)
            self.until(lambda: not self.client.is_saying())
            if word == 0:
                self.until(lambda: len(self.log.all("tick_hint")) == len(hints))
        self.client.leave()
        self.finish()
        return got[0], voice

    def test_frames_are_shifted_in_the_next_pause(self):
        hello, voice = self.talk((0, 4000), (0, 12500))
        self.assertEqual(hello["features"], 32)
        self.assertEqual(self.log.one("joined")["features"], 32)
        self.assertEqual(self.log.one("shifted")["shift_us"], 12500)
        # The clock goes on by 5 units beside whole frames.
        pause = (voice[3]["timestamp"] - voice[2]["timestamp"]) % (1 << 32)
        self.assertEqual(pause % 8, 5)

    def test_it_is_offered_only_when_asked_for(self):
        hello, voice = self.talk((0, 12500), line=())
        self.assertEqual(hello["features"], 0)
        self.assertEqual(self.log.one("tick_hint")["why"], "not asked for")
        pause = (voice[3]["timestamp"] - voice[2]["timestamp"]) % (1 << 32)
        self.assertEqual(pause % 8, 0)

    def test_nonsense_is_ignored(self):
        self.talk((0, 0), (0, 20000), (0, 65535), (1, 5000), (0x7FFF, 5000))
        why = [one["why"] for one in self.log.all("tick_hint")]
        self.assertEqual(why, ["no part of a frame"] * 3 + ["no packet has this seq"] * 2)
        self.assertEqual(self.log.all("shifted"), [])

    def test_a_hint_from_before_the_last_shift_is_ignored(self):
        def part(peer):
            peer.welcome(peer.expect("Hello"), features=32)
            for word in range(3):
                voice = [peer.expect("Voice") for _ in range(3)]
                seq = voice[2]["seq"] if word != 1 else (voice[0]["seq"] - 1) & 0xFFFF
                peer.send("TickHint", seq=seq, shift_us=5000)
            peer.expect("Bye")

        self.begin(part, line=("--tick-hints",))
        self.join()
        for word in range(3):
            self.client.say(WORD)
            self.until(lambda: not self.client.is_saying())
            self.until(lambda count=word + 1: len(self.log.all("tick_hint")) == count)
        self.client.leave()
        self.finish()
        why = [one["why"] for one in self.log.all("tick_hint")]
        self.assertEqual(why, [None, "from before the last shift", None])
        self.assertEqual(len(self.log.all("shifted")), 1)


if __name__ == "__main__":
    unittest.main()
