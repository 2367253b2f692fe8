#!/usr/bin/env python3
"""A client of Talkspurt's protocol, version 2, written from docs/PROTOCOL.md alone.

It is a library (`Client`) and a program that does what a script says and prints what happens, one
JSON object a line:

    client.py --server HOST:PORT --room R --name N [options] 'join; tone 440 500; wait 1; leave'

Without a script on the command line it reads one from standard input, line by line, while it goes
on listening. `client.py --words` lists the words of scripts, `client.py --events` the events.
Standard library only.

Exit status: 0 the script is done, 1 an action failed, 2 the command line is wrong, 3 a fault here.
"""

from __future__ import annotations

import argparse
import array
import collections
import json
import math
import os
import random
import select
import shlex
import socket
import sys
import time
import unicodedata
import wave
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import packets as wire  # noqa: E402

PCM16, ADPCM = 0, 1
TALKING, MUTED = 1, 2

LEAVING, BAD_VERSION, MALFORMED, NOT_FOR_NOW = 0, 1, 8, 9
NAME_TAKEN, IDLE, CLOSED, NO_PACKETS = 129, 134, 137, 139
TRY_AGAIN = 128

# A packet as packets.py reads it; who is told of events; what tells the time.
Packet = dict[str, Any]
Emit = Callable[..., None]
Clock = Callable[[], float]

REPEAT_S, GIVE_UP_S = 1.0, 5.0
BACK_OFF_S, BACK_OFF_MOST_S, WAIT_MOST_S = 0.25, 5.0, 60.0
QUIET_PING_S, QUIET_BREAK_S = 1.0, 3.0
SPURT_END_S = 0.1
ZERO_AFTER_S = 0.1
DAMAGE_AT_ONCE, DAMAGE_A_SECOND = 16384, 4096

# Bounds of this client's own.
SEND_BUFFER_MOST = 1 << 18
READ_AT_ONCE = 1 << 14
ROSTER_MOST = 16384
PINGS_MOST = 32
TALK_MOST_S = 600
PENDING_MOST = 128
GAP_IN_SPURT_S = 1.0

WORDS = """\
connect                opens the stream and says nothing
join                   opens the stream if there is none, says Hello, waits for the answer
say FILE               sends a WAV file, a frame each frame period, and waits until it is sent
tone HZ MS [PEAK]      the same with a sine
start say FILE         as say, but goes on with the script at once (also: start tone HZ MS [PEAK])
mute, unmute           ends the talkspurt and sends SetMuted
ping                   sends a Ping and waits for its Pong
roster                 sends a RosterRequest and waits for the whole roster
wait SECONDS           listens
until WHAT [SECONDS]   listens until it is so, for 10 s at most; WHAT is one of:
                         participants N, present NAME, gone NAME, talking NAME, silent NAME,
                         muted NAME, heard N (talkspurts in all), event NAME (from now on),
                         ended (the session or the attempt)
resume                 takes the session up with its token on a new stream; the old one stays open
                       until the server closes it
resume-here            says Hello with the token and a new nonce on the same stream
rejoin                 says Hello with a new nonce and without a token on the same stream
repeat                 sends the session's Hello again
drop                   closes the stream without a Bye, and keeps the token for join or resume
leave                  Bye 0, and closes the stream
save FILE              writes what was heard so far to a WAV file
raw HEX                sends these bytes as a packet
noise HEX              sends these bytes as they are
"""

EVENTS = """\
Every event has `event` and `t`, the milliseconds since the program began.
connected              a stream is open
hello                  nonce, resume (whether with a token), repeat
joined                 id, codec_up, codec_down, rate, frame_ms, idle_timeout_ms, max_packet,
                       revision, participants, resumable
welcome_again          the answer to a repeated Hello: revision, participants
rejected               reason, class, retry_ms, text, server_version
ended                  the session, or an attempt: reason, by (server, client, stream), class,
                       retry_ms, text, after
retry                  in_ms, reason, attempt
failed                 the client does not try again: reason, message
left                   the client has left
pong                   number, rtt_ms, revision, flags, asked (by the script)
pinged                 number: the server's Ping, which was answered
roster                 revision, entries: the list after it was replaced by pages
roster_gap             had, got, packet: a change was missed
roster_request         why: gap, incomplete, broken, asked
change                 packet, revision, id, name, flags, reason, applied
count                  participants
set_muted              muted, after, again (a Pong differed)
said                   spurts: seq, timestamp, frames, crc32 (of the samples as they decode), level
hearing                seq, timestamp: a talkspurt begins
heard                  seq, timestamp, frames, missing, late, terminated, peak, rms, level, crc32
voice_ignored          why
dropped                bytes, why: damage
skipped                number of an unknown skippable packet
ignored                packet, why
old_stream             packet, reason: what came on the stream that a resume has left; or closed
done                   action
error                  message
"""


class ClientError(Exception):
    """Something that the person or the test who runs the client should read."""


# ------------------------------------------------------------------------------------------------
# Numbers


