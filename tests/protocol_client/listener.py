"""Voice that comes in: order, gaps, talkspurts, and what was heard of them."""

from __future__ import annotations

import math
import zlib

import voice
from events import Emit
from packets import Packet
from sound import bytes_of, samples_of
from voice import signed

# A talkspurt without a terminator ends when nothing has come for so long.
SPURT_END_S = 0.1
# A longer gap begins another talkspurt.
GAP_IN_SPURT_S = 1.0
# The most packets that wait for earlier ones.
PENDING_MOST = 128


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
        self.units = voice.timestamp_units(frame_ms)
        self.samples = rate * frame_ms // 1000
        self.payload = voice.payload_length(codec, self.samples)
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
        if self.codec == voice.ADPCM and payload and payload[2] > 88:
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
        if self.codec == voice.ADPCM:
            samples = voice.adpcm_decode(payload)
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
