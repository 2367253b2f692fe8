"""Joining, coming back, and what belongs to no session."""

import threading
import time
import unittest
from unittest import mock

import framing
import participant
from scripted_server import TOKEN, TOKEN_2, ZEROS, Case, entry


class Joining(Case):
    def test_hello_and_welcome(self):
        seen = {}

        def part(peer):
            seen["hello"] = peer.expect("Hello")
            peer.welcome(seen["hello"])
            seen["bye"] = peer.expect("Bye")
            seen["raw"] = peer.raw

        self.begin(part)
        self.join()
        self.until_event("roster")
        self.until_event("pong")
        self.client.leave()
        self.finish()
        hello = seen["hello"]
        self.assertEqual((hello["version"], hello["room"], hello["name"]), (2, "kitchen", "ada"))
        self.assertEqual((hello["max_packet"], hello["roster"], hello["flags"]), (1280, 1, 0))
        self.assertEqual((hello["resume"], hello["credentials"]), ("", ""))
        self.assertNotEqual(hello["nonce"], ZEROS)
        self.assertEqual(seen["raw"][0], 0, "one zero before the first packet")
        self.assertEqual((seen["bye"]["reason"], seen["bye"]["after"]), (0, None))
        self.assertEqual([one["name"] for one in self.log.one("roster")["entries"]],
                         ["ada", "bob"])  # fmt: skip
        self.assertEqual(self.log.one("joined")["id"], 7)
        self.assertEqual(self.client.state, "closed")

    def test_a_seed_makes_the_same_client(self):
        nonces = []

        def part(peer):
            nonces.append(peer.expect("Hello")["nonce"])
            peer.reject(2)

        for seed in ("5", "5", "6"):
            self.begin(part, line=("--seed", seed))
            self.failed()
            self.finish()
        self.assertEqual(nonces[0], nonces[1])
        self.assertNotEqual(nonces[0], nonces[2])

    def test_permanent_reject(self):
        for reason in (1, 2, 9, 99):

            def part(peer, reason=reason):
                peer.reject(reason, peer.expect("Hello"), retry_ms=1, text="no \u202eway\n")

            self.begin(part)
            failed = self.failed()
            self.run_for(0.3)
            self.finish()
            rejected = self.log.one("rejected")
            self.assertEqual((rejected["reason"], rejected["class"]), (reason, "permanent"))
            self.assertEqual((rejected["text"], failed["message"]), ("no way", "no way"))
            self.assertEqual((self.server.streams, self.log.all("retry")), (1, []))

    def test_reject_that_says_try_again(self):
        hellos = []

        def refuse(peer):
            hellos.append(peer.expect("Hello"))
            peer.reject(200, hellos[-1], retry_ms=400, version=3)

        def accept(peer):
            hellos.append(peer.expect("Hello"))
            peer.welcome(hellos[-1])
            peer.expect("Bye")

        self.begin(refuse, accept)
        self.join()
        self.client.leave()
        self.finish()
        first, second = self.server.accepted_at
        self.assertGreaterEqual(second - first, 0.4)
        self.assertLess(second - first, 0.4 * 1.25 + 0.3)
        self.assertNotEqual(hellos[0]["nonce"], hellos[1]["nonce"])
        self.assertEqual(self.log.one("rejected")["class"], "again")

    def test_back_off_doubles_and_ends(self):
        def part(peer):
            peer.reject(138, peer.expect("Hello"))

        self.begin(part, part, part, line=("--attempts", "3"))
        self.failed()
        self.finish()
        first, second = (one["in_ms"] for one in self.log.all("retry"))
        self.assertTrue(250 <= first <= 313, first)
        self.assertTrue(500 <= second <= 625, second)

    def test_waiting_is_bounded(self):
        def part(peer):
            peer.reject(128, peer.expect("Hello"), retry_ms=4_000_000_000)

        self.begin(part)
        self.client.join()
        self.until_event("retry")
        self.assertLessEqual(self.log.one("retry")["in_ms"], 60_000)
        self.finish_now()

    def finish_now(self):
        self.client.close()
        self.server.finish()

    def test_name_taken_at_first_and_later(self):
        def taken(peer):
            peer.reject(129, peer.expect("Hello"), retry_ms=10)

        def break_off(peer):
            peer.welcome(peer.expect("Hello"))

        def accept(peer):
            peer.welcome(peer.expect("Hello"))
            peer.expect("Bye")

        self.begin(taken)
        self.assertEqual(self.failed()["reason"], 129)
        self.finish()
        self.begin(break_off, taken, accept, line=("--attempts", "5"))
        self.join()
        self.until(lambda: self.client.sessions == 2)
        self.client.leave()
        self.finish()

    def test_rejects_of_other_nonces(self):
        def part(peer):
            hello = peer.expect("Hello")
            peer.reject(2, {"nonce": "01 02 03 04 05 06 07 08"})
            peer.welcome(hello)
            peer.reject(2, {"nonce": "01 02 03 04 05 06 07 08"})
            peer.expect("SetMuted")
            peer.reject(9)

        self.begin(part)
        self.join()
        self.client.set_muted(True)
        self.until_event("failed")
        self.assertEqual(len(self.log.all("ignored", packet="Reject")), 2)
        self.assertEqual(self.log.one("rejected")["reason"], 9)
        self.finish()

    def test_what_belongs_to_an_earlier_session_is_ignored(self):
        def part(peer):
            hello = peer.expect("Hello")
            peer.welcome({"nonce": "01 02 03 04 05 06 07 08"}, id=99)
            peer.voice(1, 2, [1] * 80)
            peer.send("Joined", revision=9, entry=entry(3, "old"))
            peer.send("Left", revision=10, id=3, reason=0)
            peer.send("State", revision=11, id=3, flags=1)
            peer.send("Count", participants=9)
            peer.bye(9)
            peer.welcome(hello)
            peer.expect("Bye")

        self.begin(part)
        self.join()
        self.assertEqual(self.log.one("joined")["id"], 7)
        ignored = {one["packet"] for one in self.log.all("ignored")}
        expected = {"Welcome", "Voice", "Roster", "Joined", "Left", "State", "Count", "Bye"}
        self.assertEqual(ignored, expected)
        self.client.leave()
        self.finish()

    def test_repeated_hello_and_welcome(self):
        hellos = []

        def part(peer):
            hellos.append(peer.expect("Hello"))
            hellos.append(peer.expect("Hello"))
            peer.welcome(hellos[0])
            peer.welcome(hellos[0], roster=False, id=99, codec_down=1, frame_ms=5,
                         revision=305, participants=5)  # fmt: skip
            peer.roster(*(entry(one, f"n{one}") for one in range(1, 6)))
            peer.expect("Bye")

        with mock.patch.object(participant, "REPEAT_S", 0.1):
            self.begin(part, line=("--lossy",))
            self.join()
            self.until(lambda: len(self.log.all("roster")) == 2)
        self.assertEqual(hellos[0], hellos[1])
        self.assertEqual(self.log.one("welcome_again")["revision"], 305)
        welcome = self.client.session.welcome
        self.assertEqual((welcome["id"], welcome["frame_ms"]), (7, 20))
        self.assertEqual((self.client.participants, self.client.sessions), (5, 1))
        self.assertEqual(self.log.all("roster_request"), [])
        self.client.leave()
        self.finish()

    def test_no_answer(self):
        def part(peer):
            peer.expect("Hello")
            self.assertEqual(peer.expect_end(), [])

        with mock.patch.object(participant, "GIVE_UP_S", 0.3):
            self.begin(part, line=("--attempts", "1"))
            self.assertIn("no answer", self.failed()["message"])
        self.finish()

    def test_nobody_listens(self):
        self.begin(line=("--attempts", "2"))
        self.server.listener.close()
        self.assertIn("no connection", self.failed()["message"])
        self.assertEqual(len(self.log.all("retry")), 1)

    def test_welcomes_that_are_wrong(self):
        wrong = (
            {"codec_up": 1}, {"codec_down": 2}, {"rate": 8000}, {"frame_ms": 15}, {"revision": 0},
            {"participants": 0}, {"idle_timeout_ms": 499}, {"max_packet": 351},
            {"rate": 44100, "frame_ms": 20}, {"rate": 48000}, {"max_packet": 352}, {"id": 0},
        )  # fmt: skip
        for change in wrong:
            byes = []

            def part(peer, change=change, byes=byes):
                peer.welcome(peer.expect("Hello"), roster=False, **change)
                byes.extend(peer.expect_end())

            self.begin(part, line=("--codecs-up", "0", "--rates", "16000,44100,48000"))
            self.assertEqual(self.failed()["reason"], 9, change)
            self.finish()
            self.assertEqual([(one["packet"], one["reason"]) for one in byes], [("Bye", 9)])

    def test_welcome_of_another_version(self):
        def part(peer):
            hello = peer.expect("Hello")
            peer.send_packet(bytes([2, 3]) + b"\7" * 8)
            peer.send_packet(bytes([2, 3]) + bytes.fromhex(hello["nonce"]) + b"anything")
            self.assertEqual(peer.expect_end(), [])

        self.begin(part)
        self.assertEqual(self.failed()["reason"], 1)
        self.assertEqual(self.log.one("rejected")["server_version"], 3)
        self.finish()


