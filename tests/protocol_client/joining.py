"""A Hello, and whether a Welcome fits it."""

from __future__ import annotations

import argparse

import packets as wire
import voice
from packets import Packet

MUTED = 2
TICK_HINTS = 1 << 5
DELAY_REPORTS = 1 << 6


def features_of(options: argparse.Namespace) -> int:
    """What the Hello offers."""
    features = TICK_HINTS if options.tick_hints else 0
    return features | (DELAY_REPORTS if options.delay_ms is not None else 0)


def hello_of(options: argparse.Namespace, nonce: bytes, token: bytes, muted: bool) -> Packet:
    """The Hello for these options. An empty token resumes nothing."""
    return {
        "packet": "Hello",
        "version": wire.VERSION,
        "nonce": nonce.hex(" "),
        "max_packet": options.max_packet,
        "features": features_of(options),
        "resume": token.hex(" "),
        "room": options.room,
        "name": options.name,
        "codecs_up": bytes(options.codecs_up).hex(" "),
        "codecs_down": bytes(options.codecs_down).hex(" "),
        "rates": options.rates,
        "flags": MUTED if muted else 0,
        "roster": int(options.roster),
        "credentials": "",
    }


def fault_of(value: Packet, hello: Packet) -> str | None:
    """What is wrong with a Welcome that answers this Hello, or None."""
    rate, frame_ms = value["rate"], value["frame_ms"]
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
        length = voice.payload_length(value[f"codec_{way}"], samples)
        if length + (11 if length > 127 else 10) > min(most, wire.MAX_PACKET_HOST):
            return f"a voice packet of codec_{way} does not fit"
    return None
