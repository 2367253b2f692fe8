"""Voice, in and out."""

import random
import time
import unittest
import zlib

import events
import listener
import sound
from joining import MUTED
from scripted_server import Case, Log, samples_of_frame
from voice import AdpcmEncoder


class ListenerAlone(unittest.TestCase):
    def setUp(self):
        self.log = Log()
        self.recording = listener.Recording(60)
        self.listener = listener.Listener(0, 16000, 20, self.recording, self.emit)
        self.now = 0.0

    def emit(self, event, **fields):
        self.log(event, fields)

    def voice(self, seq, timestamp, frame=1, terminator=False, later=0.02):
        payload = b"" if frame is None else sound.bytes_of(samples_of_frame(frame))
        value = {"seq": seq & 0xFFFF, "timestamp": timestamp & 0xFFFFFFFF, "level": 30,
                 "stream": 0, "terminator": terminator, "payload": payload.hex()}  # fmt: skip
        self.now += later
        self.listener.tick(self.now)
        self.listener.packet(value, self.now)

    def heard(self):
        """The frames in the recording: their numbers, or None for silence."""
        self.listener.finish()
        known = {sound.bytes_of(samples_of_frame(at)): at for at in range(30)}
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
        adpcm = listener.Listener(1, 16000, 20, self.recording, self.emit)
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
        self.until(lambda: not self.client.is_saying(), seconds)
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
        samples = sound.tone(440, 205, 12000, 16000)
        voice, bye = self.talk(say=samples)
        self.check(voice, 20)
        self.assertEqual(len(voice), 11)
        self.assertEqual([one["terminator"] for one in voice], [False] * 10 + [True])
        sent = b"".join(bytes.fromhex(one["payload"]) for one in voice)
        self.assertEqual(sent, sound.bytes_of(samples) + bytes(640 * 11 - 2 * len(samples)))
        self.assertLessEqual({one["level"] for one in voice[:-1]}, {23, 24})
        self.assertEqual(bye["after"], voice[-1]["seq"])
        said = self.log.one("said")["spurts"]
        self.assertEqual([one["frames"] for one in said], [11])
        self.assertEqual(said[0]["crc32"], f"{zlib.crc32(sent):08x}")

    def test_adpcm_with_an_empty_terminator(self):
        samples = sound.tone(440, 60, 12000, 16000)
        voice, bye = self.talk("--terminator", "empty", say=samples,
                               welcome={"codec_up": 1, "frame_ms": 5})  # fmt: skip
        self.check(voice, 5)
        self.assertEqual(len(voice), 13)
        end = voice.pop()
        self.assertEqual((end["payload"], end["level"], end["terminator"]), ("", 255, True))
        self.assertEqual(bye["after"], end["seq"])
        self.assertFalse(any(one["terminator"] for one in voice))
        encoder = AdpcmEncoder()
        for at, one in enumerate(voice):
            payload = encoder.encode(samples[80 * at : 80 * at + 80])
            self.assertEqual(bytes.fromhex(one["payload"]), payload)

    def test_two_talkspurts(self):
        loud, quiet = sound.tone(440, 60, 12000, 16000), [3, -3] * 4800
        voice, _ = self.talk(say=quiet[:640] + loud + quiet + loud)
        self.check(voice, 20)
        self.assertEqual([one["terminator"] for one in voice], [False, False, True] * 2)
        pause = voice[3]["timestamp"] - voice[2]["timestamp"]
        self.assertEqual(pause % (1 << 32), 8 * 31)

    def test_pre_roll(self):
        samples = sound.tone(440, 200, 12000, 16000)
        began = time.monotonic()
        voice, _ = self.talk("--pre-roll", "100", say=samples)
        self.check(voice, 20)
        self.assertEqual(len(voice), 10)
        sent = b"".join(bytes.fromhex(one["payload"]) for one in voice)
        self.assertEqual(sent, sound.bytes_of(samples))
        # The first packet has the time of the frame that opened the gate.
        opened = (voice[0]["timestamp"] - self.client.session.talker.timestamp) % (1 << 32)
        self.assertGreaterEqual(opened, 5 * 8)
        self.assertGreater(time.monotonic() - began, 0.18)

    def test_it_takes_its_time(self):
        began = time.monotonic()
        self.talk(say=sound.tone(440, 300, 12000, 16000))
        self.assertGreater(time.monotonic() - began, 0.28)

    def test_mute_while_talking(self):
        found = []

        def part(peer):
            peer.welcome(peer.expect("Hello"))
            for _ in range(5):
                peer.expect("Voice")
            peer.flags = MUTED
            found.append(peer.next())
            while found[-1]["packet"] != "SetMuted":
                found.append(peer.next())
            ping = peer.next()
            while ping["packet"] != "Ping":
                ping = peer.next()
            peer.flags = 0
            peer.pong(ping)
            found.append(peer.expect("SetMuted"))
            peer.flags = MUTED
            ping = peer.next()
            peer.pong(ping)
            found.append(peer.expect("SetMuted"))
            peer.flags = 0
            found.append(peer.expect("Voice"))
            peer.expect_end()

        self.begin(part)
        self.join()
        self.client.say(sound.tone(440, 3000, 12000, 16000))
        self.until(lambda: self.client.is_saying() and self.client.session.talker.clock_frame > 0
                   and len(self.client.session.talker.queue) < 140)  # fmt: skip
        self.client.set_muted(True)
        with self.assertRaises(events.ClientError):
            self.client.say([1000] * 320)
        self.client.ping()
        self.until_event("set_muted", again=True)
        self.client.ping()
        self.until(lambda: self.client.pongs >= 3)
        self.assertEqual(len(self.log.all("set_muted")), 2)
        self.client.set_muted(False)
        self.client.say([1000] * 320)
        self.until(lambda: not self.client.is_saying())
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
            self.assertEqual(hello["flags"], MUTED)
            peer.flags = MUTED
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
        expected = b"".join(map(sound.bytes_of, frames))
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
        samples = sound.tone(300, 100, 9000, 16000)
        encoder = AdpcmEncoder()

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


if __name__ == "__main__":
    unittest.main()
