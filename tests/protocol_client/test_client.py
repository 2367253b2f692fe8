#!/usr/bin/env python3
"""Tests of client.py against a small scripted server, which is written from docs/PROTOCOL.md too.

python3 tests/protocol_client/test_client.py
"""

import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import wave
import zlib
from unittest import mock

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import client as program  # noqa: E402
import packets as wire  # noqa: E402

TOKEN, TOKEN_2 = bytes(range(16)).hex(" "), bytes(range(16, 32)).hex(" ")
ZEROS = bytes(8).hex(" ")
DOCUMENT = os.path.join(os.path.dirname(wire.__file__), "..", "..", "docs", "PROTOCOL.md")

HELLO = {
    "packet": "Hello", "version": 2, "nonce": "01" * 8, "max_packet": 352, "features": 0,
    "resume": "", "room": "r", "name": "n", "codecs_up": "01", "codecs_down": "01",
    "rates": [16000], "flags": 0, "roster": 0, "credentials": "",
}  # fmt: skip


def entry(id_, name, flags=0):
    return {"id": id_, "flags": flags, "name": name, "pseudonym": ""}


class Peer:
    """The server's end of one stream."""

    def __init__(self, sock):
        self.sock = sock
        sock.settimeout(5)
        self.deframer, self.waiting, self.raw = wire.Deframer(), [], b""
        self.revision, self.flags, self.answers = 300, 0, True
        self.pings = 0

    def next(self):
        """The client's next packet, or None at the end of the stream."""
        while not self.waiting:
            try:
                data = self.sock.recv(65536)
            except ConnectionResetError:
                return None
            if not data:
                return None
            self.raw += data
            for kind, *rest in self.deframer.feed(data):
                assert kind == "packet", f"the client sent damage: {rest}"
                try:
                    self.waiting.append(wire.decode(wire.CLIENT, rest[0]))
                except wire.Skipped:
                    pass
        return self.waiting.pop(0)

    def expect(self, kind):
        """The next packet of this kind. Pings on the way are answered; others are a failure."""
        while True:
            value = self.next()
            got = value and value["packet"]
            if got == kind:
                return value
            assert got == "Ping", f"{kind} was expected, {value} came"
            self.pings += 1
            if self.answers:
                self.pong(value)

    def pong(self, ping):
        self.send("Pong", number=ping["number"], revision=self.revision, flags=self.flags)

    def expect_end(self):
        """Reads to the end of the stream: the packets that came, without Pings."""
        found = []
        while (value := self.next()) is not None:
            if value["packet"] != "Ping":
                found.append(value)
        return found

    def send(self, packet, **fields):
        self.send_raw(wire.frame(wire.encode(wire.SERVER, {"packet": packet, **fields})))

    def send_packet(self, data):
        self.send_raw(wire.frame(data))

    def send_raw(self, data):
        self.sock.sendall(data)

    def welcome(self, hello, roster=True, **changes):
        value = {
            "version": 2, "nonce": hello["nonce"], "max_packet": 1280, "features": 0,
            "resume": TOKEN, "id": 7, "codec_up": 0, "codec_down": 0, "rate": 16000,
            "frame_ms": 20, "idle_timeout_ms": 15000, "revision": self.revision,
            "participants": 2,
        }  # fmt: skip
        self.send("Welcome", **(value | changes))
        self.revision = changes.get("revision", self.revision)
        if roster:
            self.roster(entry(7, "ada"), entry(8, "bob"))

    def roster(self, *entries, revision=None):
        for first in range(0, len(entries), 8):
            self.send("Roster", revision=revision or self.revision, first=first,
                      total=len(entries), entries=list(entries[first : first + 8]))  # fmt: skip

    def voice(self, seq, timestamp, samples=None, terminator=False, level=40):
        payload = b"" if samples is None else program.bytes_of(samples)
        self.send("Voice", seq=seq, timestamp=timestamp, level=level, stream=0,
                  terminator=terminator, payload=payload.hex())  # fmt: skip

    def reject(self, reason, hello=None, retry_ms=0, text="", version=2):
        nonce = hello["nonce"] if hello else ZEROS
        self.send("Reject", reason=reason, version=version, nonce=nonce, retry_ms=retry_ms,
                  text=text)  # fmt: skip

    def bye(self, reason, retry_ms=0, text="", after=None):
        self.send("Bye", reason=reason, after=after, retry_ms=retry_ms, text=text)

    def close(self):
        """A stream that is closed with bytes that nobody has read is reset, and a Bye that was
        sent before may be lost with it. So it is read to its end."""
        try:
            self.sock.shutdown(socket.SHUT_WR)
            self.sock.settimeout(1)
            while self.sock.recv(65536):
                pass
        except OSError:
            pass
        self.sock.close()


