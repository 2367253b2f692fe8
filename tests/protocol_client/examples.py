"""The examples of docs/PROTOCOL.md, compared with what these modules make of them."""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import sys
import textwrap
from typing import Any

import framing
import packets as wire
import voice


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
        self.seen, self.errors, self.adpcm = set(), [], voice.AdpcmEncoder()

    def expect(self, name: str, what: str, ours: Any, theirs: Any) -> None:
        if ours != theirs:
            self.errors.append(f"{name}: {what}\n  here     {ours}\n  document {theirs}")

    def check(self) -> list[str]:
        for name, fields in self.vectors.items():
            try:
                self.check_one(name, fields)
            except (wire.Malformed, ValueError, KeyError) as error:
                self.errors.append(f"{name}: {type(error).__name__}: {error}")
        for sender, packets in wire.PACKETS.items():
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
        self.expect(name, "written", hexed(wire.encode(sender, value)), hexed(packet))
        self.expect(name, "read", spelled(wire.decode(sender, packet)), spelled(value))
        stream = bytes.fromhex(fields["stream"])
        self.expect(name, "on the stream", hexed(framing.frame(packet)), hexed(stream))
        got = list(framing.Deframer().feed(stream))
        self.expect(name, "off the stream", got, [("packet", packet)])
        if "also" in fields:
            also = bytes.fromhex(fields["also"])
            self.expect(name, "also read", spelled(wire.decode(sender, also)), spelled(value))
        self.expect(name, "fits every side", len(packet) <= wire.MAX_PACKET_LEAST, True)
        if value["packet"] == "Voice":
            length = len(bytes.fromhex(value["payload"]))
            self.expect(name, "5 ms of voice or none", length in (0, 43, 160), True)

    def check_unread(self, name: str, fields: dict[str, str]) -> None:
        outcomes = {
            wire.Malformed: "malformed",
            wire.Skipped: "skipped",
            wire.UnknownCritical: "unknown",
        }
        try:
            wire.decode(fields["from"], bytes.fromhex(fields["packet"]))
            outcome = "read"
        except wire.OtherVersion as error:
            outcome = f"version {error.version}, nonce {hexed(error.nonce)}"
        except tuple(outcomes) as error:
            outcome = outcomes[type(error)]
        self.expect(name, "read", outcome, fields["read"])

    def check_crc(self, name: str, fields: dict[str, str]) -> None:
        crc = framing.crc32(fields["text"].encode())
        self.expect(name, "crc", f"{crc:08x}", fields["crc"])
        self.expect(name, "bytes", hexed(crc.to_bytes(4, "little")), fields["bytes"])

    def check_cobs(self, name: str, fields: dict[str, str]) -> None:
        plain, encoded = bytes.fromhex(fields["plain"]), bytes.fromhex(fields["encoded"])
        self.expect(name, "decoded", hexed(framing.cobs_decode(encoded)), hexed(plain))
        if not name.endswith("-short-form"):
            self.expect(name, "encoded", hexed(framing.cobs_encode(plain)), hexed(encoded))

    def check_damaged(self, name: str, fields: dict[str, str]) -> None:
        deframer = framing.Deframer(int(fields.get("bound", wire.MAX_PACKET_HOST)))
        got = list(deframer.feed(bytes.fromhex(fields["stream"])))
        count, why = fields["dropped"].split()
        then = ("packet", bytes.fromhex(fields["then"]))
        dropped = [] if why == "nothing" else [("dropped", int(count), why)]
        self.expect(name, "off the stream", got, dropped + [then])

    def check_varint(self, name: str, fields: dict[str, str]) -> None:
        kind = wire.Varint(int(fields["type"][1:]))
        data = bytes.fromhex(fields["bytes"])
        try:
            reader = wire.Reader(data, wire.CLIENT)
            value = str(kind.read(reader))
            self.expect(name, "bytes left", len(data) - reader.at, 0)
            self.expect(name, "written", hexed(kind.write(int(value))), hexed(data))
        except wire.Malformed:
            value = "invalid"
        self.expect(name, "number", value, fields["number"])

    def check_level(self, name: str, fields: dict[str, str]) -> None:
        roots = [int(number) for number in fields["rms"].split()]
        levels = [int(number) for number in fields["level"].split()]
        self.expect(name, "levels", [voice.level(root) for root in roots], levels)

    def check_mean(self, name: str, fields: dict[str, str]) -> None:
        result = voice.mean(json.loads(fields["frames"]))
        self.expect(name, "mean", result, json.loads(fields["mean"]))

    def check_fade(self, name: str, fields: dict[str, str]) -> None:
        result = voice.cross_fade(json.loads(fields["old"]), json.loads(fields["new"]))
        self.expect(name, "fade", result, json.loads(fields["heard"]))

    def check_adpcm(self, name: str, fields: dict[str, str]) -> None:
        payload = bytes.fromhex(fields["payload"])
        if fields["decoded"] == "invalid":
            with contextlib.suppress(wire.Malformed):
                self.expect(name, "decoded", voice.adpcm_decode(payload), "invalid")
            return
        samples, decoded = ([int(n) for n in fields[key].split()] for key in ("samples", "decoded"))
        self.expect(name, "decoded", voice.adpcm_decode(payload), decoded)
        self.expect(name, "encoded", hexed(self.adpcm.encode(samples)), hexed(payload))

    def check_sizes(self) -> None:
        """The table of sizes: `| NAME, of a SENDER | packet | stream |`, and the voice below it."""
        row = r"^\| (\w+)(?:, of a (\w+))? \| ([\d,]+) \| ([\d,]+) \|$"
        rows = re.findall(row, self.text, re.M)
        table = {(name, sender): (packet, stream) for name, sender, packet, stream in rows}
        for sender, packets in wire.PACKETS.items():
            for name, fields in packets.values():
                if name == "Voice":
                    continue
                most = min(1 + fields.most, wire.MAX_PACKET_LEAST)
                ours = (f"{most:,}", f"{framing.frame_most(most):,}")
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
            packet = wire.encode(wire.CLIENT, value)
            stream = len(framing.frame(packet))
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
            packet = wire.encode(fields["from"], value)
            fields["packet"], fields["stream"] = hexed(packet), hexed(framing.frame(packet))
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
