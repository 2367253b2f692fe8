"""Streams: damage, unknown packets, silence, and hostile servers."""

import random
import time
import unittest
from unittest import mock

import examples
import framing
import packets as wire
import participant
import session
import sound
from scripted_server import DOCUMENT, TOKEN, TOKEN_2, Case, Peer, adpcm_welcome


class Streams(Case):
    def test_damage(self):
        def part(peer):
            hello = peer.expect("Hello")
            peer.send_raw(b"noise on the line\0\0\0\0")
            peer.welcome(hello)
            good = framing.frame(wire.encode(wire.SERVER, {"packet": "Count", "participants": 3}))
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

        with mock.patch.multiple(session, QUIET_PING_S=0.1, QUIET_BREAK_S=0.5):
            self.begin(part, line=("--attempts", "1"))
            self.join()
            self.client.say(sound.tone(440, 3000, 9000, 16000))
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

            with mock.patch.object(participant, "GIVE_UP_S", 0.5):
                self.begin(part, line=("--attempts", "1"))
                self.client.join()
                self.until(lambda: self.client.failure)
            self.finish()

    def test_mutated_packets(self):
        with open(DOCUMENT, encoding="utf-8") as file:
            vectors = examples.read_vectors(file.read())
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
                        stream = bytearray(framing.frame(bytes(packet)))
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


if __name__ == "__main__":
    unittest.main()