class Server:
    """Accepts streams and runs the next part of a script on each, in a thread of its own."""

    def __init__(self, *parts):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(8)
        self.port = self.listener.getsockname()[1]
        self.parts, self.errors, self.streams, self.threads = list(parts), [], 0, []
        self.accepted_at = []
        self.peers = []
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def _accept(self):
        for part in self.parts:
            try:
                sock, _ = self.listener.accept()
            except OSError as error:
                if self.listener.fileno() >= 0:
                    self.errors.append(AssertionError(f"no stream came: {error}"))
                return
            self.streams += 1
            self.accepted_at.append(time.monotonic())
            peer = Peer(sock)
            self.peers.append(peer)
            thread = threading.Thread(target=self._run, args=(part, peer), daemon=True)
            self.threads.append(thread)
            thread.start()

    def _run(self, part, peer):
        try:
            part(peer)
        except Exception as error:
            self.errors.append(error)
        finally:
            peer.close()

    def finish(self):
        self.thread.join(10)
        for thread in self.threads:
            thread.join(10)
            if thread.is_alive():
                self.errors.append(AssertionError("the server's script hangs"))
        self.listener.close()
        if self.errors:
            raise self.errors[0]


class Log:
    """Events of a client."""

    def __init__(self):
        self.events = []

    def __call__(self, event, fields):
        self.events.append({"event": event, **fields})

    def all(self, event, **fields):
        return [one for one in self.events if one["event"] == event
                and all(one.get(key) == value for key, value in fields.items())]  # fmt: skip

    def one(self, event, **fields):
        found = self.all(event, **fields)
        assert len(found) == 1, f"{len(found)} of {event} {fields} among {self.events}"
        return found[0]


