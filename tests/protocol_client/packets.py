#!/usr/bin/env python3
"""The packets of Talkspurt's protocol, version 2, written from docs/PROTOCOL.md alone.

Encoder and decoder of every packet; framing.py puts them on a stream, and voice.py has codecs and
levels. Standard library only. As a program it checks every example of the document:

    python3 tests/protocol_client/packets.py --check docs/PROTOCOL.md

A packet is a dict, in the form of the document's `value` lines: texts are strings, bytes are
strings of hexadecimal digits, options are a value or None.
"""

import sys
from typing import Any

VERSION = 2
CLIENT, SERVER = "client", "server"
# The longest packet that a host takes, and that every side takes.
MAX_PACKET_HOST, MAX_PACKET_LEAST = 1280, 352
ROSTER_PAGE = 8


# A packet as this module reads and writes it.
Packet = dict[str, Any]


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


# Why a packet may not be read.
UNREAD = (Malformed, OtherVersion, Skipped, UnknownCritical)


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
TICK_HINT = Fields(("seq", SEQ), ("shift_us", Fixed(2)))
DELAY_REPORT = Fields(("delay_ms", Fixed(2)))

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
        0x48: ("DelayReport", DELAY_REPORT),
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
        0x47: ("TickHint", TICK_HINT),
        0x48: ("DelayReport", DELAY_REPORT),
    },
}


def encode(sender: str, value: Packet) -> bytes:
    """Writes a packet: {"packet": NAME, FIELD: VALUE, ...} to bytes."""
    for number, (name, fields) in PACKETS[sender].items():
        if name == value["packet"]:
            return bytes([number]) + fields.write(value)
    raise ValueError(f"a {sender} sends no {value['packet']}")


def decode(sender: str, packet: bytes) -> Packet:
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


if __name__ == "__main__":
    # They need this module themselves.
    import examples

    sys.exit(examples.main())
