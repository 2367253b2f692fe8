"""Voice that goes out: talkspurts, their numbers, and when each frame is due."""

from __future__ import annotations

import argparse
import collections
import math
import random
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import voice
from events import ClientError, Clock, Emit
from joining import DELAY_REPORTS
from packets import Packet
from sound import TALK_MOST_S, bytes_of, talkspurts


class Talker:
    """What a participant says in one session: frames in talkspurts, each with its numbers."""

    def __init__(
        self,
        welcome: Packet,
        options: argparse.Namespace,
        rng: random.Random,
        send: Callable[..., None],
        emit: Emit,
        clock: Clock,
    ) -> None:
        self.options, self.send, self.emit, self.clock = options, send, emit, clock
        self.codec, self.rate = welcome["codec_up"], welcome["rate"]
        self.frame_ms = welcome["frame_ms"]
        self.samples = self.rate * self.frame_ms // 1000
        self.units = voice.timestamp_units(self.frame_ms)
        self.encoder = voice.AdpcmEncoder()
        self.seq, self.timestamp = rng.getrandbits(16), rng.getrandbits(32)
        self.began_at = clock()
        self.clock_frame = -1
        # Frames that are not due yet: when, their place on the clock, samples, whether the last.
        self.queue: collections.deque[tuple[float, int, Sequence[int], bool]] = collections.deque()
        self.talking = False
        self.said: list[dict[str, Any]] = []
        self.last_seq: int | None = None
        self.sent_at = -math.inf
        # What the server said last of when frames should begin, and the last packet before they
        # were shifted.
        self.shift_us = 0
        self.shifted_after: int | None = None
        # What the server is to be told of how long the voice takes to it.
        reports = welcome["features"] & DELAY_REPORTS
        self.delay_ms: int | None = options.delay_ms if reports else None

    def say(self, samples: Sequence[int]) -> None:
        """Queues samples as talkspurts. Call `speak` until `queue` is empty."""
        if self.queue:
            raise ClientError("something is being said already")
        if len(samples) > TALK_MOST_S * self.rate:
            raise ClientError(f"more than {TALK_MOST_S} s of samples")
        frames = [samples[at : at + self.samples] for at in range(0, len(samples), self.samples)]
        if frames:
            frames[-1] = list(frames[-1]) + [0] * (self.samples - len(frames[-1]))
        self._shift()
        frame_s = self.frame_ms / 1000
        now = int((self.clock() - self.began_at) / frame_s) + 1
        first, stamp = max(now, self.clock_frame + 1), 0
        hang, early = (ms // self.frame_ms for ms in (200, self.options.pre_roll))
        for begin, end in talkspurts(frames, hang):
            # The first frames are from before the gate opened, and go out with the one that did.
            opened = min(begin + early, end - 1)
            stamp = max(first + opened, stamp)
            for at in range(begin, end):
                due = self.began_at + (first + max(at, opened)) * frame_s
                self.queue.append((due, stamp, frames[at], at == end - 1))
                stamp += 1
        if not self.queue:
            self.emit("said", spurts=[])

    def hint(self, seq: int, shift_us: int) -> None:
        """Takes the server's word of when frames should begin. `say` follows it."""
        why = self._fault_of_hint(seq, shift_us)
        self.emit("tick_hint", seq=seq, shift_us=shift_us, why=why)
        if why is None:
            self.shift_us = shift_us

    def _fault_of_hint(self, seq: int, shift_us: int) -> str | None:
        if not self.options.tick_hints:
            return "not asked for"
        if not 0 < shift_us < 1000 * self.frame_ms:
            return "no part of a frame"
        if self.last_seq is None or voice.signed(self.last_seq - seq, 16) < 0:
            return "no packet has this seq"
        if self.shifted_after is not None and voice.signed(seq - self.shifted_after, 16) <= 0:
            return "from before the last shift"
        return None

    def _shift(self) -> None:
        """Has all frames begin later, and moves the clock on by as much."""
        if self.shift_us:
            self.emit("shifted", shift_us=self.shift_us)
            self.began_at += self.shift_us / 1_000_000
            self.timestamp += (self.shift_us + 1250) // 2500
            self.shift_us, self.shifted_after = 0, self.last_seq

    def due(self) -> float:
        """When `speak` has something to do."""
        return self.queue[0][0] if self.queue else math.inf

    def speak(self, now: float) -> None:
        """Sends the frames that are due."""
        while self.queue and now >= self.queue[0][0]:
            _, at, samples, last = self.queue.popleft()
            self._send_frame(at, samples, last and self.options.terminator == "last")
            if last:
                self.terminate()
            if not self.queue:
                self._tell()

    def _send_frame(self, at: int, samples: Sequence[int], terminator: bool) -> None:
        level = min(voice.level(voice.rms(samples)), 255)
        if self.codec == voice.ADPCM:
            payload = self.encoder.encode(samples)
            heard = bytes_of(voice.adpcm_decode(payload))
        else:
            payload = heard = bytes_of(samples)
        self.clock_frame = at
        if self.delay_ms is not None:
            self.send("DelayReport", delay_ms=self.delay_ms)
            self.delay_ms = None
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
        self.sent_at = self.clock()
        if terminator:
            self.talking = False
        self.send("Voice", seq=self.last_seq, timestamp=self._time(at), level=level, stream=0,
                  terminator=terminator, payload=payload.hex())  # fmt: skip

    def _time(self, at: int) -> int:
        return (self.timestamp + at * self.units) & 0xFFFFFFFF

    def terminate(self) -> None:
        """Ends a talkspurt whose last frame has gone."""
        if self.talking:
            self.clock_frame += 1
            self._send_voice(self.clock_frame, 255, True, b"")

    def _tell(self) -> None:
        spurts = [{**one, "crc32": f"{one['crc']:08x}"} for one in self.said]
        for one in spurts:
            del one["crc"]
        self.said = []
        self.emit("said", spurts=spurts)

    def stop(self, can_send: bool) -> None:
        """Gives up what was not said yet."""
        unsaid = len(self.queue)
        self.queue.clear()
        if can_send:
            self.terminate()
        self.talking = False
        if self.said or unsaid:
            self._tell()
