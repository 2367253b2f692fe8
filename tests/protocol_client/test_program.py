"""The program, its files, and the packets."""

import json
import os
import random
import subprocess
import sys
import tempfile
import unittest
import wave

import client as program
import events
import examples
import framing
import packets as wire
import sound
from scripted_server import DOCUMENT, HELLO, ZEROS, Server, entry


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
            sound.write_wav(said, sound.bytes_of(sound.tone(440, 200, 9000, 16000)), 16000)
            script = f"join; ping; say '{said}'; until heard 1; wait 0.1; leave"
            events = self.run_client(Server(self.echo), "--record", heard, script)
            with wave.open(heard) as file:
                self.assertEqual((file.getnframes(), file.getframerate()), (3200, 16000))
                self.assertEqual(file.readframes(3200), sound.bytes_of(
                    sound.tone(440, 200, 9000, 16000)))  # fmt: skip
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
        deframer = framing.Deframer(352)
        self.assertEqual(list(deframer.feed(b"\1" * 358)), [])
        self.assertEqual(list(deframer.feed(b"\1" * 10)), [("dropped", 368, "Unended")])
        self.assertEqual(list(deframer.feed(b"\1" * 5)), [("dropped", 5, "Unended")])
        ends = list(deframer.feed(b"\1\0" + framing.frame(b"\5\7")))
        self.assertEqual(ends, [("dropped", 1, "TooLong"), ("packet", b"\5\7")])

    def test_a_check_finds_a_wrong_example(self):
        with open(DOCUMENT, encoding="utf-8") as file:
            text = file.read()
        for old, new in (("cbf43926", "cbf43927"), ("packet  05 07", "packet  05 08")):
            self.assertNotEqual(examples.Checker(text.replace(old, new, 1)).check(), [])


class Files(unittest.TestCase):
    def test_wav_files(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "file.wav")
            with wave.open(path, "wb") as file:
                file.setnchannels(2)
                file.setsampwidth(2)
                file.setframerate(8000)
                file.writeframes(sound.bytes_of([100, 300] * 400))
            self.assertEqual(sound.read_wav(path, 16000), [200] * 800)
            with open(path, "r+b") as file:
                file.write(b"\0" * 30)
            with self.assertRaises(events.ClientError):
                sound.read_wav(path, 16000)


class Document(unittest.TestCase):
    def test_examples(self):
        with open(DOCUMENT, encoding="utf-8") as file:
            self.assertEqual(examples.Checker(file.read()).check(), [])


if __name__ == "__main__":
    unittest.main()