class OutsideASession(Case):
    def test_ping_before_hello(self):
        def part(peer):
            ping = peer.next()
            self.assertEqual(ping["packet"], "Ping")
            peer.send("Pong", number=ping["number"], revision=0, flags=0)
            # In one piece, so that the second is there before the first is answered.
            peer.send_raw(b"".join(framing.frame(bytes([5, number])) for number in (41, 42)))
            self.assertEqual(peer.expect("Pong")["number"], 42)
            hello = peer.expect("Hello")
            peer.send("Ping", number=43)
            self.assertEqual(peer.expect("Pong")["number"], 43)
            peer.welcome(hello)
            peer.expect("Bye")

        self.begin(part, line=("--muted",))
        self.client.connect()
        self.client.ping()
        pong = self.until_event("pong")
        self.assertEqual((pong["revision"], pong["flags"]), (0, 0))
        self.assertGreater(pong["rtt_ms"], 0)
        self.until_event("pinged", number=42)
        self.join()
        self.assertEqual(self.log.all("set_muted"), [], "flags outside a session mean nothing")
        self.client.leave()
        self.finish()

    def test_a_refusal_without_a_hello(self):
        def part(peer):
            peer.next()
            peer.reject(133, retry_ms=1000)

        self.begin(part)
        self.client.connect()
        self.client.ping()
        self.assertEqual(self.until_event("rejected")["reason"], 133)
        self.assertEqual((self.client.state, self.log.all("retry")), ("closed", []))
        self.finish()


