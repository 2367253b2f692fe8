#!/usr/bin/env python3
"""The packets of Talkspurt's protocol, version 2, written from docs/PROTOCOL.md alone.

Encoder and decoder of every packet, CRC-32, COBS, the deframer, the codecs and the numbers that
the document defines. Standard library only. As a program it checks every example of the document:

    python3 tests/protocol_client/packets.py --check docs/PROTOCOL.md

A packet is a dict, in the form of the document's `value` lines: texts are strings, bytes are
strings of hexadecimal digits, options are a value or None.
"""

import argparse
import contextlib
import json
import math
import re
import sys
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

VERSION = 2
CLIENT, SERVER = "client", "server"
# The longest packet that a host takes, and that every side takes.
MAX_PACKET_HOST, MAX_PACKET_LEAST = 1280, 352
ROSTER_PAGE = 8


class Malformed(Exception):
    """Bytes that are no packet of this protocol."""


class OtherVersion(Exception):
    """A Hello or Welcome of another version. `nonce` is zeros if that version has none."""

    def __init__(self, version: int, nonce: bytes) -> None:
        super().__init__(f"a packet of version {version}")
        self.version, self.nonce = version, nonce


class Skipped(Exception):
    """A packet with an unknown number of the skippable range: it is ignored."""


class UnknownCritical(Exception):
    """A packet with an unknown number of the critical range: it ends the session."""


# ------------------------------------------------------------------------------------------------
# Types. Each has write(value) -> bytes, read(reader) -> value, and the most bytes that it takes.


class Reader:
    """Takes fields off the front of a packet."""

    def __init__(self, data: bytes, sender: str) -> None:
        self.data, self.at, self.sender = data, 0, sender

    def take(self, count: int) -> bytes:
        if count > len(self.data) - self.at:
            raise Malformed("cut short")
        self.at += count
        return self.data[self.at - count : self.at]


