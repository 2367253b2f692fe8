"""A connection, with packets in and out, and bounds on both."""

from __future__ import annotations

import contextlib
import math
import select
import socket
from collections.abc import Iterator

import framing
import packets as wire
from events import ClientError, Clock, Emit

# Behind a pause of this length, a zero comes before a packet.
ZERO_AFTER_S = 0.1
DAMAGE_AT_ONCE, DAMAGE_A_SECOND = 16384, 4096
# The most that waits to be written, and that is read at once, in bytes.
SEND_BUFFER_MOST = 1 << 18
READ_AT_ONCE = 1 << 14


class Damage:
    """Bytes that are no packets, against their budget."""

    def __init__(self, now: float) -> None:
        self.left, self.at = DAMAGE_AT_ONCE, now

    def take(self, count: int, now: float) -> bool:
        """Whether there was room for so many."""
        self.left = min(DAMAGE_AT_ONCE, self.left + (now - self.at) * DAMAGE_A_SECOND)
        self.at = now
        self.left -= count
        return self.left >= 0


def connect(host: str, port: int, seconds: float) -> socket.socket:
    """A connection for voice."""
    try:
        sock = socket.create_connection((host, port), timeout=seconds)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except (OSError, UnicodeError) as error:
        raise ClientError(f"no connection to {host}:{port}: {error}") from error
    return sock


class Stream:
    """A connection, with packets in and out, and bounds on both."""

    def __init__(self, sock: socket.socket, emit: Emit, clock: Clock) -> None:
        self.sock, self.emit, self.clock = sock, emit, clock
        sock.setblocking(False)
        self.deframer = framing.Deframer(wire.MAX_PACKET_LEAST)
        self.out = bytearray()
        self.wrote_at = -math.inf
        self.damage = Damage(clock())
        self.broken = None

    def send(self, packet: bytes) -> None:
        self.send_raw(framing.frame(packet), zero=True)

    def send_raw(self, data: bytes, zero: bool = False) -> None:
        now = self.clock()
        if zero and now - self.wrote_at >= ZERO_AFTER_S:
            self.out += b"\0"
        self.wrote_at = now
        self.out += data
        if len(self.out) > SEND_BUFFER_MOST:
            self.broken = "the server does not read"
        self.flush()

    def flush(self) -> None:
        while self.out and not self.broken:
            try:
                del self.out[: self.sock.send(self.out)]
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self.broken = f"the stream broke: {error.strerror or error}"

    def read(self) -> bytes:
        """Some bytes, or b"" if there are none now. At the end `broken` says why."""
        try:
            data = self.sock.recv(READ_AT_ONCE)
        except (BlockingIOError, InterruptedError):
            return b""
        except OSError as error:
            self.broken = f"the stream broke: {error.strerror or error}"
            return b""
        if not data:
            self.broken = "the server closed the stream"
        return data

    def packets(self, data: bytes) -> Iterator[bytes | None]:
        """Yields packets, and None when the budget for damage is used up."""
        for kind, *what in self.deframer.feed(data):
            if kind == "packet":
                yield what[0]
                continue
            count, why = what
            self.emit("dropped", bytes=count, why=why)
            if not self.damage.take(count, self.clock()):
                yield None

    def shut_down(self) -> None:
        """Says that nothing more will be sent. A stream that is closed with bytes that nobody has
        read may lose what was sent last, so it is read on for a moment."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)

    def finish(self, until: float) -> None:
        """Writes what waits, and reads to the end of the stream or until then."""
        with contextlib.suppress(OSError):
            while self.out and self.clock() < until and not self.broken:
                select.select([], [self.sock], [], 0.05)
                self.flush()
            self.shut_down()
            while self.clock() < until and not self.broken:
                if select.select([self.sock], [], [], 0.05)[0]:
                    self.read()

    def close(self) -> None:
        """Closes it at once."""
        with contextlib.suppress(OSError):
            self.sock.close()


class OldStream:
    """A stream that the client does not use any more, but reads to its end or for a while."""

    def __init__(self, stream: Stream, until: float, quiet: bool) -> None:
        self.stream, self.until, self.quiet = stream, until, quiet

    def is_over(self) -> bool:
        """Whether it is to be closed."""
        return bool(self.stream.broken) or self.stream.clock() > self.until

    def read(self) -> None:
        """Reads once, and tells of the server's last words, unless nobody wants to know them."""
        data = self.stream.read()
        if self.quiet:
            return
        for packet in self.stream.packets(data):
            if packet is None:
                break
            with contextlib.suppress(*wire.UNREAD):
                value = wire.decode(wire.SERVER, packet)
                if value["packet"] in ("Bye", "Reject"):
                    emit = self.stream.emit
                    emit("old_stream", packet=value["packet"], reason=value["reason"])

    def close(self) -> None:
        """Closes it."""
        if self.is_over() and not self.quiet:
            closed = bool(self.stream.broken)
            self.stream.emit("old_stream", packet=None, closed=closed)
        self.stream.close()