class Resuming(Case):
    def test_on_a_new_stream(self):
        hellos, welcomed = [], threading.Event()

        def old(peer):
            hellos.append(peer.expect("Hello"))
            peer.welcome(hellos[-1])
            peer.answers = False
            welcomed.wait(5)
            peer.bye(10)
            time.sleep(0.1)

        def new(peer):
            hellos.append(peer.expect("Hello"))
            peer.welcome(hellos[-1], resume=TOKEN_2)
            welcomed.set()
            peer.expect("Bye")

        self.begin(old, new)
        self.join()
        self.client.resume()
        self.until(lambda: self.client.sessions == 2)
        self.assertEqual(self.until_event("old_stream", packet="Bye")["reason"], 10)
        self.until_event("old_stream", packet=None)
        self.assertEqual(self.client.state, "joined")
        self.client.leave()
        self.finish()
        self.assertEqual([one["resume"] for one in hellos], ["", TOKEN])
        self.assertNotEqual(hellos[0]["nonce"], hellos[1]["nonce"])
        self.assertEqual(hellos[0]["name"], hellos[1]["name"])

    def test_after_the_stream_broke(self):
        hellos = []

        def broken(peer):
            hellos.append(peer.expect("Hello"))
            peer.welcome(hellos[-1])

        def new(peer):
            hellos.append(peer.expect("Hello"))
            peer.welcome(hellos[-1], resume="")
            peer.expect("SetMuted")

        def last(peer):
            hellos.append(peer.expect("Hello"))
            peer.welcome(hellos[-1])
            peer.expect("Bye")

        self.begin(broken, new, last)
        self.join()
        self.until(lambda: self.client.sessions == 2)
        self.assertEqual(self.log.all("ended")[0]["by"], "stream")
        self.assertFalse(self.client.token)
        self.client.set_muted(True)
        self.until(lambda: self.client.sessions == 3)
        self.client.leave()
        self.finish()
        self.assertEqual([one["resume"] for one in hellos], ["", TOKEN, ""])
        self.assertEqual([one["flags"] for one in hellos], [0, 0, 2])

    def test_on_the_same_stream(self):
        hellos, firsts = [], []

        def part(peer):
            for resume in (TOKEN, TOKEN_2, TOKEN):
                hellos.append(peer.expect("Hello"))
                if len(hellos) > 1:
                    peer.voice(7, 7, [5] * 320)
                    peer.bye(9)
                peer.welcome(hellos[-1], resume=resume, id=len(hellos))
                firsts.append(peer.expect("Voice"))
            peer.expect("Bye")

        self.begin(part)
        self.join()
        self.client.say([1000] * 320)
        self.until(lambda: not self.client.is_saying())
        self.client.again(with_token=True)
        self.until(lambda: self.client.sessions == 2)
        self.client.say([1000] * 320)
        self.until(lambda: not self.client.is_saying())
        self.client.again(with_token=False)
        self.until(lambda: self.client.sessions == 3)
        self.client.say([1000] * 320)
        self.until(lambda: not self.client.is_saying())
        self.client.leave()
        self.finish()
        self.assertEqual([one["resume"] for one in hellos], ["", TOKEN, ""])
        self.assertEqual(len({one["nonce"] for one in hellos}), 3)
        self.assertEqual(len(self.log.all("ignored", packet="Voice")), 2)
        self.assertEqual(len(self.log.all("ignored", packet="Bye")), 2)
        self.assertEqual([one["id"] for one in self.log.all("joined")], [1, 2, 3])


if __name__ == "__main__":
    unittest.main()