class Varint:
    """An unsigned number, seven bits a byte, the least significant first, in its shortest form."""

    def __init__(self, bits: int) -> None:
        self.bits = bits
        self.most = -(-bits // 7)

    def write(self, value: Any) -> bytes:
        if not 0 <= value < 1 << self.bits:
            raise ValueError(f"{value} is no u{self.bits}")
        out = bytearray()
        while value > 0x7F:
            out.append(value & 0x7F | 0x80)
            value >>= 7
        out.append(value)
        return bytes(out)

    def read(self, reader: Reader) -> Any:
        value = 0
        for place in range(self.most):
            byte = reader.take(1)[0]
            value |= (byte & 0x7F) << 7 * place
            if byte < 0x80:
                if byte == 0 and place > 0:
                    raise Malformed("an overlong varint")
                if value >> self.bits:
                    raise Malformed(f"a varint beyond u{self.bits}")
                return value
        raise Malformed("a varint too long")


class Fixed:
    """An unsigned number in so many bytes, the least significant first."""

    def __init__(self, size: int) -> None:
        self.most = size

    def write(self, value: Any) -> bytes:
        return value.to_bytes(self.most, "little")

    def read(self, reader: Reader) -> Any:
        return int.from_bytes(reader.take(self.most), "little")


class Bool:
    most = 1

    def write(self, value: Any) -> bytes:
        return b"\1" if value else b"\0"

    def read(self, reader: Reader) -> Any:
        byte = reader.take(1)[0]
        if byte > 1:
            raise Malformed("neither false nor true")
        return byte == 1


class Array:
    """So many bytes, without a length."""

    def __init__(self, size: int) -> None:
        self.most = size

    def write(self, value: Any) -> bytes:
        value = bytes.fromhex(value)
        if len(value) != self.most:
            raise ValueError(f"{len(value)} bytes, not {self.most}")
        return value

    def read(self, reader: Reader) -> Any:
        return reader.take(self.most).hex(" ")


class Bytes:
    """A length, and so many bytes. `judged`: what is too long is refused, but not malformed."""

    def __init__(self, limit: int, judged: bool = False) -> None:
        self.limit, self.judged = limit, judged
        self.most = len(U16.write(limit)) + limit

    def write(self, value: Any) -> bytes:
        value = bytes.fromhex(value)
        return U16.write(len(value)) + value

    def read(self, reader: Reader) -> Any:
        return self.read_raw(reader).hex(" ")

    def read_raw(self, reader: Reader) -> bytes:
        length = U16.read(reader)
        if length > self.limit and not self.judged:
            raise Malformed("too many bytes")
        return reader.take(length)


class Token(Bytes):
    """A length, and so many bytes or none. Any other length counts as none."""

    def __init__(self, size: int) -> None:
        super().__init__(size, judged=True)

    def read(self, reader: Reader) -> str:
        raw = self.read_raw(reader)
        return raw.hex(" ") if len(raw) == self.limit else ""


class Name(Bytes):
    """A length in bytes, and so many bytes of UTF-8. What is too long is refused."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit, judged=True)

    def write(self, value: str) -> bytes:
        data = value.encode()
        return U16.write(len(data)) + data

    def read(self, reader: Reader) -> str:
        return self.decoded(self.read_raw(reader), reader.sender)

    @staticmethod
    def decoded(raw: bytes, sender: str) -> str:
        """The text. A client replaces what is not UTF-8."""
        try:
            return raw.decode(errors="strict" if sender == CLIENT else "replace")
        except UnicodeDecodeError as error:
            raise Malformed("not UTF-8") from error


class Text(Name):
    """The same, but what is too long is cut, between two characters."""

    def read(self, reader: Reader) -> str:
        text = super().read(reader)
        return text.encode()[: self.limit].decode(errors="ignore")


class Option:
    """00, or 01 and the value."""

    def __init__(self, of: Any) -> None:
        self.of = of
        self.most = 1 + of.most

    def write(self, value: Any) -> bytes:
        return b"\0" if value is None else b"\1" + self.of.write(value)

    def read(self, reader: Reader) -> Any:
        return self.of.read(reader) if BOOL.read(reader) else None


class List:
    """A count, and so many elements."""

    def __init__(self, of: Any, limit: int) -> None:
        self.of, self.limit = of, limit
        self.most = 1 + limit * of.most

    def write(self, value: Any) -> bytes:
        return U16.write(len(value)) + b"".join(self.of.write(one) for one in value)

    def read(self, reader: Reader) -> Any:
        count = U16.read(reader)
        if count > self.limit:
            raise Malformed("too many elements")
        return [self.of.read(reader) for _ in range(count)]


class Fields:
    """Named fields, one after the other."""

    def __init__(self, *fields: tuple[str, Any]) -> None:
        self.fields = fields
        self.most = sum(kind.most for _, kind in fields)

    def write(self, value: Any) -> bytes:
        return b"".join(kind.write(value[name]) for name, kind in self.fields)

    def read(self, reader: Reader) -> Any:
        return {name: kind.read(reader) for name, kind in self.fields}


class Sized:
    """Fields behind their length in bytes: bytes after the last known field are ignored."""

    def __init__(self, of: Any) -> None:
        self.of = of
        self.most = 1 + of.most

    def write(self, value: Any) -> bytes:
        content = self.of.write(value)
        return U16.write(len(content)) + content

    def read(self, reader: Reader) -> Any:
        content = reader.take(U16.read(reader))
        return self.of.read(Reader(content, reader.sender))


class Marks:
    """The byte of Voice that names its stream and marks the end of a talkspurt."""

    most = 1

    def write(self, value: Any) -> bytes:
        if not 0 <= value["stream"] <= 15:
            raise ValueError("a stream is 0 to 15")
        return bytes([value["terminator"] << 7 | value["stream"]])

    def read(self, reader: Reader) -> Any:
        byte = reader.take(1)[0]
        return {"stream": byte & 0x0F, "terminator": byte >= 0x80}


U8, U16, U32, BOOL = Fixed(1), Varint(16), Varint(32), Bool()
SEQ, TIMESTAMP = Fixed(2), Fixed(4)

ENTRY = Sized(Fields(("id", U32), ("flags", U32), ("name", Text(32)), ("pseudonym", Token(8))))

# ------------------------------------------------------------------------------------------------
# Packets


class VoiceFields(Fields):
    """As other fields, but stream and terminator share a byte."""

    def __init__(self) -> None:
        super().__init__(
            ("seq", SEQ),
            ("timestamp", TIMESTAMP),
            ("level", U8),
            ("marks", Marks()),
            ("payload", Bytes(MAX_PACKET_HOST - 11)),
        )

    def write(self, value: Any) -> bytes:
        return super().write({**value, "marks": value})

    def read(self, reader: Reader) -> Any:
        value = super().read(reader)
        value.update(value.pop("marks"))
        return value


HELLO = Fields(
    ("version", U8),
    ("nonce", Array(8)),
    ("max_packet", U16),
    ("features", U32),
    ("resume", Token(16)),
    ("room", Name(64)),
    ("name", Name(32)),
    ("codecs_up", Bytes(8)),
    ("codecs_down", Bytes(8)),
    ("rates", List(U32, 8)),
    ("flags", U32),
    ("roster", U8),
    ("credentials", Bytes(64, judged=True)),
)
REJECT = Fields(
    ("reason", U8),
    ("version", U8),
    ("nonce", Array(8)),
    ("retry_ms", U32),
    ("text", Text(160)),
)
WELCOME = Fields(
    ("version", U8),
    ("nonce", Array(8)),
    ("max_packet", U16),
    ("features", U32),
    ("resume", Token(16)),
    ("id", U32),
    ("codec_up", U8),
    ("codec_down", U8),
    ("rate", U32),
    ("frame_ms", U8),
    ("idle_timeout_ms", U32),
    ("revision", U32),
    ("participants", U32),
)
VOICE = VoiceFields()
SET_MUTED = Fields(("muted", BOOL), ("after", Option(SEQ)))
PING = Fields(("number", U32))
CLIENT_PONG = Fields(("number", U32))
SERVER_PONG = Fields(("number", U32), ("revision", U32), ("flags", U32))
BYE = Fields(("reason", U8), ("after", Option(SEQ)), ("retry_ms", U32), ("text", Text(160)))
ROSTER = Fields(
    ("revision", U32), ("first", U32), ("total", U32), ("entries", List(ENTRY, ROSTER_PAGE))
)
JOINED = Fields(("revision", U32), ("entry", ENTRY))
LEFT = Fields(("revision", U32), ("id", U32), ("reason", U8))
STATE = Fields(("revision", U32), ("id", U32), ("flags", U32))
COUNT = Fields(("participants", U32))

# By sender and number: the name, and the fields.
PACKETS = {
    CLIENT: {
        0x00: ("Hello", HELLO),
        0x03: ("Voice", VOICE),
        0x04: ("SetMuted", SET_MUTED),
        0x05: ("Ping", PING),
        0x06: ("Pong", CLIENT_PONG),
        0x07: ("Bye", BYE),
        0x08: ("RosterRequest", Fields()),
    },
    SERVER: {
        0x01: ("Reject", REJECT),
        0x02: ("Welcome", WELCOME),
        0x03: ("Voice", VOICE),
        0x05: ("Ping", PING),
        0x06: ("Pong", SERVER_PONG),
        0x07: ("Bye", BYE),
        0x09: ("Roster", ROSTER),
        0x0A: ("Joined", JOINED),
        0x0B: ("Left", LEFT),
        0x0C: ("State", STATE),
        0x0D: ("Count", COUNT),
    },
}


def encode(sender: str, value: dict[str, Any]) -> bytes:
    """Writes a packet: {"packet": NAME, FIELD: VALUE, ...} to bytes."""
    for number, (name, fields) in PACKETS[sender].items():
        if name == value["packet"]:
            return bytes([number]) + fields.write(value)
    raise ValueError(f"a {sender} sends no {value['packet']}")


def decode(sender: str, packet: bytes) -> dict[str, Any]:
    """Reads a packet of that side. Bytes after the last known field are ignored."""
    if not packet or packet[0] > 0x7E:
        raise Malformed("no number of a packet")
    number = packet[0]
    if number not in PACKETS[sender]:
        raise (UnknownCritical if number < 0x40 else Skipped)(f"packet {number:#04x}")
    name, fields = PACKETS[sender][number]
    if name in ("Hello", "Welcome") and len(packet) > 1 and packet[1] != VERSION:
        has_nonce = packet[1] >= 2 and len(packet) >= 10
        raise OtherVersion(packet[1], packet[2:10] if has_nonce else bytes(8))
    value = {"packet": name, **fields.read(Reader(packet[1:], sender))}
    if name == "Hello" and not any(bytes.fromhex(value["nonce"])):
        raise Malformed("a nonce of zeros")
    return value


# ------------------------------------------------------------------------------------------------
# The stream


def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0xEDB88320 if byte & 1 else 0)
        table.append(byte)
    return table


CRC_TABLE = _crc_table()


def crc32(data: bytes) -> int:
    """CRC-32/ISO-HDLC. 0xEDB88320 is the polynomial 0x04C11DB7 with its bits reflected."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def cobs_encode(data: bytes) -> bytes:
    """Without the zero that ends a packet."""
    out, group = bytearray(), bytearray()
    for byte in data:
        if byte:
            group.append(byte)
        if not byte or len(group) == 254:
            out += bytes([len(group) + 1]) + group
            group.clear()
    return bytes(out + bytes([len(group) + 1]) + group)


def cobs_decode(encoded: bytes) -> bytes:
    """Takes both forms of an end behind 254 bytes without a zero."""
    out, at = bytearray(), 0
    while at < len(encoded):
        code = encoded[at]
        group = encoded[at + 1 : at + code]
        if code == 0 or len(group) != code - 1 or 0 in group:
            raise Malformed("not COBS")
        out += group
        at += code
        if code < 0xFF and at < len(encoded):
            out.append(0)
    return bytes(out)


def frame(packet: bytes) -> bytes:
    """A packet as it stands in a stream."""
    return cobs_encode(packet + crc32(packet).to_bytes(4, "little")) + b"\0"


def frame_most(max_packet: int) -> int:
    """The most bytes of a packet in a stream, with the zero that ends it."""
    return max_packet + 6 + (max_packet + 4) // 254


class Deframer:
    """Finds packets in a stream that comes in any chunks. `max_packet` may change at any time."""

    def __init__(self, max_packet: int = MAX_PACKET_HOST) -> None:
        self.max_packet = max_packet
        self.collected = bytearray()
        # Bytes behind those, and how many of all were reported as dropped.
        self.overflow = self.reported = 0

    def feed(self, chunk: bytes) -> Iterator[tuple]:
        """Yields ("packet", BYTES) and ("dropped", HOW MANY, WHY). Zeros alone are neither. Bytes
        that are too many are reported before their end has come, as "Unended"."""
        for byte in chunk:
            if byte and len(self.collected) < frame_most(self.max_packet) - 1:
                self.collected.append(byte)
            elif byte:
                self.overflow += 1
            elif self.collected:
                yield self._finish()
        if self.overflow:
            yield self._drop("Unended")

    def _drop(self, why: str) -> tuple:
        count = len(self.collected) + self.overflow - self.reported
        self.reported += count
        return "dropped", count, why

    def _finish(self) -> tuple:
        found = self._packet()
        if isinstance(found, str):
            found = self._drop(found)
        else:
            found = ("packet", found)
        self.collected.clear()
        self.overflow = self.reported = 0
        return found

    def _packet(self) -> bytes | str:
        """The packet that was collected, or why there is none."""
        try:
            decoded = cobs_decode(bytes(self.collected))
        except Malformed:
            decoded = b""
        packet, crc = decoded[:-4], decoded[-4:]
        if self.overflow or len(packet) > self.max_packet:
            return "TooLong"
        if not packet:
            return "Encoding"
        return packet if crc32(packet) == int.from_bytes(crc, "little") else "Crc"


# ------------------------------------------------------------------------------------------------
# Numbers and payloads


def timestamp_units(frame_ms: int) -> int:
    """Units of 2.5 ms in a frame."""
    return frame_ms * 2 // 5


def rms(samples: Sequence[int]) -> int:
    """The root of the mean square, both rounded down."""
    return math.isqrt(sum(sample * sample for sample in samples) // len(samples))


def level(root_mean_square: int) -> int:
    """Half decibels below full scale, rounded to the nearest; 255 for digital silence."""
    if root_mean_square == 0:
        return 255
    return round(-40 * math.log10(root_mean_square / 32768))


def mean(frames: Sequence[Sequence[int]]) -> list[int]:
    """The mean of frames, sample by sample, rounded towards zero."""
    sums = [sum(samples) for samples in zip(*frames)]
    return [abs(total) // len(frames) * (1 if total >= 0 else -1) for total in sums]


def cross_fade(old: Sequence[int], new: Sequence[int]) -> list[int]:
    """From one mean to the other, within a frame."""
    step = -(-(1 << 30) // len(new))
    weights = ((step * place) >> 16 for place in range(1, len(new) + 1))
    return [a + ((b - a) * weight >> 14) for a, b, weight in zip(old, new, weights)]


STEPS = [7, 8, 9, 10, 11, 12, 13, 14, 16, 17, 19, 21, 23, 25, 28, 31, 34, 37, 41, 45, 50, 55, 60]
STEPS += [66, 73, 80, 88, 97, 107, 118, 130, 143, 157, 173, 190, 209, 230, 253, 279, 307, 337, 371]
STEPS += [408, 449, 494, 544, 598, 658, 724, 796, 876, 963, 1060, 1166, 1282, 1411, 1552, 1707]
STEPS += [1878, 2066, 2272, 2499, 2749, 3024, 3327, 3660, 4026, 4428, 4871, 5358, 5894, 6484, 7132]
STEPS += [7845, 8630, 9493, 10442, 11487, 12635, 13899, 15289, 16818, 18500, 20350, 22385, 24623]
STEPS += [27086, 29794, 32767]


def _adpcm_step(code: int, predictor: int, index: int) -> tuple[int, int]:
    step = STEPS[index]
    diff = step >> 3
    diff += step if code & 4 else 0
    diff += step >> 1 if code & 2 else 0
    diff += step >> 2 if code & 1 else 0
    predictor = max(-32768, min(32767, predictor - diff if code & 8 else predictor + diff))
    index = max(0, min(88, index + [-1, -1, -1, -1, 2, 4, 6, 8][code & 7]))
    return predictor, index


def adpcm_decode(payload: bytes) -> list[int]:
    """The samples of an IMA ADPCM payload."""
    if len(payload) < 3 or payload[2] > 88:
        raise Malformed("no ADPCM payload")
    predictor, index = int.from_bytes(payload[:2], "little", signed=True), payload[2]
    samples = []
    for byte in payload[3:]:
        for code in (byte & 15, byte >> 4):
            predictor, index = _adpcm_step(code, predictor, index)
            samples.append(predictor)
    return samples


class AdpcmEncoder:
    """Writes payloads one after the other: each begins where the last has ended."""

    def __init__(self) -> None:
        self.predictor = self.index = 0

    def encode(self, samples: Sequence[int]) -> bytes:
        out = bytearray(self.predictor.to_bytes(2, "little", signed=True) + bytes([self.index]))
        codes = [self._code(sample) for sample in samples]
        out += bytes(low | high << 4 for low, high in zip(codes[::2], codes[1::2]))
        return bytes(out)

    def _code(self, sample: int) -> int:
        """The code for a sample, bit by bit as the IMA's recommendation does."""
        step, diff = STEPS[self.index], abs(sample - self.predictor)
        code = 8 if sample < self.predictor else 0
        for bit in (4, 2, 1):
            if diff >= step:
                code |= bit
                diff -= step
            step >>= 1
        self.predictor, self.index = _adpcm_step(code, self.predictor, self.index)
        return code


# ------------------------------------------------------------------------------------------------
# The examples of the document


def read_vectors(text: str) -> dict[str, dict[str, str]]:
    """The examples, by name: fenced blocks `vector NAME` of lines `KEY VALUE`, which may go on."""
    vectors = {}
    for name, body in re.findall(r"^```vector (\S+)\n(.*?)^```$", text, re.M | re.S):
        if name in vectors:
            raise AssertionError(f"two examples are called {name}")
        fields, key = {}, None
        for line in body.splitlines():
            if line.startswith(" "):
                fields[key] += " " + line.strip()
            else:
                key, _, value = line.partition(" ")
                fields[key] = value.strip()
        vectors[name] = fields
    return vectors


def hexed(data: bytes) -> str:
    return data.hex(" ")


def spelled(value: Any) -> Any:
    """A value in one spelling: hexadecimal digits as this module writes them."""
    if isinstance(value, dict):
        return {key: spelled(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [spelled(inner) for inner in value]
    if isinstance(value, str) and re.fullmatch(r"([0-9a-f]{2} ?)+", value):
        return value.replace(" ", "")
    return value


class Checker:
    """Compares every example with what this module makes of it."""

    def __init__(self, text: str) -> None:
        self.text, self.vectors = text, read_vectors(text)
        self.seen, self.errors, self.adpcm = set(), [], AdpcmEncoder()

    def expect(self, name: str, what: str, ours: Any, theirs: Any) -> None:
        if ours != theirs:
            self.errors.append(f"{name}: {what}\n  here     {ours}\n  document {theirs}")

    def check(self) -> list[str]:
        for name, fields in self.vectors.items():
            try:
                self.check_one(name, fields)
            except (Malformed, ValueError, KeyError) as error:
                self.errors.append(f"{name}: {type(error).__name__}: {error}")
        for sender, packets in PACKETS.items():
            for packet, _ in packets.values():
                if (sender, packet) not in self.seen:
                    self.errors.append(f"no example of a {sender}'s {packet}")
        self.check_sizes()
        return self.errors

    def check_one(self, name: str, fields: dict[str, str]) -> None:
        if "value" in fields:
            self.check_packet(name, fields)
        elif "read" in fields:
            self.check_unread(name, fields)
        else:
            kind = name.split("-")[0]
            getattr(self, f"check_{kind}")(name, fields)

    def check_packet(self, name: str, fields: dict[str, str]) -> None:
        sender, value = fields["from"], json.loads(fields["value"])
        packet = bytes.fromhex(fields["packet"])
        self.seen.add((sender, value["packet"]))
        self.expect(name, "written", hexed(encode(sender, value)), hexed(packet))
        self.expect(name, "read", spelled(decode(sender, packet)), spelled(value))
        stream = bytes.fromhex(fields["stream"])
        self.expect(name, "on the stream", hexed(frame(packet)), hexed(stream))
        got = list(Deframer().feed(stream))
        self.expect(name, "off the stream", got, [("packet", packet)])
        if "also" in fields:
            also = bytes.fromhex(fields["also"])
            self.expect(name, "also read", spelled(decode(sender, also)), spelled(value))
        self.expect(name, "fits every side", len(packet) <= MAX_PACKET_LEAST, True)
        if value["packet"] == "Voice":
            length = len(bytes.fromhex(value["payload"]))
            self.expect(name, "5 ms of voice or none", length in (0, 43, 160), True)

    def check_unread(self, name: str, fields: dict[str, str]) -> None:
        outcomes = {Malformed: "malformed", Skipped: "skipped", UnknownCritical: "unknown"}
        try:
            decode(fields["from"], bytes.fromhex(fields["packet"]))
            outcome = "read"
        except OtherVersion as error:
            outcome = f"version {error.version}, nonce {hexed(error.nonce)}"
        except tuple(outcomes) as error:
            outcome = outcomes[type(error)]
        self.expect(name, "read", outcome, fields["read"])

    def check_crc(self, name: str, fields: dict[str, str]) -> None:
        crc = crc32(fields["text"].encode())
        self.expect(name, "crc", f"{crc:08x}", fields["crc"])
        self.expect(name, "bytes", hexed(crc.to_bytes(4, "little")), fields["bytes"])

    def check_cobs(self, name: str, fields: dict[str, str]) -> None:
        plain, encoded = bytes.fromhex(fields["plain"]), bytes.fromhex(fields["encoded"])
        self.expect(name, "decoded", hexed(cobs_decode(encoded)), hexed(plain))
        if not name.endswith("-short-form"):
            self.expect(name, "encoded", hexed(cobs_encode(plain)), hexed(encoded))

    def check_damaged(self, name: str, fields: dict[str, str]) -> None:
        deframer = Deframer(int(fields.get("bound", MAX_PACKET_HOST)))
        got = list(deframer.feed(bytes.fromhex(fields["stream"])))
        count, why = fields["dropped"].split()
        then = ("packet", bytes.fromhex(fields["then"]))
        dropped = [] if why == "nothing" else [("dropped", int(count), why)]
        self.expect(name, "off the stream", got, dropped + [then])

    def check_varint(self, name: str, fields: dict[str, str]) -> None:
        kind = Varint(int(fields["type"][1:]))
        data = bytes.fromhex(fields["bytes"])
        try:
            reader = Reader(data, CLIENT)
            value = str(kind.read(reader))
            self.expect(name, "bytes left", len(data) - reader.at, 0)
            self.expect(name, "written", hexed(kind.write(int(value))), hexed(data))
        except Malformed:
            value = "invalid"
        self.expect(name, "number", value, fields["number"])

    def check_level(self, name: str, fields: dict[str, str]) -> None:
        roots = [int(number) for number in fields["rms"].split()]
        levels = [int(number) for number in fields["level"].split()]
        self.expect(name, "levels", [level(root) for root in roots], levels)

    def check_mean(self, name: str, fields: dict[str, str]) -> None:
        result = mean(json.loads(fields["frames"]))
        self.expect(name, "mean", result, json.loads(fields["mean"]))

    def check_fade(self, name: str, fields: dict[str, str]) -> None:
        result = cross_fade(json.loads(fields["old"]), json.loads(fields["new"]))
        self.expect(name, "fade", result, json.loads(fields["heard"]))

    def check_adpcm(self, name: str, fields: dict[str, str]) -> None:
        payload = bytes.fromhex(fields["payload"])
        if fields["decoded"] == "invalid":
            with contextlib.suppress(Malformed):
                self.expect(name, "decoded", adpcm_decode(payload), "invalid")
            return
        samples, decoded = ([int(n) for n in fields[key].split()] for key in ("samples", "decoded"))
        self.expect(name, "decoded", adpcm_decode(payload), decoded)
        self.expect(name, "encoded", hexed(self.adpcm.encode(samples)), hexed(payload))

    def check_sizes(self) -> None:
        """The table of sizes: `| NAME, of a SENDER | packet | stream |`, and the voice below it."""
        row = r"^\| (\w+)(?:, of a (\w+))? \| ([\d,]+) \| ([\d,]+) \|$"
        rows = re.findall(row, self.text, re.M)
        table = {(name, sender): (packet, stream) for name, sender, packet, stream in rows}
        for sender, packets in PACKETS.items():
            for name, fields in packets.values():
                if name == "Voice":
                    continue
                most = min(1 + fields.most, MAX_PACKET_LEAST)
                ours = (f"{most:,}", f"{frame_most(most):,}")
                theirs = table.get((name, sender)) or table.get((name, ""))
                self.expect(f"size of {name}", "packet, stream", ours, theirs)
        voice = r"^\| (PCM16|ADPCM), (\d+) kHz, (\d+) ms \| (\d+) \| (\d+) \| (\d+) \| ([\d,]+) \|$"
        lines = re.findall(voice, self.text, re.M)
        self.expect("sizes of voice", "rows", len(lines) >= 6, True)
        for codec, khz, ms, *theirs in lines:
            samples = int(khz) * int(ms)
            payload = samples * 2 if codec == "PCM16" else 3 + samples // 2
            value = {"packet": "Voice", "seq": 0x0101, "timestamp": 0x01010101, "level": 1}
            value |= {"stream": 1, "terminator": False, "payload": "01" * payload}
            packet = encode(CLIENT, value)
            stream = len(frame(packet))
            ours = [str(payload), str(len(packet)), str(stream), f"{stream * 1000 // int(ms):,}"]
            self.expect(f"{codec}, {khz} kHz, {ms} ms", "sizes", ours, theirs)


def wrapped(key: str, value: str, width: int = 100) -> str:
    """A line of an example, going on in lines that are indented."""
    lines = textwrap.wrap(value, width - 8, break_long_words=False, break_on_hyphens=False)
    return f"{key:<7} " + ("\n" + " " * 8).join(lines) + "\n"


def rewritten(text: str) -> str:
    """The document with the bytes of its packets' examples made from their values."""

    def rewrite(match: re.Match[str]) -> str:
        fields = read_vectors(match.group(0))[match.group(1)]
        if "value" in fields:
            value = json.loads(fields["value"])
            packet = encode(fields["from"], value)
            fields["packet"], fields["stream"] = hexed(packet), hexed(frame(packet))
        lines = "".join(wrapped(key, value) for key, value in fields.items())
        return f"```vector {match.group(1)}\n{lines}```"

    return re.sub(r"^```vector (\S+)\n.*?^```$", rewrite, text, flags=re.M | re.S)


def main() -> int:
    parser = argparse.ArgumentParser(description="Checks the examples of docs/PROTOCOL.md.")
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--check", metavar="DOCUMENT", help="check every example")
    action.add_argument(
        "--write", metavar="DOCUMENT", help="make the bytes of packets anew from their values"
    )
    args = parser.parse_args()
    path = args.check or args.write
    with open(path, encoding="utf-8") as file:
        text = file.read()
    if args.write:
        with open(path, "w", encoding="utf-8") as file:
            file.write(rewritten(text))
        return 0
    checker = Checker(text)
    errors = checker.check()
    for error in errors:
        print(error, file=sys.stderr)
    print(f"{len(checker.vectors)} examples, {len(errors)} errors")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
