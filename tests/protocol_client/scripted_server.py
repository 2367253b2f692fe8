"""A small server that follows a script, for the tests of the client."""

import os
import socket
import threading
import time
import unittest

import client as program
import framing
import packets as wire
import participant
import sound

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


def samples_of_frame(at, count=320):
    return [(at * 977 + one * 37) % 20000 - 10000 for one in range(count)]


class Peer:
    """The server's end of one stream."""

    def __init__(self, sock):
        self.sock = sock
        sock.settimeout(5)
        self.deframer, self.waiting, self.raw = framing.Deframer(), [], b""
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
        self.send_raw(framing.frame(wire.encode(wire.SERVER, {"packet": packet, **fields})))

    def send_packet(self, data):
        self.send_raw(framing.frame(data))

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
        payload = b"" if samples is None else sound.bytes_of(samples)
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


def adpcm_welcome(peer, hello, **changes):
    adpcm = {"codec_up": 1, "codec_down": 1, "max_packet": 352}
    WELCOME(peer, hello, **(adpcm | changes))


WELCOME = Peer.welcome


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
        self.client = participant.Client(program.options(*words, *line), self.log)
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
