"""Packets on a stream of bytes: CRC-32, COBS, and finding them again."""

from __future__ import annotations

from collections.abc import Iterator

from packets import MAX_PACKET_HOST, Malformed


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