class Case(unittest.TestCase):
    def begin(self, *parts, line=()):
        """A server with this script, and a client for it."""
        self.server = Server(*parts)
        self.log = Log()
        words = ["--server", f"127.0.0.1:{self.server.port}", "--room", "kitchen", "--name", "ada"]
        self.client = program.Client(program.options(*words, *line), self.log)
        self.addCleanup(self.client.close)
        return self.client

    def until(self, so, seconds=5):
        end = time.monotonic() + seconds
        while not so():
            self.assertLess(time.monotonic(), end, f"not so in time: {self.log.events[-5:]}")
            self.client.poll(0.02)

    def until_event(self, event, seconds=5, **fields):
        self.until(lambda: self.log.all(event, **fields), seconds)
        return self.log.all(event, **fields)[-1]

    def run_for(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.client.poll(0.02)

    def join(self):
        self.client.join()
        self.until(lambda: self.client.sessions)

    def failed(self):
        self.client.join()
        self.until(lambda: self.client.failure)
        return self.log.one("failed")

    def finish(self):
        """The client may be needed while the server's script ends."""
        while any(thread.is_alive() for thread in [self.server.thread, *self.server.threads]):
            if self.client.stream or self.client.old or self.client.state == "backoff":
                self.client.poll(0.02)
            else:
                break
        self.server.finish()


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

        with mock.patch.object(program, "REPEAT_S", 0.1):
            self.begin(part, line=("--lossy",))
            self.join()
            self.until(lambda: len(self.log.all("roster")) == 2)
        self.assertEqual(hellos[0], hellos[1])
        self.assertEqual(self.log.one("welcome_again")["revision"], 305)
        self.assertEqual((self.client.welcome["id"], self.client.welcome["frame_ms"]), (7, 20))
        self.assertEqual((self.client.participants, self.client.sessions), (5, 1))
        self.assertEqual(self.log.all("roster_request"), [])
        self.client.leave()
        self.finish()

    def test_no_answer(self):
        def part(peer):
            peer.expect("Hello")
            self.assertEqual(peer.expect_end(), [])

        with mock.patch.object(program, "GIVE_UP_S", 0.3):
            self.begin(part, line=("--attempts", "1"))
            self.assertIn("no answer", self.failed()["message"])
        self.finish()

    def test_nobody_listens(self):
        self.begin()
        self.server.listener.close()
        self.client.options.attempts = 2
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
            peer.send_raw(b"".join(wire.frame(bytes([5, number])) for number in (41, 42)))
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


class Streams(Case):
    def test_damage(self):
        def part(peer):
            hello = peer.expect("Hello")
            peer.send_raw(b"noise on the line\0\0\0\0")
            peer.welcome(hello)
            good = wire.frame(wire.encode(wire.SERVER, {"packet": "Count", "participants": 3}))
            peer.send_raw(good[:-2] + b"\x55" + good[-1:])
            peer.send_raw(b"\x41" * 3000 + b"\0")
            for at in range(len(good)):
                peer.send_raw(good[at : at + 1])
                time.sleep(0.002)
            peer.expect("Bye")

        self.begin(part)
        self.join()
        self.until_event("count")
        dropped = [(one["bytes"], one["why"]) for one in self.log.all("dropped")]
        self.assertEqual(dropped, [(17, "Encoding"), (7, "Crc"), (3000, "TooLong")])
        self.client.leave()
        self.finish()

    def test_a_packet_beyond_max_packet_is_damage(self):
        def part(peer):
            hello = peer.expect("Hello")
            self.assertEqual(hello["max_packet"], 352)
            peer.welcome(hello)
            for length in (352, 353, 360):
                peer.send_packet(b"\x40" + b"\1" * (length - 1))
            # Zeros save codes, so that it takes no more bytes in the stream than one of 352.
            peer.send_packet(b"\x40" + b"\0" * 352)
            peer.send("Count", participants=3)
            peer.expect("Bye")

        self.begin(part, line=("--max-packet", "352", "--codecs-down", "1", "--codecs-up", "1"))
        with mock.patch.object(Peer, "welcome", adpcm_welcome):
            self.join()
            self.until_event("count")
        self.assertEqual(len(self.log.all("skipped")), 1)
        self.assertEqual([one["why"] for one in self.log.all("dropped")], ["TooLong"] * 3)
        self.client.leave()
        self.finish()

    def test_too_much_damage(self):
        for ended in (True, False):
            byes = []

            def part(peer, ended=ended, byes=byes):
                peer.welcome(peer.expect("Hello"))
                chunk = b"\x77" * 999 + (b"\0" if ended else b"\x77")
                for _ in range(40):
                    peer.send_raw(chunk)
                byes.extend(peer.expect_end())

            self.begin(part, line=("--attempts", "1"))
            self.join()
            self.assertEqual(self.until_event("failed")["reason"], 139)
            self.finish()
            self.assertEqual([(one["packet"], one["reason"]) for one in byes], [("Bye", 139)])

    def test_unknown_packets(self):
        cases = (
            (bytes([0x7E, 1, 2, 3]), None), (bytes([0x40]), None), (bytes([0x3F]), 9),
            (bytes([0x0E]), 9), (bytes([0x00, 2]), 9), (bytes([0x04, 0, 0]), 9),
            (bytes([0x7F, 7]), 8), (bytes([0x05]), 8), (bytes([0x05, 0x87, 0]), 8),
            (bytes([0xFF] * 40), 8), (bytes([0x0D, 3, 4, 5]), None), (bytes([0x02, 2]), 8),
        )  # fmt: skip
        for packet, reason in cases:
            for early in (True, False):
                byes = []

                def part(peer, packet=packet, early=early, byes=byes, reason=reason):
                    hello = peer.expect("Hello")
                    if early:
                        peer.send_packet(packet)
                    if reason is None or not early:
                        peer.welcome(hello)
                        if not early:
                            peer.send_packet(packet)
                    byes.extend(peer.expect_end())

                self.begin(part)
                if reason is None:
                    self.join()
                    self.run_for(0.1)
                    self.assertEqual(self.client.state, "joined", packet.hex())
                    self.client.leave()
                else:
                    self.client.join()
                    self.until(lambda: self.client.failure)
                    self.assertEqual(self.log.one("failed")["reason"], reason, packet.hex())
                self.finish()
                self.assertEqual([one["reason"] for one in byes], [reason or 0], packet.hex())

    def test_idle_server(self):
        hellos = []

        def silent(peer):
            hellos.append(peer.expect("Hello"))
            peer.welcome(hellos[-1], idle_timeout_ms=500)
            began = time.monotonic()
            packets = []
            while (value := peer.next()) is not None:
                packets.append(value)
            self.assertTrue(0.45 < time.monotonic() - began < 1.5)
            self.assertEqual(packets[-1]["packet"], "Bye")
            self.assertEqual(packets[-1]["reason"], 134)
            self.assertGreaterEqual([one["packet"] for one in packets].count("Ping"), 3)

        def accept(peer):
            hellos.append(peer.expect("Hello"))
            peer.welcome(hellos[-1], resume=TOKEN_2)
            peer.expect("Bye")

        self.begin(silent, accept)
        self.join()
        self.until(lambda: self.client.sessions == 2)
        self.client.leave()
        self.finish()
        self.assertEqual([one["resume"] for one in hellos], ["", TOKEN])

    def test_pings_keep_a_session(self):
        def part(peer):
            peer.welcome(peer.expect("Hello"), idle_timeout_ms=500)
            peer.expect("Bye")
            self.assertGreaterEqual(peer.pings, 8)

        self.begin(part)
        self.join()
        self.run_for(1.6)
        self.assertEqual(self.client.state, "joined")
        self.client.leave()
        self.finish()

    def test_voice_out_and_nothing_in(self):
        def part(peer):
            peer.welcome(peer.expect("Hello"))
            kinds = []
            while (value := peer.next()) is not None:
                kinds.append(value["packet"])
            self.assertGreaterEqual(kinds.count("Ping"), 4)

        with mock.patch.multiple(program, QUIET_PING_S=0.1, QUIET_BREAK_S=0.5):
            self.begin(part, line=("--attempts", "1"))
            self.join()
            self.client.say(program.tone(440, 3000, 9000, 16000))
            self.assertIn("nothing comes", self.until_event("failed")["message"])
        self.finish()

    def test_a_server_that_does_not_read(self):
        def part(peer):
            peer.welcome(peer.expect("Hello"))
            for _ in range(3000):
                peer.send("Ping", number=1)
            time.sleep(0.2)

        self.begin(part, line=("--attempts", "1"))
        self.join()
        self.until_event("failed")
        self.finish()


def adpcm_welcome(peer, hello, **changes):
    adpcm = {"codec_up": 1, "codec_down": 1, "max_packet": 352}
    WELCOME(peer, hello, **(adpcm | changes))


WELCOME = Peer.welcome


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
        self.roster = program.Roster(300, True, self.emit, 0.0)
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
        self.roster = program.Roster(300, True, self.emit, 100.0)
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
        self.assertEqual(len(self.roster.entries), program.ROSTER_MOST)
        self.page(0, 2, [entry(0, "nobody"), entry(3, "\0\u202e")])
        self.assertEqual([one["name"] for one in self.roster.entries.values()], ["(unprintable)"])

    def test_names_as_shown(self):
        heart, family = "\u2764\ufe0f", "\U0001f468\u200d\U0001f469"
        for name in ("Zoë", heart, family, "a b", "a\ufffd"):
            self.assertEqual(program.shown_name(name), name)
        self.assertEqual(program.shown_name("a\u200b\nb\u202e\ufe0f"), "ab")
        self.assertEqual(program.shown_name("é" * 40), "é" * 16)


def samples_of_frame(at, count=320):
    return [(at * 977 + one * 37) % 20000 - 10000 for one in range(count)]


class ListenerAlone(unittest.TestCase):
    def setUp(self):
        self.log = Log()
        self.recording = program.Recording(60)
        self.listener = program.Listener(0, 16000, 20, self.recording, self.emit)
        self.now = 0.0

    def emit(self, event, **fields):
        self.log(event, fields)

    def voice(self, seq, timestamp, frame=1, terminator=False, later=0.02):
        payload = b"" if frame is None else program.bytes_of(samples_of_frame(frame))
        value = {"seq": seq & 0xFFFF, "timestamp": timestamp & 0xFFFFFFFF, "level": 30,
                 "stream": 0, "terminator": terminator, "payload": payload.hex()}  # fmt: skip
        self.now += later
        self.listener.tick(self.now)
        self.listener.packet(value, self.now)

    def heard(self):
        """The frames in the recording: their numbers, or None for silence."""
        self.listener.finish()
        known = {program.bytes_of(samples_of_frame(at)): at for at in range(30)}
        known[bytes(640)] = None
        data = bytes(self.recording.data)
        return [known[data[at : at + 640]] for at in range(0, len(data), 640)]

    def test_order_gaps_and_repeats(self):
        for seq in (0, 2, 1, 2, 4, 5):
            self.voice(seq + 65534, 4294967290 + 8 * seq, frame=seq + 1)
        self.voice(6 + 65534, 4294967290 + 48, frame=None, terminator=True)
        self.assertEqual(self.heard(), [1, 2, 3, None, 5, 6])
        heard = self.log.one("heard")
        self.assertEqual((heard["frames"], heard["missing"], heard["late"]), (5, 1, 1))
        self.assertTrue(heard["terminated"])

    def test_pauses_are_silence(self):
        self.voice(5, 80, frame=1)
        self.voice(6, 88, frame=2, terminator=True)
        self.voice(7, 120, frame=3, later=0.06)
        self.voice(8, 128, frame=None, terminator=True)
        self.voice(100, 152, frame=4)
        self.assertEqual(self.heard(), [1, 2, None, None, None, 3, None, None, None, 4])
        self.assertEqual([one["terminated"] for one in self.log.all("heard")],
                         [True, True, False])  # fmt: skip

    def test_talkspurts_that_touch(self):
        self.voice(5, 80, frame=1, terminator=True)
        self.voice(6, 88, frame=2)
        self.assertEqual(self.heard(), [1, 2])
        self.assertEqual(len(self.log.all("heard")), 2)

    def test_a_lost_terminator(self):
        self.voice(5, 80, frame=1)
        self.voice(7, 200, frame=2)
        self.assertEqual(len(self.log.all("hearing")), 2)
        self.voice(4, 16, frame=3)
        self.voice(6, 88, frame=3)
        self.assertEqual(len(self.log.all("voice_ignored")), 2)

    def test_an_end_without_a_packet(self):
        self.voice(5, 80, frame=1)
        self.listener.tick(self.now + 0.099)
        self.assertEqual(self.log.all("heard"), [])
        self.listener.tick(self.now + 0.1)
        self.assertFalse(self.log.one("heard")["terminated"])
        self.voice(5, 80, frame=1, later=0.2)
        self.assertEqual(self.log.one("voice_ignored")["why"], "its talkspurt has ended")

    def test_payloads_that_are_wrong(self):
        for payload, terminator in (("", False), ("00" * 639, True), ("00" * 641, False)):
            self.listener.packet({"seq": 1, "timestamp": 1, "level": 1, "stream": 0,
                                  "terminator": terminator, "payload": payload}, 0.0)  # fmt: skip
        adpcm = program.Listener(1, 16000, 20, self.recording, self.emit)
        adpcm.packet({"seq": 1, "timestamp": 1, "level": 1, "stream": 0, "terminator": False,
                      "payload": (b"\0\0\x59" + bytes(160)).hex()}, 0.0)  # fmt: skip
        self.assertEqual(len(self.log.all("voice_ignored")), 4)
        self.assertEqual(self.log.all("hearing"), [])

    def test_hostile_numbers_are_bounded(self):
        chance = random.Random(1)
        for _ in range(3000):
            self.voice(chance.getrandbits(16), chance.getrandbits(32), later=0.0)
        for seq in range(0, 60000, 1000):
            self.voice(seq, seq * 8, later=0.0)
        self.assertLessEqual(len(self.recording.data), 60 * 32000)

    @staticmethod
    def skip(spurt, offset):
        del spurt.pending[offset]
        spurt.next = offset + 1

    def test_a_long_talkspurt(self):
        for seq in range(70000):
            value = {"seq": seq & 0xFFFF, "timestamp": seq * 8, "level": 30, "stream": 0,
                     "terminator": False, "payload": "01" * 640}  # fmt: skip
            self.listener.packet(value, seq * 0.02)
            if seq == 200:
                # Decoding all of it takes too long for a test.
                self.listener._play = self.skip
        self.assertEqual(len(self.log.all("hearing")), 1)


class Talking(Case):
    def talk(self, *line, welcome=None, say=None, seconds=5):
        """What the server gets while a client says these samples."""
        voice = []

        def part(peer):
            peer.welcome(peer.expect("Hello"), **(welcome or {}))
            while True:
                value = peer.next()
                if value["packet"] == "Bye":
                    voice.append(value)
                    return
                if value["packet"] == "Ping":
                    peer.pong(value)
                else:
                    voice.append(value)

        self.begin(part, line=line)
        self.join()
        self.client.say(say)
        self.until(lambda: not self.client.talk, seconds)
        self.client.leave()
        self.finish()
        return voice[:-1], voice[-1]

    def check(self, voice, frame_ms):
        units = frame_ms * 2 // 5
        for one, two in zip(voice, voice[1:]):
            self.assertEqual((two["seq"] - one["seq"]) & 0xFFFF, 1)
            if not one["terminator"]:
                self.assertEqual((two["timestamp"] - one["timestamp"]) % (1 << 32), units)

    def test_pcm16(self):
        samples = program.tone(440, 205, 12000, 16000)
        voice, bye = self.talk(say=samples)
        self.check(voice, 20)
        self.assertEqual(len(voice), 11)
        self.assertEqual([one["terminator"] for one in voice], [False] * 10 + [True])
        sent = b"".join(bytes.fromhex(one["payload"]) for one in voice)
        self.assertEqual(sent, program.bytes_of(samples) + bytes(640 * 11 - 2 * len(samples)))
        self.assertLessEqual({one["level"] for one in voice[:-1]}, {23, 24})
        self.assertEqual(bye["after"], voice[-1]["seq"])
        said = self.log.one("said")["spurts"]
        self.assertEqual([one["frames"] for one in said], [11])
        self.assertEqual(said[0]["crc32"], f"{zlib.crc32(sent):08x}")

    def test_adpcm_with_an_empty_terminator(self):
        samples = program.tone(440, 60, 12000, 16000)
        voice, bye = self.talk("--terminator", "empty", say=samples,
                               welcome={"codec_up": 1, "frame_ms": 5})  # fmt: skip
        self.check(voice, 5)
        self.assertEqual(len(voice), 13)
        end = voice.pop()
        self.assertEqual((end["payload"], end["level"], end["terminator"]), ("", 255, True))
        self.assertEqual(bye["after"], end["seq"])
        self.assertFalse(any(one["terminator"] for one in voice))
        encoder = wire.AdpcmEncoder()
        for at, one in enumerate(voice):
            payload = encoder.encode(samples[80 * at : 80 * at + 80])
            self.assertEqual(bytes.fromhex(one["payload"]), payload)

    def test_two_talkspurts(self):
        loud, quiet = program.tone(440, 60, 12000, 16000), [3, -3] * 4800
        voice, _ = self.talk(say=quiet[:640] + loud + quiet + loud)
        self.check(voice, 20)
        self.assertEqual([one["terminator"] for one in voice], [False, False, True] * 2)
        pause = voice[3]["timestamp"] - voice[2]["timestamp"]
        self.assertEqual(pause % (1 << 32), 8 * 31)

    def test_pre_roll(self):
        samples = program.tone(440, 200, 12000, 16000)
        began = time.monotonic()
        voice, _ = self.talk("--pre-roll", "100", say=samples)
        self.check(voice, 20)
        self.assertEqual(len(voice), 10)
        sent = b"".join(bytes.fromhex(one["payload"]) for one in voice)
        self.assertEqual(sent, program.bytes_of(samples))
        # The first packet has the time of the frame that opened the gate.
        opened = (voice[0]["timestamp"] - self.client.timestamp) % (1 << 32)
        self.assertGreaterEqual(opened, 5 * 8)
        self.assertGreater(time.monotonic() - began, 0.18)

    def test_it_takes_its_time(self):
        began = time.monotonic()
        self.talk(say=program.tone(440, 300, 12000, 16000))
        self.assertGreater(time.monotonic() - began, 0.28)

    def test_mute_while_talking(self):
        found = []

        def part(peer):
            peer.welcome(peer.expect("Hello"))
            for _ in range(5):
                peer.expect("Voice")
            peer.flags = program.MUTED
            found.append(peer.next())
            while found[-1]["packet"] != "SetMuted":
                found.append(peer.next())
            ping = peer.next()
            while ping["packet"] != "Ping":
                ping = peer.next()
            peer.flags = 0
            peer.pong(ping)
            found.append(peer.expect("SetMuted"))
            peer.flags = program.MUTED
            ping = peer.next()
            peer.pong(ping)
            found.append(peer.expect("SetMuted"))
            peer.flags = 0
            found.append(peer.expect("Voice"))
            peer.expect_end()

        self.begin(part)
        self.join()
        self.client.say(program.tone(440, 3000, 12000, 16000))
        self.until(lambda: self.client.talk and self.client.clock_frame > 0
                   and len(self.client.talk) < 140)  # fmt: skip
        self.client.set_muted(True)
        with self.assertRaises(program.ClientError):
            self.client.say([1000] * 320)
        self.client.ping()
        self.until_event("set_muted", again=True)
        self.client.ping()
        self.until(lambda: self.client.pongs >= 3)
        self.assertEqual(len(self.log.all("set_muted")), 2)
        self.client.set_muted(False)
        self.client.say([1000] * 320)
        self.until(lambda: not self.client.talk)
        self.client.leave()
        self.finish()
        end, first, again, unmute, voice = found[-5:]
        self.assertEqual((end["terminator"], end["payload"]), (True, ""))
        self.assertEqual((first["muted"], first["after"]), (True, end["seq"]))
        self.assertEqual((again["muted"], again["after"]), (True, end["seq"]))
        self.assertEqual((unmute["muted"], unmute["after"]), (False, end["seq"]))
        self.assertEqual(voice["seq"], (end["seq"] + 1) & 0xFFFF)

    def test_a_pong_to_an_older_ping_says_nothing_of_muting(self):
        def part(peer):
            peer.welcome(peer.expect("Hello"))
            ping = peer.next()
            peer.expect("SetMuted")
            peer.pong(ping)
            peer.expect("Bye")

        self.begin(part)
        self.join()
        self.client.set_muted(True)
        self.until_event("pong")
        self.run_for(0.1)
        self.assertEqual(len(self.log.all("set_muted")), 1)
        self.client.leave()
        self.finish()

    def test_set_muted_before_any_voice(self):
        def part(peer):
            hello = peer.expect("Hello")
            self.assertEqual(hello["flags"], program.MUTED)
            peer.flags = program.MUTED
            peer.welcome(hello)
            value = peer.expect("SetMuted")
            self.assertEqual((value["muted"], value["after"]), (False, None))

        self.begin(part, line=("--muted",))
        self.join()
        self.until_event("pong")
        self.client.set_muted(False)
        self.finish()


class Listening(Case):
    def test_bye_with_voice_that_is_played_out(self):
        frames = [samples_of_frame(at) for at in range(12)]

        def part(peer):
            peer.welcome(peer.expect("Hello"))
            for at, samples in enumerate(frames):
                peer.voice(65530 + at & 0xFFFF, 4294967280 + 8 * at & 0xFFFFFFFF, samples)
            peer.bye(128, retry_ms=700, text="restarting", after=(65530 + 11) & 0xFFFF)

        self.begin(part)
        self.join()
        ended = self.until_event("ended")
        self.assertEqual((ended["reason"], ended["by"], ended["class"]), (128, "server", "again"))
        self.assertEqual((ended["after"], ended["text"]), (5, "restarting"))
        expected = b"".join(map(program.bytes_of, frames))
        self.assertEqual(bytes(self.client.recording.data), expected)
        self.assertEqual(self.log.one("heard")["crc32"], f"{zlib.crc32(expected):08x}")
        self.assertTrue(700 <= self.log.one("retry")["in_ms"] <= 875)
        self.client.close()
        self.finish()

    def test_permanent_bye(self):
        def part(peer):
            peer.welcome(peer.expect("Hello"))
            peer.bye(11, text="removed")

        self.begin(part)
        self.join()
        self.assertEqual(self.until_event("failed")["message"], "removed")
        self.assertEqual(self.client.token, b"")
        self.finish()

    def test_adpcm(self):
        samples = program.tone(300, 100, 9000, 16000)
        encoder = wire.AdpcmEncoder()

        def part(peer):
            peer.welcome(peer.expect("Hello"), codec_down=1, frame_ms=10)
            for at in range(10):
                payload = encoder.encode(samples[160 * at : 160 * at + 160])
                peer.send("Voice", seq=at, timestamp=4 * at, level=30, stream=at % 16,
                          terminator=at == 9, payload=payload.hex())  # fmt: skip
            peer.expect("Bye")

        self.begin(part)
        self.join()
        heard = self.until_event("heard")
        self.assertEqual((heard["frames"], heard["terminated"]), (10, True))
        self.assertEqual(len(self.log.all("hearing")), 1, "a change of stream changes nothing")
        self.assertLess(abs(heard["rms"] - 6364), 200)
        self.client.leave()
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
        self.until(lambda: not self.client.talk)
        self.client.again(with_token=True)
        self.until(lambda: self.client.sessions == 2)
        self.client.say([1000] * 320)
        self.until(lambda: not self.client.talk)
        self.client.again(with_token=False)
        self.until(lambda: self.client.sessions == 3)
        self.client.say([1000] * 320)
        self.until(lambda: not self.client.talk)
        self.client.leave()
        self.finish()
        self.assertEqual([one["resume"] for one in hellos], ["", TOKEN, ""])
        self.assertEqual(len({one["nonce"] for one in hellos}), 3)
        self.assertEqual(len(self.log.all("ignored", packet="Voice")), 2)
        self.assertEqual(len(self.log.all("ignored", packet="Bye")), 2)
        self.assertEqual([one["id"] for one in self.log.all("joined")], [1, 2, 3])


class Hostile(Case):
    def test_random_packets(self):
        """Well-framed nonsense: whatever it is, the client goes on or ends for a reason."""
        for seed in range(25):
            chance = random.Random(seed)

            def part(peer, chance=chance):
                hello = peer.expect("Hello")
                if chance.random() < 0.7:
                    peer.welcome(hello)
                try:
                    for _ in range(60):
                        number = chance.choice([1, 2, 3, 5, 6, 7, 9, 10, 11, 12, 13, 0x45])
                        body = chance.randbytes(chance.choice([0, 3, 12, 40, 300, 700]))
                        if chance.random() < 0.3:
                            body = bytes(one & 3 for one in body)
                        if chance.random() < 0.3 and number in (1, 2):
                            body = b"\2" + bytes.fromhex(hello["nonce"]) + body
                        peer.send_packet(bytes([number]) + body)
                    time.sleep(0.02)
                except OSError:
                    pass

            with mock.patch.object(program, "GIVE_UP_S", 0.5):
                self.begin(part, line=("--attempts", "1"))
                self.client.join()
                self.until(lambda: self.client.failure)
            self.finish()

    def test_mutated_packets(self):
        with open(DOCUMENT, encoding="utf-8") as file:
            vectors = wire.read_vectors(file.read())
        known = [bytes.fromhex(one["packet"]) for one in vectors.values()
                 if one.get("from") == "server" and "packet" in one]  # fmt: skip
        for seed in range(25):
            chance = random.Random(seed)

            def part(peer, chance=chance):
                peer.welcome(peer.expect("Hello"))
                try:
                    for _ in range(100):
                        packet = bytearray(chance.choice(known))
                        if packet[0] in (1, 7):
                            continue
                        packet[chance.randrange(len(packet))] = chance.getrandbits(8)
                        stream = bytearray(wire.frame(bytes(packet)))
                        if chance.random() < 0.2:
                            del stream[chance.randrange(len(stream)) :]
                        peer.send_raw(bytes(stream))
                    time.sleep(0.02)
                except OSError:
                    pass

            self.begin(part, line=("--attempts", "1"))
            self.client.join()
            self.until(lambda: self.client.failure)
            self.finish()


class Program(unittest.TestCase):
    def run_client(self, server, *line, script=None, code=0):
        command = [sys.executable, program.__file__, "--server", f"127.0.0.1:{server.port}"]
        done = subprocess.run([*command, *line], input=script, text=True, capture_output=True,
                              timeout=30)  # fmt: skip
        server.finish()
        self.assertEqual((done.returncode, done.stderr), (code, ""), done.stdout)
        return [json.loads(line) for line in done.stdout.splitlines()]

    @staticmethod
    def echo(peer):
        """Sends voice back as it comes."""
        peer.welcome(peer.expect("Hello"))
        while (value := peer.next())["packet"] != "Bye":
            if value["packet"] == "Ping":
                peer.pong(value)
            if value["packet"] == "Voice":
                peer.send("Voice", **{key: value[key] for key in value if key != "packet"})

    def test_a_script(self):
        with tempfile.TemporaryDirectory() as folder:
            said, heard = os.path.join(folder, "s a.wav"), os.path.join(folder, "heard.wav")
            program.write_wav(said, program.bytes_of(program.tone(440, 200, 9000, 16000)), 16000)
            script = f"join; ping; say '{said}'; until heard 1; wait 0.1; leave"
            events = self.run_client(Server(self.echo), "--record", heard, script)
            with wave.open(heard) as file:
                self.assertEqual((file.getnframes(), file.getframerate()), (3200, 16000))
                self.assertEqual(file.readframes(3200), program.bytes_of(
                    program.tone(440, 200, 9000, 16000)))  # fmt: skip
        kinds = [one["event"] for one in events]
        for kind in ("connected", "hello", "joined", "roster", "pong", "said", "heard", "left"):
            self.assertIn(kind, kinds)
        of = {one["event"]: one for one in events}
        self.assertEqual(of["said"]["spurts"][0]["crc32"], of["heard"]["crc32"])
        self.assertEqual([one["action"] for one in events if one["event"] == "done"][0], "join")

    def test_a_script_on_standard_input(self):
        script = "join # and then\nstart tone 440 3000; wait 0.1\nmute\nunmute; raw 45 01\n\nleave"
        events = self.run_client(Server(self.echo), script=script)
        self.assertEqual(events[-1]["action"], "leave")
        self.assertEqual([one["muted"] for one in events if one["event"] == "set_muted"],
                         [True, False])  # fmt: skip

    def test_errors(self):
        def refuse(peer):
            peer.reject(6, peer.expect("Hello"), text="credentials")

        events = self.run_client(Server(refuse), "join; leave", code=1)
        self.assertEqual(events[-1]["event"], "error")
        self.assertIn("credentials", events[-1]["message"])
        for script in ("dance", "wait", "wait x", "say", "mute", "leave", "raw 1", "'", "resume",
                       "until joined", "until heard", "start", "tone 1 2"):  # fmt: skip
            events = self.run_client(Server(), script, code=1)
            self.assertEqual(events[-1]["event"], "error", script)
        for script in ("say /nowhere.wav", f"say {program.__file__}", "until heard 1 0.1"):
            events = self.run_client(Server(self.welcome_only), f"join; {script}", code=1)
            self.assertEqual(events[-1]["event"], "error", script)

    @staticmethod
    def welcome_only(peer):
        peer.welcome(peer.expect("Hello"))
        peer.expect_end()

    def test_nothing_hangs(self):
        server = Server(self.welcome_only)
        events = self.run_client(server, "--timeout", "0.5", "join; wait 60", code=1)
        self.assertIn("time", events[-1]["message"])

        def flood(peer):
            peer.welcome(peer.expect("Hello"))
            try:
                while True:
                    peer.send_packet(b"\x50")
            except OSError:
                pass

        def nonsense(peer):
            chance = random.Random(3)
            try:
                peer.expect("Hello")
                for _ in range(100):
                    peer.send_raw(chance.randbytes(1000))
                peer.expect_end()
            except OSError:
                pass

        line = ("--attempts", "1", "--traceback", "join; wait 60")
        events = self.run_client(Server(nonsense), *line, code=1)
        self.assertIn("no packets", events[-1]["message"])
        server = Server(flood)
        events = self.run_client(server, "--max-events", "500", "join; wait 60", code=1)
        self.assertEqual(len(events), 501)

    def test_help(self):
        for option in ("--help", "--words", "--events"):
            done = subprocess.run([sys.executable, program.__file__, option], capture_output=True)
            self.assertEqual((done.returncode, done.stderr), (0, b""))
            self.assertGreater(len(done.stdout), 500)
        done = subprocess.run([sys.executable, program.__file__, "join"], capture_output=True)
        self.assertEqual(done.returncode, 2)


class Packets(unittest.TestCase):
    def test_texts_are_cut_and_names_are_not(self):
        bye = {"packet": "Bye", "reason": 0, "after": None, "retry_ms": 0, "text": "é" * 81}
        read = wire.decode(wire.CLIENT, wire.encode(wire.CLIENT, bye))
        self.assertEqual(read["text"], "é" * 80)
        joined = {"packet": "Joined", "revision": 1, "entry": entry(7, "x" + "é" * 16)}
        read = wire.decode(wire.SERVER, wire.encode(wire.SERVER, joined))
        self.assertEqual(read["entry"]["name"], "x" + "é" * 15)
        hello = {**HELLO, "name": "n" * 33, "room": "r" * 65, "credentials": "00" * 65}
        read = wire.decode(wire.CLIENT, wire.encode(wire.CLIENT, hello))
        self.assertEqual((read["name"], read["room"]), (hello["name"], hello["room"]))

    def test_a_nonce_of_zeros_is_malformed(self):
        packet = wire.encode(wire.CLIENT, {**HELLO, "nonce": ZEROS})
        with self.assertRaises(wire.Malformed):
            wire.decode(wire.CLIENT, packet)

    def test_what_has_no_end_is_reported_once(self):
        deframer = wire.Deframer(352)
        self.assertEqual(list(deframer.feed(b"\1" * 358)), [])
        self.assertEqual(list(deframer.feed(b"\1" * 10)), [("dropped", 368, "Unended")])
        self.assertEqual(list(deframer.feed(b"\1" * 5)), [("dropped", 5, "Unended")])
        ends = list(deframer.feed(b"\1\0" + wire.frame(b"\5\7")))
        self.assertEqual(ends, [("dropped", 1, "TooLong"), ("packet", b"\5\7")])

    def test_a_check_finds_a_wrong_example(self):
        with open(DOCUMENT, encoding="utf-8") as file:
            text = file.read()
        for old, new in (("cbf43926", "cbf43927"), ("packet  05 07", "packet  05 08")):
            self.assertNotEqual(wire.Checker(text.replace(old, new, 1)).check(), [])


class Files(unittest.TestCase):
    def test_wav_files(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "file.wav")
            with wave.open(path, "wb") as file:
                file.setnchannels(2)
                file.setsampwidth(2)
                file.setframerate(8000)
                file.writeframes(program.bytes_of([100, 300] * 400))
            self.assertEqual(program.read_wav(path, 16000), [200] * 800)
            with open(path, "r+b") as file:
                file.write(b"\0" * 30)
            with self.assertRaises(program.ClientError):
                program.read_wav(path, 16000)


class Document(unittest.TestCase):
    def test_examples(self):
        with open(DOCUMENT, encoding="utf-8") as file:
            self.assertEqual(wire.Checker(file.read()).check(), [])


if __name__ == "__main__":
    unittest.main()
