"""A participant: its stream, its session, and when it comes back."""

from __future__ import annotations

import argparse
import math
import random
import select
import time
from collections.abc import Callable, Sequence
from typing import Any

import packets as wire
import reasons
from events import ClientError, Clock
from joining import MUTED, fault_of, hello_of
from listener import Recording
from packets import Packet
from roster import Roster
from session import Session
from shown import shown
from stream import OldStream, Stream, connect
from waiting import BackOff, Ping, Pings

REPEAT_S, GIVE_UP_S = 1.0, 5.0
# How long a stream is read behind a Bye.
LINGER_S = 1.0
# The back-off is as short as at first behind a session that has lasted for so long.
LASTED_S = 5.0


class Client:
    """A participant. Call `poll` often; the methods below say what to do.

    Options are attributes of any object, see `options`: host, port, room, name, codecs_up,
    codecs_down, rates, max_packet, roster, muted, tick_hints, delay_ms, lossy, attempts, seed,
    record_s, pre_roll, terminator."""

    def __init__(
        self,
        options: argparse.Namespace,
        emit: Callable[[str, dict[str, Any]], None],
        clock: Clock = time.monotonic,
    ) -> None:
        self.options, self._emit, self.clock = options, emit, clock
        self.random = random.Random(options.seed)
        self.recording = Recording(options.record_s)
        self.stream: Stream | None = None
        # One that a resume has left, or that a Bye has ended.
        self.old: OldStream | None = None
        self.state = "closed"
        self.wanted = False
        self.failure = None
        self.token = b""
        self.was_welcomed = False
        # The running one, or the last.
        self.session: Session | None = None
        self.hello = None
        self.give_up_at = self.repeat_at = self.retry_at = math.inf
        self.back_off = BackOff(options.attempts, self.random)
        self.pings = Pings(self.random.getrandbits(16))
        self.answer = None
        self.muted, self.mutes = options.muted, 0
        self.endings = self.sessions = self.heard = self.pongs = 0

    @property
    def roster(self) -> Roster | None:
        """The list of those in the room."""
        return self.session and self.session.roster

    @property
    def participants(self) -> int:
        """How many are in the room."""
        return self.session.participants if self.session else 0

    def emit(self, event: str, **fields: Any) -> None:
        if event == "heard":
            self.heard += 1
        self._emit(event, fields)

    # Streams

    def connect(self) -> None:
        """Opens a stream. Raises ClientError."""
        host, port = self.options.host, self.options.port
        stream = Stream(connect(host, port, GIVE_UP_S), self.emit, self.clock)
        self._close()
        self.stream, self.state = stream, "open"
        self.emit("connected", host=host, port=port)

    def _close(self) -> None:
        if self.stream:
            self.stream.close()
        self.stream, self.state = None, "closed"
        self.pings.clear()
        self.answer = None

    def _send(self, packet: str, **fields: Any) -> None:
        data = wire.encode(wire.CLIENT, {"packet": packet, **fields})
        self._send_packet(data)

    def _send_packet(self, data: bytes) -> None:
        if not self.stream:
            raise ClientError("there is no stream")
        self.stream.send(data)

    # Joining

    def join(self) -> None:
        """Wants a session from now on. Poll until `state` is "joined" or `failure` says why not."""
        if self.state in ("joined", "waiting"):
            raise ClientError("there is a session already, or a Hello waits for its answer")
        self.wanted, self.failure = True, None
        self.back_off.reset()
        self._try_to_join()

    def resume(self) -> None:
        """On a new stream, while the old one stays open."""
        self._need_token()
        if self.stream:
            self._end_listening()
            self._keep_old(self.stream, GIVE_UP_S, quiet=False)
            self.stream, self.state = None, "closed"
        self.pings.clear()
        self.join()

    def again(self, with_token: bool) -> None:
        """A Hello with a new nonce on the same stream."""
        if not self.stream or self.state != "joined":
            raise ClientError("there is no session")
        if with_token:
            self._need_token()
        self._end_listening()
        self.wanted, self.failure = True, None
        self._say_hello(with_token)

    def repeat(self) -> None:
        """The same Hello again."""
        if not self.hello or not self.stream:
            raise ClientError("no Hello was sent on this stream")
        resume = bool(self.hello["resume"])
        self.emit("hello", nonce=self.hello["nonce"], resume=resume, repeat=True)
        self._send_packet(wire.encode(wire.CLIENT, self.hello))

    def _need_token(self) -> None:
        if not self.token:
            raise ClientError("there is no token to resume with")

    def _try_to_join(self) -> None:
        self.retry_at = math.inf
        try:
            if self.state != "open":
                self.connect()
        except ClientError as error:
            reason, text = reasons.CLOSED, str(error)
            self.emit("ended", reason=reason, by="stream", text=text, **{"class": "again"})
            self._again_later(reason, 0, text)
            return
        self._say_hello(bool(self.token))

    def _say_hello(self, with_token: bool) -> None:
        nonce = bytes(8)
        while not any(nonce):
            nonce = self.random.randbytes(8)
        token = self.token if with_token else b""
        self.hello = hello_of(self.options, nonce, token, self.muted)
        self.session = None
        self.mutes += 1
        self.state, now = "waiting", self.clock()
        self.give_up_at, self.repeat_at = now + GIVE_UP_S, now + REPEAT_S
        self.emit("hello", nonce=self.hello["nonce"], resume=with_token, repeat=False)
        self._send_packet(wire.encode(wire.CLIENT, self.hello))

    def _joined(self, value: Packet) -> None:
        fault = fault_of(value, self.hello)
        if fault:
            self._end(reasons.NOT_FOR_NOW, fault)
            return
        self.state, self.was_welcomed = "joined", True
        self.sessions += 1
        self.give_up_at = self.repeat_at = math.inf
        token = bytes.fromhex(value["resume"])
        self.token = token if len(token) == 16 else b""
        self.stream.deframer.max_packet = min(self.options.max_packet, wire.MAX_PACKET_HOST)
        fields = ("id", "codec_up", "codec_down", "rate", "frame_ms", "idle_timeout_ms")
        fields += ("max_packet", "features", "revision", "participants")
        self.emit("joined", resumable=bool(self.token), **{key: value[key] for key in fields})
        parts = (self.options, self.random, self.recording, self._send, self.emit, self.clock)
        self.session = Session(value, *parts)
        self._ping()

    # Ending

    def _end_listening(self) -> None:
        if self.session:
            self.session.listener.finish()

    def _over(
        self,
        reason: int,
        by: str,
        retry_ms: int = 0,
        text: str = "",
        event: str = "ended",
        **more: Any,
    ) -> None:
        """The session, or the attempt, has ended."""
        self._stop_talking(can_send=False)
        self._end_listening()
        again = reason >= reasons.TRY_AGAIN
        if not again:
            self.token = b""
        if self.state == "joined" and self.clock() - self.session.began_at >= LASTED_S:
            self.back_off.reset()
        first = not self.was_welcomed
        self._close()
        self.give_up_at = self.repeat_at = math.inf
        self.endings += 1
        text = shown(text, 160)
        self.emit(event, reason=reason, by=by, retry_ms=retry_ms, text=text,
                  **{"class": "again" if again else "permanent"}, **more)  # fmt: skip
        if not self.wanted:
            return
        if not again:
            self._fail(reason, text or f"reason {reason}")
        elif reason == reasons.NAME_TAKEN and first:
            self._fail(reason, text or "the name is taken")
        else:
            self._again_later(reason, retry_ms, text)

    def _again_later(self, reason: int, retry_ms: int, text: str) -> None:
        wait_s, attempt = self.back_off.next(retry_ms), self.back_off.attempt
        if wait_s is None:
            self._fail(reason, text or f"reason {reason} after {attempt} attempts")
            return
        self.retry_at, self.state = self.clock() + wait_s, "backoff"
        self.emit("retry", in_ms=round(wait_s * 1000), reason=reason, attempt=attempt)

    def _fail(self, reason: int, message: str) -> None:
        self.wanted, self.failure = False, message
        self.retry_at = math.inf
        self.emit("failed", reason=reason, message=message)

    def _end(self, reason: int, text: str) -> None:
        """Ends the session with a reason, from this side."""
        self._bye(reason, text)
        stream, self.stream = self.stream, None
        stream.shut_down()
        self._keep_old(stream, LINGER_S, quiet=True)
        self._over(reason, "client", text=text)

    def _keep_old(self, stream: Stream, seconds: float, quiet: bool) -> None:
        self._drop_old()
        self.old = OldStream(stream, self.clock() + seconds, quiet)

    def _drop_old(self) -> None:
        if self.old:
            self.old.close()
        self.old = None

    def _bye(self, reason: int, text: str) -> None:
        self._stop_talking()
        if self.stream and not self.stream.broken:
            self._send("Bye", reason=reason, after=self._last_seq(), retry_ms=0, text=text[:40])

    def leave(self) -> None:
        """Bye 0. Reads on for a moment, so that closing does not destroy what is on its way."""
        self.wanted, self.retry_at = False, math.inf
        if not self.stream:
            raise ClientError("there is no stream to leave")
        self._bye(reasons.LEAVING, "")
        self.stream.finish(self.clock() + LINGER_S)
        self._end_listening()
        self._close()
        self.token = b""
        self.emit("left")

    def drop(self) -> None:
        """Closes the stream without a Bye, and keeps the token."""
        self._stop_talking()
        self.close()
        self.emit("left")

    def close(self) -> None:
        """Gives everything up."""
        self.wanted, self.retry_at = False, math.inf
        self._end_listening()
        self._close()
        self._drop_old()

    # Talking

    def _need_session(self) -> None:
        if self.state != "joined":
            raise ClientError("there is no session")

    def say(self, samples: Sequence[int]) -> None:
        """Sends samples as talkspurts, while `poll` is called. Poll until `is_saying` is false."""
        self._need_session()
        if self.muted:
            raise ClientError("the microphone is muted")
        self.session.talker.say(samples)

    def is_saying(self) -> bool:
        """Whether there is something left to send."""
        return bool(self.session and self.session.talker.queue)

    def _last_seq(self) -> int | None:
        return self.session.talker.last_seq if self.session else None

    def _stop_talking(self, can_send: bool = True) -> None:
        if self.session:
            is_running = self.state == "joined" and self.stream and not self.stream.broken
            self.session.talker.stop(can_send and bool(is_running))

    def set_muted(self, muted: bool, again: bool = False) -> None:
        self._need_session()
        if muted:
            self._stop_talking()
        self.muted, self.mutes = muted, self.mutes + 1
        self.emit("set_muted", muted=muted, after=self._last_seq(), again=again)
        self._send("SetMuted", muted=muted, after=self._last_seq())

    # Pings and the roster

    def ping(self) -> int:
        """Also outside a session. Returns the number; `pongs` counts the answers."""
        if not self.stream:
            raise ClientError("there is no stream")
        return self._ping(asked=True)

    def _ping(self, asked: bool = False) -> int:
        session = self.sessions if self.state == "joined" else None
        number = self.pings.add(Ping(self.clock(), self.mutes, session, asked))
        self._send("Ping", number=number)
        return number

    def ask_for_roster(self) -> None:
        self._need_session()
        self.roster.complete = False
        self.roster.want("asked", self.clock())

    # Reading

    def _pong(self, value: Packet) -> None:
        ping = self.pings.answered(value["number"])
        if not ping:
            self.emit("ignored", packet="Pong", why="no Ping has its number")
            return
        self.pongs += 1
        rtt_ms = round((self.clock() - ping.at) * 1000, 1)
        fields = {key: value[key] for key in ("number", "revision", "flags")}
        self.emit("pong", asked=ping.asked, rtt_ms=rtt_ms, **fields)
        # Outside a session the revision is 0, and the flags mean nothing.
        if self.state != "joined" or ping.session != self.sessions or not value["revision"]:
            return
        self.roster.pong(value["revision"], self.clock())
        if ping.mutes == self.mutes and bool(value["flags"] & MUTED) != self.muted:
            self.set_muted(self.muted, again=True)

    def _read(self) -> None:
        """Reads once; when writing has failed, all that the server had sent before."""
        stream = self.stream
        for _ in range(64):
            broke = stream.broken
            data = stream.read()
            self._chunk(stream, data)
            if self.stream is not stream or not (broke and data):
                break
        if self.stream is stream and stream.broken:
            self._over(reasons.CLOSED, "stream", text=stream.broken)

    def _chunk(self, stream: Stream, data: bytes) -> None:
        for packet in stream.packets(data):
            if packet is None:
                self._end(reasons.NO_PACKETS, "too many bytes are no packets")
            else:
                self._packet(packet)
            if self.stream is not stream:
                return

    def _hears(self) -> None:
        if self.session:
            self.session.hears()

    def _packet(self, packet: bytes) -> None:
        try:
            value = wire.decode(wire.SERVER, packet)
        except wire.OtherVersion as other:
            self._hears()
            self._other_version(other)
            return
        except wire.Malformed as error:
            self.emit("error", message=f"a malformed packet: {error}: {packet[:32].hex(' ')}")
            self._end(reasons.MALFORMED, f"malformed: {error}")
            return
        except wire.UnknownCritical:
            self._end(reasons.NOT_FOR_NOW, f"unknown packet {packet[0]:#04x}")
            return
        except wire.Skipped:
            self._hears()
            self.emit("skipped", number=packet[0])
            return
        self._hears()
        kind = value["packet"]
        if kind == "Ping":
            self.answer = value["number"]
        elif kind == "Pong":
            self._pong(value)
        elif kind == "Reject":
            self._rejected(value)
        elif kind == "Welcome":
            self._welcomed(value)
        elif self.state != "joined":
            self.emit("ignored", packet=kind, why="there is no session")
        elif kind == "Bye":
            after = value["after"]
            self._over(value["reason"], "server", value["retry_ms"], value["text"], after=after)
        else:
            self.session.handle(value)

    def _other_version(self, other: wire.OtherVersion) -> None:
        version = other.version
        mine = self.hello and other.nonce == bytes.fromhex(self.hello["nonce"])
        if self.state == "waiting" and mine:
            text = f"the server answers with version {version}"
            self._over(
                reasons.BAD_VERSION, "server", text=text, event="rejected", server_version=version
            )
        else:
            self.emit("ignored", packet="Welcome", why=f"version {version}")

    def _rejected(self, value: Packet) -> None:
        mine = self.hello and value["nonce"] == self.hello["nonce"]
        if not mine and any(bytes.fromhex(value["nonce"])):
            self.emit("ignored", packet="Reject", why="another nonce")
            return
        self._over(value["reason"], "server", value["retry_ms"], value["text"], "rejected",
                   server_version=value["version"])  # fmt: skip

    def _welcomed(self, value: Packet) -> None:
        mine = self.hello and value["nonce"] == self.hello["nonce"]
        if self.state == "waiting" and mine:
            self._joined(value)
        elif self.state == "joined" and mine and value["revision"] and value["participants"]:
            self.session.welcome_again(value)
        else:
            self.emit("ignored", packet="Welcome", why="it answers no Hello of now")

    # Time

    def poll(self, timeout: float = 0.05, also: Sequence[int] = ()) -> list[int]:
        """Reads, writes, and does what is due. Returns which of `also` can be read."""
        self._timers()
        timeout = max(0.0, min(timeout, self._next_due() - self.clock()))
        streams = [one for one in (self.stream, self.old and self.old.stream) if one]
        readable = [one.sock for one in streams] + list(also)
        writable = [one.sock for one in streams if one.out]
        try:
            ready, can_write, _ = select.select(readable, writable, [], timeout)
        except (OSError, ValueError) as error:
            if not self.stream:
                raise ClientError(f"waiting failed: {error}") from error
            self.stream.broken, ready, can_write = f"waiting failed: {error}", [], []
        if self.stream and self.stream.sock in can_write:
            self.stream.flush()
        if self.old and self.old.stream.sock in ready:
            self.old.read()
        if self.old and self.old.is_over():
            self._drop_old()
        if self.stream and (self.stream.sock in ready or self.stream.broken):
            self._read()
        self._timers()
        return [one for one in also if one in ready]

    def _next_due(self) -> float:
        due = min(self.give_up_at, self.retry_at)
        return min(due, self.session.next_due()) if self.state == "joined" else due

    def _timers(self) -> None:
        now = self.clock()
        if self.answer is not None and self.stream:
            number, self.answer = self.answer, None
            self.emit("pinged", number=number)
            self._send("Pong", number=number)
        if self.state == "waiting":
            if now >= self.give_up_at:
                self._over(reasons.CLOSED, "client", text="no answer to the Hello")
            elif now >= self.repeat_at:
                self.repeat_at = now + REPEAT_S
                if self.options.lossy:
                    self.repeat()
        elif self.state == "backoff" and now >= self.retry_at:
            self._try_to_join()
        elif self.state == "joined":
            why = self.session.timers(self._ping)
            if why == "idle":
                self._end(reasons.IDLE, "nothing was heard")
            elif why == "quiet":
                self._over(reasons.CLOSED, "client", text="voice goes out and nothing comes")