def signed(value: Packet, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def revision_after(revision: int) -> int:
    """Revisions leave out 0 when they wrap."""
    return revision % 0xFFFFFFFF + 1


def is_later(revision: int, than: int) -> bool:
    return signed(revision - than, 32) > 0


IGNORABLE = (
    (0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5),
    (0x180B, 0x180F), (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164),
    (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0x1BCA0, 0x1BCA3),
    (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF),
)  # fmt: skip


def shown(text: str, most: int) -> str:
    """A text of a server as it may be shown. The properties of emoji are guessed from categories,
    as Python's tables do not have them."""

    def wordy(char: str) -> bool:
        return char == "\ufe0f" or unicodedata.category(char)[0] in "LM" or pictorial(char)

    def pictorial(char: str) -> bool:
        return unicodedata.category(char) in ("So", "Sk") or char in "0123456789#*\u203c\u2049"

    kept = []
    for at, char in enumerate(text):
        code = ord(char)
        if unicodedata.category(char) == "Cc" or code in (0x2028, 0x2029, 0x2800):
            continue
        if 0xFFF9 <= code <= 0xFFFB:
            continue
        if any(low <= code <= high for low, high in IGNORABLE):
            before, after = text[at - 1 : at], text[at + 1 : at + 2]
            if char == "\ufe0f" and before and pictorial(before):
                kept.append(char)
            elif char in "\u200c\u200d" and before and after and wordy(before) and wordy(after):
                kept.append(char)
            continue
        kept.append(char)
    text = "".join(kept).strip()
    while len(text.encode()) > most:
        text = text[:-1]
    return text


def shown_name(text: str) -> str:
    return shown(text, 32) or "(unprintable)"


# ------------------------------------------------------------------------------------------------
# Samples


def samples_of(data: bytes) -> array.array:
    """Signed 16 bits, least significant first."""
    samples = array.array("h", data)
    if sys.byteorder == "big":
        samples.byteswap()
    return samples


def bytes_of(samples: Sequence[int]) -> bytes:
    samples = array.array("h", samples)
    if sys.byteorder == "big":
        samples.byteswap()
    return samples.tobytes()


def read_wav(path: str, rate: int) -> list[int]:
    """The samples of a WAV file: one channel, at the session's rate."""
    try:
        with wave.open(path, "rb") as file:
            channels, width = file.getnchannels(), file.getsampwidth()
            its_rate = file.getframerate()
            if width != 2 or not 1 <= channels <= 8 or its_rate < 1:
                raise ClientError(f"{path} has no 16-bit samples in 1 to 8 channels")
            if file.getnframes() > TALK_MOST_S * its_rate:
                raise ClientError(f"{path} is longer than {TALK_MOST_S} s")
            data = file.readframes(file.getnframes())
    except (OSError, EOFError, wave.Error) as error:
        raise ClientError(f"{path} cannot be read: {error}") from error
    samples = samples_of(data[: len(data) // (2 * channels) * 2 * channels])
    if channels > 1:
        samples = [sum(samples[at : at + channels]) // channels
                   for at in range(0, len(samples), channels)]  # fmt: skip
    if its_rate != rate and len(samples) > 1:
        count = len(samples) * rate // its_rate
        out = []
        for at in range(count):
            whole, part = divmod(at * its_rate, rate)
            a, b = samples[whole], samples[min(whole + 1, len(samples) - 1)]
            out.append(a + (b - a) * part // rate)
        samples = out
    return list(samples)


def tone(hertz: float, milliseconds: int, peak: float, rate: int) -> list[int]:
    count = rate * milliseconds // 1000
    return [round(peak * math.sin(2 * math.pi * hertz * at / rate)) for at in range(count)]


def write_wav(path: str, samples: bytes, rate: int) -> None:
    try:
        with wave.open(path, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(rate)
            file.writeframes(samples)
    except OSError as error:
        raise ClientError(f"{path} cannot be written: {error}") from error


def is_silent(level: int) -> bool:
    return level >= 142


def talkspurts(frames: Sequence[Sequence[int]], hang: int) -> list[tuple[int, int]]:
    """Runs of frames that a gate lets through: from one that is not silent to the last before more
    than `hang` silent ones, as pairs of the first and the one behind the last."""
    runs, first, last = [], None, None
    for at, samples in enumerate(frames):
        if is_silent(wire.level(wire.rms(samples))):
            continue
        if first is not None and at - last > hang:
            runs.append((first, last + 1))
            first = None
        first, last = at if first is None else first, at
    if first is not None:
        runs.append((first, last + 1))
    return runs


# ------------------------------------------------------------------------------------------------
# The roster


class Roster:
    """The list of those in the room, with its revision and its repair. It sends nothing itself:
    `due` says when it wants to ask."""

    def __init__(self, revision: int, wanted: bool, emit: Emit, now: float) -> None:
        self.revision, self.wanted, self.emit = revision, wanted, emit
        self.entries = {}
        self.complete = False
        # Entries of the pages so far, and how many there were.
        self.pages = self.key = None
        self.count = 0
        self.asked_at = -math.inf
        self.ask_at = math.inf
        self.why = ""
        self.waits = iter(())
        if wanted:
            self._expect(now)

    def _expect(self, now: float) -> None:
        """Pages are on their way, asked for or behind a Welcome."""
        self.waits = iter((2.0, 4.0, 8.0))
        self._wait_again(now)

    def _wait_again(self, now: float) -> None:
        self.ask_at, self.why = now + next(self.waits, 16.0), "incomplete"

    def welcome_again(self, revision: int, now: float) -> None:
        self.revision = revision
        self.pages = None
        if self.wanted:
            self._expect(now)

    def want(self, why: str, now: float) -> None:
        """Asks as soon as it may: once a second. An answer that is on its way, and has not begun,
        covers what is missing as well, as it is written after what has come before it."""
        if why == "gap" and self.ask_at < math.inf and self.pages is None:
            return
        self.ask_at, self.why = max(now, self.asked_at + 1.0), why
        self.waits = iter((2.0, 4.0, 8.0))

    def due(self, now: float) -> str | None:
        """Why to ask now, or None."""
        if now < self.ask_at:
            return None
        why = self.why
        self.asked_at, self.pages = now, None
        self._wait_again(now)
        return why

    def _sees(self, revision: int, packet: str, now: float) -> bool:
        """Judges the revision of a change: whether to apply it."""
        if not is_later(revision, self.revision):
            return False
        if revision != revision_after(self.revision):
            self.emit("roster_gap", had=self.revision, got=revision, packet=packet)
            self.want("gap", now)
        self.revision = revision
        return True

    def pong(self, revision: int, now: float) -> None:
        """Zero is no revision: it stands in a Pong to a Ping outside a session."""
        if self.wanted and revision and is_later(revision, self.revision):
            self.emit("roster_gap", had=self.revision, got=revision, packet="Pong")
            self.revision = revision
            self.want("gap", now)

    def change(self, value: Packet, now: float) -> None:
        """Joined, Left or State."""
        if not self.wanted:
            return self.emit("ignored", packet=value["packet"], why="no roster was asked for")
        kind = value["packet"]
        entry = value.get("entry") or {}
        id_ = entry.get("id", value.get("id"))
        applied = self._sees(value["revision"], kind, now)
        known = self.entries.get(id_)
        if applied and self.pages is not None:
            # Between two pages there is none: a packet was lost.
            self.pages = None
            self.want("broken", now)
        if applied and kind == "Joined":
            known = self._keep(entry)
        elif applied and known and kind == "State":
            known["flags"] = value["flags"]
        elif applied and known and kind == "Left":
            del self.entries[id_]
        event = {"packet": kind, "revision": value["revision"], "id": id_, "applied": applied}
        if known:
            event |= {"name": known["name"], "flags": known["flags"]}
        if kind == "Left":
            event["reason"] = value["reason"]
        return self.emit("change", **event)

    def _keep(self, entry: dict[str, Any]) -> dict[str, Any]:
        """What does not fit is left out, and id 0 is nobody."""
        kept = {"id": entry["id"], "flags": entry["flags"], "name": shown_name(entry["name"])}
        if entry["id"] and (entry["id"] in self.entries or len(self.entries) < ROSTER_MOST):
            self.entries[entry["id"]] = kept
        return kept

    def page(self, value: Packet, now: float) -> None:
        first, entries, total = value["first"], value["entries"], value["total"]
        key = (value["revision"], total)
        if first == 0:
            self.pages, self.key, self.count = [], key, 0
        elif self.pages is None:
            # The rest of a roster whose first page is lost.
            return self.want("broken", now) if self.ask_at < math.inf else None
        empty = not entries and total
        if key != self.key or first != self.count or empty or first + len(entries) > total:
            self.pages = None
            return self.want("broken", now)
        # A client that cannot hold all of a roster keeps what it can.
        self.pages += entries[: ROSTER_MOST - len(self.pages)]
        self.count += len(entries)
        if self.count < total:
            return None
        self.entries = {}
        for entry in self.pages:
            self._keep(entry)
        self.revision = value["revision"]
        self.pages, self.ask_at, self.complete = None, math.inf, True
        return self.emit("roster", revision=self.revision, entries=list(self.entries.values()))

    def named(self, name: str) -> dict[str, Any] | None:
        return next((one for one in self.entries.values() if one["name"] == name), None)


# ------------------------------------------------------------------------------------------------
# Listening


class Recording:
    """What was heard, with a bound."""

    def __init__(self, most_s: int) -> None:
        self.most_s, self.rate, self.data, self.full = most_s, 0, bytearray(), False

    def begin(self, rate: int) -> None:
        """A session has another rate: what was heard before is given up."""
        if rate != self.rate:
            self.rate, self.data, self.full = rate, bytearray(), False

    def add(self, data: bytes) -> None:
        room = self.most_s * self.rate * 2 - len(self.data)
        self.full = self.full or len(data) > room
        self.data += data[: max(0, room)]


class Spurt:
    """A talkspurt that is being heard. Offsets count frames from its first packet."""

    def __init__(self, value: Packet, now: float) -> None:
        self.seq, self.timestamp = value["seq"], value["timestamp"]
        self.newest = (self.seq, self.timestamp, 0)
        self.pending = {}
        self.next = None
        # Where the recording has come to, as a timestamp.
        self.until = self.timestamp
        self.first = 0
        self.end = None
        self.began = self.arrived = now
        self.frames = self.missing = self.late = self.peak = self.squares = self.samples = 0
        self.level, self.crc = 255, 0


class Listener:
    """Puts voice packets in order, with silence in gaps."""

    def __init__(
        self,
        codec: int,
        rate: int,
        frame_ms: int,
        recording: Recording,
        emit: Emit,
        margin_s: float = 0.06,
        gap_most_s: float = 10.0,
    ) -> None:
        self.codec, self.rate, self.emit, self.recording = codec, rate, emit, recording
        self.units = wire.timestamp_units(frame_ms)
        self.samples = rate * frame_ms // 1000
        self.payload = payload_length(codec, self.samples)
        self.margin_s, self.gap_most_s = margin_s, gap_most_s
        self.gap_in_spurt = max(1, int(GAP_IN_SPURT_S * 1000) // frame_ms)
        self.spurt = None
        # The numbers of the last packet of the last talkspurt, and where the recording ends.
        self.last = self.until = None
        self.heard = 0
        recording.begin(rate)

    def packet(self, value: Packet, now: float) -> None:
        payload = bytes.fromhex(value["payload"])
        if len(payload) != self.payload and not (value["terminator"] and not payload):
            return self.emit("voice_ignored", why=f"a payload of {len(payload)} bytes")
        if self.codec == ADPCM and payload and payload[2] > 88:
            return self.emit("voice_ignored", why=f"an ADPCM step index of {payload[2]}")
        spurt = self.spurt
        reference = spurt.newest if spurt else self.last
        offset = 0
        if reference:
            steps = signed(value["seq"] - reference[0], 16)
            time_later = signed(value["timestamp"] - reference[1], 32)
            fits = time_later == steps * self.units
            offset = reference[2] + steps
            if not fits and time_later <= 0:
                return self._straggler("earlier than the talkspurt")
            if fits and steps <= 0 and not spurt:
                return self._straggler("its talkspurt has ended")
            over = spurt and spurt.end is not None and offset > spurt.end
            if spurt and (not fits or over or steps > self.gap_in_spurt):
                self._finish(spurt)
                spurt = None
        if not spurt:
            spurt, offset = self._begin(value, now), 0
        if offset in spurt.pending or (spurt.next is not None and offset < spurt.next):
            spurt.late += 1
            return None
        spurt.pending[offset] = (payload, value["level"], now)
        spurt.arrived = now
        spurt.first = min(spurt.first, offset)
        if offset > spurt.newest[2]:
            spurt.newest = (value["seq"], value["timestamp"], offset)
        if value["terminator"]:
            spurt.end = offset if spurt.end is None else min(offset, spurt.end)
        return self.tick(now)

    def _straggler(self, why: str) -> None:
        if self.spurt:
            self.spurt.late += 1
        return self.emit("voice_ignored", why=why)

    def _begin(self, value: Packet, now: float) -> Spurt:
        self.spurt = spurt = Spurt(value, now)
        self.emit("hearing", seq=spurt.seq, timestamp=spurt.timestamp)
        return spurt

    def tick(self, now: float) -> None:
        """Plays what is next, and gives up what does not come."""
        spurt = self.spurt
        if not spurt:
            return
        while spurt.pending:
            lowest = min(spurt.pending)
            waited = now - spurt.pending[lowest][2] >= self.margin_s
            if not (lowest == spurt.next or waited or len(spurt.pending) > PENDING_MOST):
                break
            self._play(spurt, lowest)
        done = spurt.end is not None and spurt.next is not None and spurt.next > spurt.end
        if done or now - spurt.arrived >= SPURT_END_S:
            self._finish(spurt)

    def finish(self) -> None:
        """Plays all that is there."""
        if self.spurt:
            self._finish(self.spurt)

    def _play(self, spurt: Spurt, offset: int) -> None:
        payload, level, _ = spurt.pending.pop(offset)
        if spurt.next is None:
            self._pause(spurt, offset)
            spurt.next = offset
        begins = spurt.timestamp + offset * self.units
        if offset > spurt.next:
            spurt.missing += offset - spurt.next
            silence = bytes(2 * self.samples * (offset - spurt.next))
            spurt.crc = zlib.crc32(silence, spurt.crc)
            self.recording.add(silence)
        spurt.next, spurt.until = offset + 1, begins
        if not payload:
            return
        spurt.until += self.units
        if self.codec == ADPCM:
            samples = wire.adpcm_decode(payload)
        else:
            samples = samples_of(payload)
        data = bytes_of(samples)
        spurt.frames += 1
        spurt.level = min(spurt.level, level)
        spurt.crc = zlib.crc32(data, spurt.crc)
        spurt.peak = max(spurt.peak, max(samples), -min(samples))
        spurt.squares += sum(sample * sample for sample in samples)
        spurt.samples += len(samples)
        self.recording.add(data)

    def _pause(self, spurt: Spurt, offset: int) -> None:
        """The silence between the last talkspurt and this one."""
        if self.until is not None:
            pause = signed(spurt.timestamp + offset * self.units - self.until, 32)
            pause = min(max(0, pause), int(self.gap_most_s * 400))
            self.recording.add(bytes(2 * (pause * self.rate // 400)))

    def _finish(self, spurt: Spurt) -> None:
        for offset in sorted(spurt.pending):
            self._play(spurt, offset)
        whole = spurt.end is not None
        seq, timestamp, _ = spurt.newest
        self.last, self.until, self.spurt = (seq, timestamp, 0), spurt.until, None
        self.heard += 1
        rms = math.isqrt(spurt.squares // spurt.samples) if spurt.samples else 0
        self.emit(
            "heard",
            seq=(spurt.seq + spurt.first) & 0xFFFF,
            timestamp=(spurt.timestamp + spurt.first * self.units) & 0xFFFFFFFF,
            frames=spurt.frames,
            missing=spurt.missing,
            late=spurt.late,
            terminated=whole,
            peak=spurt.peak,
            rms=rms,
            level=spurt.level,
            crc32=f"{spurt.crc:08x}",
        )


# ------------------------------------------------------------------------------------------------
# The client


def payload_length(codec: int, samples: Sequence[int]) -> int:
    return 2 * samples if codec == PCM16 else 3 + samples // 2


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


class Stream:
    """A connection, with packets in and out, and bounds on both."""

    def __init__(self, sock: socket.socket, emit: Emit, clock: Clock) -> None:
        self.sock, self.emit, self.clock = sock, emit, clock
        sock.setblocking(False)
        self.deframer = wire.Deframer(wire.MAX_PACKET_LEAST)
        self.out = bytearray()
        self.wrote_at = -math.inf
        self.damage = Damage(clock())
        self.broken = None
        # Whether what comes is thrown away without a word.
        self.quiet = False

    def send(self, packet: bytes) -> None:
        self.send_raw(wire.frame(packet), zero=True)

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

    def close(self) -> None:
        try:
            self.sock.close()
        except OSError:
            pass


class Client:
    """A participant. Call `poll` often; the methods below say what to do.

    Options are attributes of any object, see `options`: host, port, room, name, codecs_up,
    codecs_down, rates, max_packet, roster, muted, lossy, attempts, seed, record_s, pre_roll,
    terminator."""

    def __init__(
        self,
        options: argparse.Namespace,
        emit: Callable[[str, dict[str, Any]], None],
        clock: Clock = time.monotonic,
    ) -> None:
        self.options, self._emit, self.clock = options, emit, clock
        self.random = random.Random(options.seed)
        self.recording = Recording(options.record_s)
        self.stream = self.old = None
        self.state = "closed"
        self.wanted = False
        self.failure = None
        self.token = b""
        self.welcomed = self.was_welcomed = False
        self.welcome, self.roster, self.listener = None, None, None
        self.participants = 0
        self.hello = None
        self.give_up_at = self.repeat_at = self.retry_at = math.inf
        self.back_off_s, self.attempt = BACK_OFF_S, 0
        self.pings = collections.OrderedDict()
        self.ping_number = self.random.getrandbits(16)
        self.answer = None
        self.muted, self.mutes = options.muted, 0
        self.heard_at = -math.inf
        self.endings = self.sessions = self.heard = self.pongs = 0
        self._forget_session()

    def _forget_session(self) -> None:
        self.talk = collections.deque()
        self.talking = False
        self.said = []
        self.last_seq = None
        self.frames_sent_at = -math.inf
        self.quiet_ping_at = None
        self.ping_at = math.inf

    def emit(self, event: str, **fields: Any) -> None:
        if event == "heard":
            self.heard += 1
        self._emit(event, fields)

    # Streams

    def connect(self) -> None:
        """Opens a stream. Raises ClientError."""
        stream = self._open()
        self._close()
        self.stream, self.state = stream, "open"
        self.heard_at = self.clock()
        self.emit("connected", host=self.options.host, port=self.options.port)

    def _open(self) -> Stream:
        host, port = self.options.host, self.options.port
        try:
            sock = socket.create_connection((host, port), timeout=GIVE_UP_S)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except (OSError, UnicodeError) as error:
            raise ClientError(f"no connection to {host}:{port}: {error}") from error
        return Stream(sock, self.emit, self.clock)

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
        self.wanted, self.failure, self.attempt = True, None, 0
        self.back_off_s = BACK_OFF_S
        self._try_to_join()

    def resume(self) -> None:
        """On a new stream, while the old one stays open."""
        self._need_token()
        if self.stream:
            self._end_listening()
            self._drop_old()
            self.old, self.stream, self.state = self.stream, None, "closed"
            self.old_until = self.clock() + GIVE_UP_S
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
            self.emit("ended", reason=CLOSED, by="stream", text=str(error), **{"class": "again"})
            self._again_later(CLOSED, 0, str(error))
            return
        self._say_hello(bool(self.token))

    def _say_hello(self, with_token: bool) -> None:
        nonce = bytes(8)
        while not any(nonce):
            nonce = self.random.randbytes(8)
        options = self.options
        self.hello = {
            "packet": "Hello",
            "version": wire.VERSION,
            "nonce": nonce.hex(" "),
            "max_packet": options.max_packet,
            "features": 0,
            "resume": self.token.hex(" ") if with_token else "",
            "room": options.room,
            "name": options.name,
            "codecs_up": bytes(options.codecs_up).hex(" "),
            "codecs_down": bytes(options.codecs_down).hex(" "),
            "rates": options.rates,
            "flags": MUTED if self.muted else 0,
            "roster": int(options.roster),
            "credentials": "",
        }
        self._forget_session()
        self.mutes += 1
        self.state, now = "waiting", self.clock()
        self.give_up_at, self.repeat_at = now + GIVE_UP_S, now + REPEAT_S
        self.emit("hello", nonce=self.hello["nonce"], resume=with_token, repeat=False)
        self._send_packet(wire.encode(wire.CLIENT, self.hello))

    def _fault(self, value: Packet) -> str | None:
        """What is wrong with a Welcome, or None."""
        hello, rate, frame_ms = self.hello, value["rate"], value["frame_ms"]
        for way in ("up", "down"):
            if value[f"codec_{way}"] not in bytes.fromhex(hello[f"codecs_{way}"]):
                return f"codec_{way} {value[f'codec_{way}']} was not offered"
        if rate not in hello["rates"]:
            return f"the rate {rate} was not offered"
        if frame_ms not in (5, 10, 20):
            return f"frames of {frame_ms} ms"
        if rate % 400:
            return f"{rate} samples a second are no multiple of 400"
        if not value["id"] or not value["revision"] or not value["participants"]:
            return "id, revision or participants is 0"
        if value["idle_timeout_ms"] < 500:
            return f"an idle timeout of {value['idle_timeout_ms']} ms"
        if value["max_packet"] < wire.MAX_PACKET_LEAST:
            return f"a max_packet of {value['max_packet']}"
        samples = rate * frame_ms // 1000
        ways = (("up", value["max_packet"]), ("down", hello["max_packet"]))
        for way, most in ways:
            length = payload_length(value[f"codec_{way}"], samples)
            if length + (11 if length > 127 else 10) > min(most, wire.MAX_PACKET_HOST):
                return f"a voice packet of codec_{way} does not fit"
        return None

    def _joined(self, value: Packet) -> None:
        fault = self._fault(value)
        if fault:
            self._end(NOT_FOR_NOW, fault)
            return
        now = self.clock()
        self.welcome, self.state = value, "joined"
        self.welcomed = self.was_welcomed = True
        self.sessions += 1
        self.joined_at = now
        self.give_up_at = self.repeat_at = math.inf
        token = bytes.fromhex(value["resume"])
        self.token = token if len(token) == 16 else b""
        self.samples = value["rate"] * value["frame_ms"] // 1000
        self.units = wire.timestamp_units(value["frame_ms"])
        self.frame_s = value["frame_ms"] / 1000
        self.encoder = wire.AdpcmEncoder()
        self.seq = self.random.getrandbits(16)
        self.timestamp = self.random.getrandbits(32)
        self.clock_frame = -1
        self.stream.deframer.max_packet = min(self.options.max_packet, wire.MAX_PACKET_HOST)
        self.participants = value["participants"]
        fields = ("id", "codec_up", "codec_down", "rate", "frame_ms", "idle_timeout_ms")
        fields += ("max_packet", "revision", "participants")
        self.emit("joined", resumable=bool(self.token), **{key: value[key] for key in fields})
        self.roster = Roster(value["revision"], self.options.roster, self.emit, now)
        self.listener = Listener(value["codec_down"], value["rate"], value["frame_ms"],
                                 self.recording, self.emit)  # fmt: skip
        self._ping()
        self.ping_at = now + self._ping_every()

    def _ping_every(self) -> float:
        return self.welcome["idle_timeout_ms"] // 3 / 1000

    # Ending

    def _end_listening(self) -> None:
        if self.listener and self.welcomed:
            self.listener.finish()
        self.welcomed = False

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
        self.talking = False
        self._stop_talking()
        self._end_listening()
        again = reason >= TRY_AGAIN
        if not again:
            self.token = b""
        if self.welcome and self.state == "joined" and self.clock() - self.joined_at >= 5:
            self.back_off_s, self.attempt = BACK_OFF_S, 0
        first = not self.was_welcomed
        self._close()
        self.give_up_at = self.repeat_at = self.ping_at = math.inf
        self.endings += 1
        text = shown(text, 160)
        self.emit(event, reason=reason, by=by, retry_ms=retry_ms, text=text,
                  **{"class": "again" if again else "permanent"}, **more)  # fmt: skip
        if not self.wanted:
            return
        if not again:
            self._fail(reason, text or f"reason {reason}")
        elif reason == NAME_TAKEN and first:
            self._fail(reason, text or "the name is taken")
        else:
            self._again_later(reason, retry_ms, text)

    def _again_later(self, reason: int, retry_ms: int, text: str) -> None:
        self.attempt += 1
        if self.attempt >= self.options.attempts:
            self._fail(reason, text or f"reason {reason} after {self.attempt} attempts")
            return
        wait_s = min(max(retry_ms / 1000, self.back_off_s), WAIT_MOST_S)
        wait_s = min(wait_s * (1 + self.random.random() / 4), WAIT_MOST_S)
        self.back_off_s = min(self.back_off_s * 2, BACK_OFF_MOST_S)
        self.retry_at, self.state = self.clock() + wait_s, "backoff"
        self.emit("retry", in_ms=round(wait_s * 1000), reason=reason, attempt=self.attempt)

    def _fail(self, reason: int, message: str) -> None:
        self.wanted, self.failure = False, message
        self.retry_at = math.inf
        self.emit("failed", reason=reason, message=message)

    def _end(self, reason: int, text: str) -> None:
        """Ends the session with a reason, from this side."""
        self._bye(reason, text)
        stream, self.stream = self.stream, None
        self._linger(stream)
        self._over(reason, "client", text=text)

    def _linger(self, stream: Stream) -> None:
        """A TCP stream that is closed with bytes that nobody has read may take with it what was
        sent last. So it is closed for writing, and read for a moment."""
        self._drop_old()
        if stream.broken or stream.out:
            stream.close()
            return
        try:
            stream.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        stream.quiet = True
        self.old, self.old_until = stream, self.clock() + 1.0

    def _bye(self, reason: int, text: str) -> None:
        self._terminate()
        if self.stream and not self.stream.broken:
            self._send("Bye", reason=reason, after=self.last_seq, retry_ms=0, text=text[:40])

    def leave(self) -> None:
        """Bye 0. Reads on for a moment, so that closing does not destroy what is on its way."""
        if not self.stream:
            self.wanted, self.retry_at = False, math.inf
            raise ClientError("there is no stream to leave")
        self.wanted, self.retry_at = False, math.inf
        self._stop_talking()
        self._bye(LEAVING, "")
        stream, until = self.stream, self.clock() + 1.0
        try:
            while stream.out and self.clock() < until and not stream.broken:
                select.select([], [stream.sock], [], 0.05)
                stream.flush()
            stream.sock.shutdown(socket.SHUT_WR)
            while self.clock() < until and not stream.broken:
                if select.select([stream.sock], [], [], 0.05)[0]:
                    stream.read()
        except OSError:
            pass
        self._end_listening()
        self._close()
        self.token = b""
        self.emit("left")

    def drop(self) -> None:
        """Closes the stream without a Bye, and keeps the token."""
        self.wanted, self.retry_at = False, math.inf
        self._stop_talking()
        self._end_listening()
        self._close()
        self.emit("left")

    def close(self) -> None:
        """Gives everything up."""
        self.wanted = False
        self._end_listening()
        self._close()
        self._drop_old()

    # Talking

    def say(self, samples: Sequence[int]) -> None:
        """Sends samples as talkspurts, while `poll` is called. Poll until `talk` is empty."""
        self._need_session()
        if self.muted:
            raise ClientError("the microphone is muted")
        if self.talk:
            raise ClientError("something is being said already")
        if len(samples) > TALK_MOST_S * self.welcome["rate"]:
            raise ClientError(f"more than {TALK_MOST_S} s of samples")
        frames = [samples[at : at + self.samples] for at in range(0, len(samples), self.samples)]
        if frames:
            frames[-1] = list(frames[-1]) + [0] * (self.samples - len(frames[-1]))
        first = max(int((self.clock() - self.joined_at) / self.frame_s) + 1, self.clock_frame + 1)
        hang, early = (ms // self.welcome["frame_ms"] for ms in (200, self.options.pre_roll))
        stamp = 0
        for begin, end in talkspurts(frames, hang):
            # The first frames are from before the gate opened, and go out with the one that did.
            opened = min(begin + early, end - 1)
            stamp = max(first + opened, stamp)
            for at in range(begin, end):
                due = first + max(at, opened)
                self.talk.append((due, stamp, frames[at], at == end - 1))
                stamp += 1
        if not self.talk:
            self.emit("said", spurts=[])

    def _need_session(self) -> None:
        if self.state != "joined":
            raise ClientError("there is no session")

    def _speak(self, now: float) -> None:
        """Sends the frames that are due."""
        while self.talk and now >= self.joined_at + self.talk[0][0] * self.frame_s:
            _, at, samples, last = self.talk.popleft()
            self._send_frame(at, samples, last and self.options.terminator == "last")
            if last and self.talking:
                self._terminate()
            if not self.talk:
                self._said()

    def _send_frame(self, at: int, samples: Sequence[int], terminator: bool) -> None:
        level = min(wire.level(wire.rms(samples)), 255)
        if self.welcome["codec_up"] == ADPCM:
            payload = self.encoder.encode(samples)
            heard = bytes_of(wire.adpcm_decode(payload))
        else:
            payload = heard = bytes_of(samples)
        self.clock_frame = at
        if not self.talking:
            self.talking = True
            self.said.append({"seq": self.seq, "timestamp": self._time(at), "frames": 0,
                              "level": 255, "crc": 0})  # fmt: skip
        spurt = self.said[-1]
        spurt["frames"] += 1
        spurt["level"] = min(level, spurt["level"])
        spurt["crc"] = zlib.crc32(heard, spurt["crc"])
        self._send_voice(at, level, terminator, payload)

    def _send_voice(self, at: int, level: int, terminator: bool, payload: bytes) -> None:
        self.last_seq, self.seq = self.seq, (self.seq + 1) & 0xFFFF
        self.frames_sent_at = self.clock()
        if terminator:
            self.talking = False
        self._send("Voice", seq=self.last_seq, timestamp=self._time(at), level=level, stream=0,
                   terminator=terminator, payload=payload.hex())  # fmt: skip

    def _time(self, at: int) -> int:
        return (self.timestamp + at * self.units) & 0xFFFFFFFF

    def _terminate(self) -> None:
        """Ends a talkspurt whose last frame has gone."""
        if self.talking and self.stream and self.state == "joined":
            self.clock_frame += 1
            self._send_voice(self.clock_frame, 255, True, b"")

    def _said(self) -> None:
        spurts = [{**one, "crc32": f"{one['crc']:08x}"} for one in self.said]
        for one in spurts:
            del one["crc"]
        self.said = []
        self.emit("said", spurts=spurts)

    def _stop_talking(self) -> None:
        """Gives up what was not said yet."""
        unsaid = len(self.talk)
        self.talk.clear()
        if self.state == "joined" and self.stream and not self.stream.broken:
            self._terminate()
        self.talking = False
        if self.said or unsaid:
            self._said()

    def set_muted(self, muted: bool, again: bool = False) -> None:
        self._need_session()
        if muted:
            self._stop_talking()
        self.muted, self.mutes = muted, self.mutes + 1
        self.emit("set_muted", muted=muted, after=self.last_seq, again=again)
        self._send("SetMuted", muted=muted, after=self.last_seq)

    # Pings and the roster

    def ping(self) -> int:
        """Also outside a session. Returns the number; `pongs` counts the answers."""
        if not self.stream:
            raise ClientError("there is no stream")
        return self._ping(asked=True)

    def _ping(self, asked: bool = False) -> int:
        self.ping_number = (self.ping_number + 1) & 0xFFFFFFFF
        self.pings[self.ping_number] = (self.clock(), self.mutes, self._session(), asked)
        while len(self.pings) > PINGS_MOST:
            self.pings.popitem(last=False)
        self._send("Ping", number=self.ping_number)
        return self.ping_number

    def _session(self) -> int | None:
        return self.sessions if self.state == "joined" else None

    def ask_for_roster(self) -> None:
        self._need_session()
        self.roster.complete = False
        self.roster.want("asked", self.clock())

    # Reading

    def _pong(self, value: Packet) -> None:
        number = value["number"]
        sent = self.pings.get(number)
        if not sent:
            return self.emit("ignored", packet="Pong", why="no Ping has its number")
        # An answer takes the place of those to Pings before it.
        while self.pings:
            if self.pings.popitem(last=False)[0] == number:
                break
        at, mutes, session, asked = sent
        self.pongs += 1
        rtt_ms = round((self.clock() - at) * 1000, 1)
        self.emit("pong", asked=asked, rtt_ms=rtt_ms, **{k: value[k] for k in
                  ("number", "revision", "flags")})  # fmt: skip
        # Outside a session the revision is 0, and the flags mean nothing.
        if self.state != "joined" or session != self.sessions or not value["revision"]:
            return None
        self.roster.pong(value["revision"], self.clock())
        if mutes == self.mutes and bool(value["flags"] & MUTED) != self.muted:
            self.set_muted(self.muted, again=True)
        return None

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
            self._over(CLOSED, "stream", text=stream.broken)

    def _chunk(self, stream: Stream, data: bytes) -> None:
        for packet in stream.packets(data):
            if packet is None:
                self._end(NO_PACKETS, "too many bytes are no packets")
            else:
                self._packet(packet)
            if self.stream is not stream:
                return

    def _hears(self) -> None:
        """A valid packet is a sign of life, whatever it says."""
        self.heard_at, self.quiet_ping_at = self.clock(), None

    def _packet(self, packet: bytes) -> None:
        try:
            value = wire.decode(wire.SERVER, packet)
        except wire.OtherVersion as other:
            self._hears()
            self._other_version(other)
            return
        except wire.Malformed as error:
            self.emit("error", message=f"a malformed packet: {error}: {packet[:32].hex(' ')}")
            self._end(MALFORMED, f"malformed: {error}")
            return
        except wire.UnknownCritical:
            self._end(NOT_FOR_NOW, f"unknown packet {packet[0]:#04x}")
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
        elif kind == "Voice":
            self.listener.packet(value, self.clock())
        elif kind == "Roster":
            self.roster.page(value, self.clock())
            self._recount()
        elif kind == "Count":
            self.participants = value["participants"]
            self.emit("count", participants=self.participants)
        else:
            self.roster.change(value, self.clock())
            self._recount()

    def _recount(self) -> None:
        if self.roster.complete and self.roster.wanted:
            self.participants = len(self.roster.entries)

    def _other_version(self, other: wire.OtherVersion) -> None:
        version = other.version
        mine = self.hello and other.nonce == bytes.fromhex(self.hello["nonce"])
        if self.state == "waiting" and mine:
            text = f"the server answers with version {version}"
            self._over(BAD_VERSION, "server", text=text, event="rejected", server_version=version)
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
            self.participants = value["participants"]
            self.roster.welcome_again(value["revision"], self.clock())
            self.emit("welcome_again", revision=value["revision"], participants=self.participants)
        else:
            self.emit("ignored", packet="Welcome", why="it answers no Hello of now")

    # The stream that a resume has left

    def _drop_old(self) -> None:
        if self.old:
            self.old.close()
        self.old = None

    def _read_old(self) -> None:
        old = self.old
        data = old.read()
        for packet in () if old.quiet else old.packets(data):
            if packet is None:
                break
            try:
                value = wire.decode(wire.SERVER, packet)
            except (wire.Malformed, wire.OtherVersion, wire.Skipped, wire.UnknownCritical):
                continue
            if value["packet"] in ("Bye", "Reject"):
                self.emit("old_stream", packet=value["packet"], reason=value["reason"])
        if old.broken or self.clock() > self.old_until:
            if not old.quiet:
                self.emit("old_stream", packet=None, closed=bool(old.broken))
            self._drop_old()

    # Time

    def poll(self, timeout: float = 0.05, also: Sequence[int] = ()) -> list[int]:
        """Reads, writes, and does what is due. Returns which of `also` can be read."""
        self._timers()
        timeout = max(0.0, min(timeout, self._next_due() - self.clock()))
        streams = [one for one in (self.stream, self.old) if one]
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
        if self.old and (self.old.sock in ready or self.clock() > self.old_until):
            self._read_old()
        if self.stream and (self.stream.sock in ready or self.stream.broken):
            self._read()
        self._timers()
        return [one for one in also if one in ready]

    def _next_due(self) -> float:
        due = min(self.give_up_at, self.retry_at, self.ping_at)
        if self.state == "joined" and self.talk:
            due = min(due, self.joined_at + self.talk[0][0] * self.frame_s)
        if self.state == "joined" and self.listener.spurt:
            due = min(due, self.clock() + 0.01)
        return due

    def _timers(self) -> None:
        now = self.clock()
        if self.answer is not None and self.stream:
            number, self.answer = self.answer, None
            self.emit("pinged", number=number)
            self._send("Pong", number=number)
        if self.state == "waiting":
            if now >= self.give_up_at:
                self._over(CLOSED, "client", text="no answer to the Hello")
            elif now >= self.repeat_at:
                self.repeat_at = now + REPEAT_S
                if self.options.lossy:
                    self.repeat()
        elif self.state == "backoff" and now >= self.retry_at:
            self._try_to_join()
        elif self.state == "joined":
            self._timers_in_session(now)

    def _timers_in_session(self, now: float) -> None:
        self._speak(now)
        self.listener.tick(now)
        if now - self.heard_at >= self.welcome["idle_timeout_ms"] / 1000:
            self._end(IDLE, "nothing was heard")
            return
        if now >= self.ping_at:
            self.ping_at = now + self._ping_every()
            self._ping()
        self._watch(now)
        why = self.roster.due(now) if self.state == "joined" else None
        if why:
            self.emit("roster_request", why=why)
            self._send("RosterRequest")

    def _watch(self, now: float) -> None:
        """A client that sends voice and hears nothing pings every second, and gives up after 3."""
        if now - self.frames_sent_at > 1.0 and self.quiet_ping_at is None:
            return
        quiet_since = max(self.heard_at, self.joined_at)
        if self.quiet_ping_at is None:
            if now - quiet_since >= QUIET_PING_S:
                self.quiet_ping_at = self.last_quiet_ping = now
                self._ping()
        elif now - self.quiet_ping_at >= QUIET_BREAK_S:
            self._over(CLOSED, "client", text="voice goes out and nothing comes")
        elif now - self.last_quiet_ping >= QUIET_PING_S:
            self.last_quiet_ping = now
            self._ping()


# ------------------------------------------------------------------------------------------------
# Scripts


class Script:
    """Does what words say. `run` returns when the words of a line are done."""

    def __init__(self, client: Client, deadline: float, also: Sequence[int] = ()) -> None:
        self.client, self.deadline, self.also = client, deadline, also
        self.input = bytearray()
        self.ended = False

    def poll(self, timeout: float = 0.05) -> None:
        if self.client.clock() > self.deadline:
            raise ClientError("the time for the whole script is over")
        for source in self.client.poll(timeout, self.also):
            data = os.read(source, 4096)
            self.input += data
            if len(self.input) > 1 << 16:
                raise ClientError("more than 65,536 bytes of script wait")
            if not data:
                self.ended, self.also = True, ()

    def wait(self, so: Callable[[], bool], seconds: float, what: str) -> None:
        until = self.client.clock() + seconds
        while not so():
            if self.client.clock() >= until:
                raise ClientError(f"{what}: not so after {seconds:g} s")
            self.poll()

    def run(self, line: str) -> None:
        for action in parsed(line):
            self.do(*action)
            self.client.emit("done", action=" ".join(action))

    def do(self, word: str, *rest: str) -> None:
        method = getattr(self, "do_" + word.replace("-", "_"), None)
        if not method:
            raise ClientError(f"{word!r} is no word of a script; --words lists them")
        try:
            return method(*rest)
        except TypeError as error:
            if "positional argument" not in str(error):
                raise
            raise ClientError(f"{word}: wrong number of words behind it") from error

    def _until_joined(self) -> None:
        client, seconds = self.client, self.deadline - self.client.clock()
        self.wait(lambda: client.state == "joined" or client.failure, seconds, "joining")
        if client.failure:
            raise ClientError(f"not joined: {client.failure}")

    def do_connect(self) -> None:
        self.client.connect()

    def do_join(self) -> None:
        self.client.join()
        self._until_joined()

    def do_resume(self) -> None:
        self.client.resume()
        self._until_joined()

    def do_resume_here(self) -> None:
        self.client.again(with_token=True)
        self._until_joined()

    def do_rejoin(self) -> None:
        self.client.again(with_token=False)
        self._until_joined()

    def do_repeat(self) -> None:
        self.client.repeat()

    def do_drop(self) -> None:
        self.client.drop()

    def do_leave(self) -> None:
        self.client.leave()

    def do_say(self, path: str) -> None:
        self.do_start("say", path)
        self._until_said()

    def do_tone(self, hertz: str, milliseconds: str, peak: str = "10000") -> None:
        self.do_start("tone", hertz, milliseconds, peak)
        self._until_said()

    def do_start(self, word: str, *rest: str) -> None:
        self.client._need_session()
        rate = self.client.welcome["rate"]
        if word == "say" and len(rest) == 1:
            samples = read_wav(rest[0], rate)
        elif word == "tone" and len(rest) in (2, 3):
            hertz, milliseconds = number(rest[0], 0, rate), int(number(rest[1], 0, 600000))
            peak = number(rest[2] if len(rest) > 2 else "10000", 0, 32767)
            samples = tone(hertz, milliseconds, peak, rate)
        else:
            raise ClientError("start needs `say FILE` or `tone HZ MS [PEAK]` behind it")
        self.client.say(samples)

    def _until_said(self) -> None:
        client, session = self.client, self.client.sessions
        while client.talk:
            self.poll()
        if client.state != "joined" or client.sessions != session:
            raise ClientError("the session ended while something was said")

    def do_mute(self) -> None:
        self.client.set_muted(True)

    def do_unmute(self) -> None:
        self.client.set_muted(False)

    def do_ping(self) -> None:
        before = self.client.pongs
        sent = self.client.ping()
        gone = lambda: sent not in self.client.pings and self.client.pongs > before  # noqa: E731
        self.wait(gone, 5, "a Pong")

    def do_roster(self) -> None:
        self.client.ask_for_roster()
        self.wait(lambda: self.client.roster.complete, 10, "a roster")

    def do_wait(self, seconds: str) -> None:
        until = self.client.clock() + number(seconds, 0, 86400)
        while self.client.clock() < until:
            self.poll(min(0.05, until - self.client.clock()))

    def do_until(self, what: str, *rest: str) -> None:
        client = self.client
        takes = 0 if what == "ended" else 1
        if len(rest) not in (takes, takes + 1):
            raise ClientError(f"until {what}: wrong number of words behind it")
        seconds = number(rest[takes] if len(rest) > takes else "10", 0, 86400)
        arg = rest[0] if takes else ""

        def flag(bit: int, value: bool) -> bool:
            one = client.roster.named(arg) if client.roster else None
            return bool(one) and bool(one["flags"] & bit) == value

        def named() -> None:
            return bool(client.roster and client.roster.complete and client.roster.named(arg))

        if what in ("participants", "heard"):
            count = number(arg, 0, 1 << 32)
        if what == "event":
            seen, before = self.client._emit.counts, dict(self.client._emit.counts)
        endings = client.endings
        conditions = {
            "participants": lambda: client.participants == count,
            "heard": lambda: client.heard >= count,
            "present": named,
            "gone": lambda: bool(client.roster and client.roster.complete and not named()),
            "talking": lambda: flag(TALKING, True),
            "silent": lambda: flag(TALKING, False),
            "muted": lambda: flag(MUTED, True),
            "event": lambda: seen.get(arg, 0) > before.get(arg, 0),
            "ended": lambda: client.endings > endings or client.state == "closed",
        }
        if what not in conditions:
            raise ClientError(f"until {what!r} is not known; --words lists what is")
        self.wait(conditions[what], seconds, " ".join(("until", what, arg)).strip())

    def do_save(self, path: str) -> None:
        self.save(path)

    def save(self, path: str) -> None:
        recording = self.client.recording
        write_wav(path, bytes(recording.data), recording.rate or self.client.options.rates[0])

    def do_raw(self, *digits: str) -> None:
        self.client._send_packet(hexadecimal(digits))

    def do_noise(self, *digits: str) -> None:
        if not self.client.stream:
            raise ClientError("there is no stream")
        self.client.stream.send_raw(hexadecimal(digits))


def parsed(line: str) -> list[list[str]]:
    """Actions, each a list of words: `join; say "my file.wav"`. A # begins a comment."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=";")
    lexer.whitespace_split = True
    actions = [[]]
    try:
        for word in lexer:
            if set(word) == {";"}:
                actions.append([])
            else:
                actions[-1].append(word)
    except ValueError as error:
        raise ClientError(f"the script cannot be read: {error}") from error
    return [action for action in actions if action]


def number(text: str, least: float, most: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not least <= value <= most:
        raise ClientError(f"{text!r} is no number from {least} to {most}")
    return value


def hexadecimal(digits: Sequence[str]) -> bytes:
    try:
        return bytes.fromhex("".join(digits))
    except ValueError as error:
        raise ClientError(f"no hexadecimal digits: {' '.join(digits)}") from error


class Printer:
    """Prints events, and counts them."""

    def __init__(self, most: int) -> None:
        self.began, self.most = time.monotonic(), most
        self.counts = collections.Counter()

    def __call__(self, event: str, fields: dict[str, Any]) -> None:
        self.counts[event] += 1
        total = self.counts.total()
        if total <= self.most:
            self.print(event, fields)
        elif total == self.most + 1:
            raise ClientError(f"more than {self.most} events")

    def print(self, event: str, fields: dict[str, Any]) -> None:
        line = {"event": event, "t": round((time.monotonic() - self.began) * 1000), **fields}
        print(json.dumps(line, ensure_ascii=True), flush=True)


def numbers(text: str) -> list[int]:
    return [int(one) for one in text.split(",") if one]


def address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise argparse.ArgumentTypeError("HOST:PORT")
    return host.strip("[]"), int(port)


def parser() -> argparse.ArgumentParser:
    arguments = argparse.ArgumentParser(
        description="A client of Talkspurt's protocol that does what a script says."
    )
    add = arguments.add_argument
    add("--server", type=address, metavar="HOST:PORT")
    add("--room", default="test")
    add("--name", default="python")
    add("--codecs-up", type=numbers, default=[PCM16, ADPCM], metavar="0,1", help="0: PCM16")
    add("--codecs-down", type=numbers, default=[PCM16, ADPCM], metavar="0,1", help="1: ADPCM")
    add("--rates", type=numbers, default=[16000], metavar="16000,..")
    add("--max-packet", type=int, default=wire.MAX_PACKET_HOST)
    add("--no-roster", dest="roster", action="store_false", help="only the number")
    add("--muted", action="store_true", help="join muted")
    add("--lossy", action="store_true", help="repeat the Hello after each second")
    add("--attempts", type=int, default=3, help="failures in a row before it gives up")
    add("--pre-roll", type=int, default=0, metavar="MS",
        help="sends the first MS of each talkspurt at once, up to 200")  # fmt: skip
    add("--terminator", choices=("last", "empty"), default="last",
        help="on the last frame, or in a packet of its own")  # fmt: skip
    add("--seed", type=int, default=0, help="of nonces, first numbers and waiting times")
    add("--record", metavar="FILE", help="a WAV file for what is heard, written at the end")
    add("--record-s", type=int, default=600, help="the most seconds that are kept")
    add("--timeout", type=float, default=120, help="seconds for the whole script")
    add("--max-events", type=int, default=100000)
    add("--traceback", action="store_true", help="show faults of this program in full")
    add("--words", action="store_true", help="list the words of scripts")
    add("--events", action="store_true", help="list the events")
    add("script", nargs="*", help="the words of the script; without: standard input")
    return arguments


def options(*line: str) -> argparse.Namespace:
    """Options for a Client, as the command line gives them."""
    found = parser().parse_args(line)
    found.host, found.port = found.server or ("127.0.0.1", 8255)
    return found


def checked(found: argparse.Namespace) -> None:
    if not found.server:
        raise ClientError("--server HOST:PORT is missing")
    if any(not 0 <= one <= 255 for one in found.codecs_up + found.codecs_down):
        raise ClientError("codecs are numbers from 0 to 255")
    if any(not 0 <= one < 1 << 32 for one in found.rates) or not 0 <= found.max_packet < 1 << 16:
        raise ClientError("a rate or max_packet is out of range")
    for text in (found.room, found.name):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ClientError("room and name must be UTF-8") from error


def run(found: argparse.Namespace, printer: Printer) -> int:
    client = Client(found, printer)
    also = () if found.script else (sys.stdin.fileno(),)
    script = Script(client, time.monotonic() + found.timeout, also)
    try:
        if found.script:
            script.run(" ".join(found.script))
        while not found.script:
            line, end, rest = bytes(script.input).partition(b"\n")
            if end or script.ended:
                script.input = bytearray(rest)
                script.run(line.decode(errors="replace"))
            if script.ended and not script.input:
                break
            if not end:
                script.poll()
        return 0
    finally:
        client._end_listening()
        if found.record:
            script.save(found.record)
        client.close()


def main() -> int:
    found = options(*sys.argv[1:])
    if found.words or found.events:
        print(WORDS if found.words else EVENTS, end="")
        return 0
    printer = Printer(found.max_events)
    try:
        checked(found)
    except ClientError as error:
        print(f"client.py: {error}", file=sys.stderr)
        return 2
    try:
        return run(found, printer)
    except ClientError as error:
        printer.print("error", {"message": str(error)})
        return 1
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")
        return 1
    except KeyboardInterrupt:
        return 1
    except Exception as error:  # a fault here must not look like a fault of the server
        if found.traceback:
            raise
        message = f"a fault of this program: {type(error).__name__}: {error}"
        printer.print("error", {"message": message})
        return 3


if __name__ == "__main__":
    sys.exit(main())
