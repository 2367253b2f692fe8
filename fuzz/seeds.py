#!/usr/bin/env python3
"""Writes the seeds of `corpus/` that are made of the examples in docs/PROTOCOL.md.

Run it after the examples have changed: `python3 fuzz/seeds.py`. Of other seeds only those stay that
`BY_HAND` names: add what a run has found there.
"""

import pathlib
import shutil
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/protocol_client"))
sys.dont_write_bytecode = True

import examples  # noqa: E402

CORPUS = ROOT / "fuzz/corpus"
BY_HAND = {"session": ["uplink-word", "downlink-loss"]}

# Operations of the targets `session` and `endpoint`, which say what they do.
TO_CLIENT, TO_SERVER, WAIT = 0, 1, 2
PACKET, TIME, JOIN, LEAVE, END, SAY, HEAR = 0, 3, 4, 5, 6, 7, 9
MUTE, EXPECT, SEND = 10, 13, 15


def operation(kind, packet):
    return bytes([kind, len(packet)]) + packet


def main():
    vectors = examples.read_vectors((ROOT / "docs/PROTOCOL.md").read_text())
    for target in "deframer", "session", "endpoint":
        kept = BY_HAND.get(target, [])
        seeds = {name: (CORPUS / target / name).read_bytes() for name in kept}
        seeds |= globals()[target](vectors)
        shutil.rmtree(CORPUS / target)
        (CORPUS / target).mkdir()
        for name, data in seeds.items():
            (CORPUS / target / name).write_bytes(data)
        print(f"{target}: {len(seeds)} seeds")


def deframer(vectors):
    """A byte that says how the rest is cut, then a packet or a stream."""
    seeds = {}
    for name, vector in vectors.items():
        if "packet" in vector:
            seeds[f"{name}-packet"] = bytes([5]) + bytes.fromhex(vector["packet"])
        if "stream" in vector:
            seeds[f"{name}-stream"] = bytes([5]) + bytes.fromhex(vector["stream"]) * 2
    return seeds


def welcome(vectors, nonce):
    """The example's Welcome to the session with this nonce."""
    packet = bytearray.fromhex(vectors["welcome"]["packet"])
    packet[2:10] = bytes([nonce] * 8)
    return bytes(packet)


def session(vectors):
    """Each packet before and after a Welcome, and then some time."""
    hello = bytes.fromhex(vectors["hello"]["packet"])
    joined = {
        "client": operation(TO_SERVER, hello),
        "server": operation(TO_CLIENT, welcome(vectors, 1)),
    }
    times = bytes([WAIT, 0x47, WAIT, 0x64, WAIT, 0x82])
    seeds = {}
    for name, vector in vectors.items():
        packet = bytes.fromhex(vector.get("packet", ""))
        if not 0 < len(packet) < 256:
            continue
        side = vector["from"]
        seeds[name] = operation(TO_SERVER if side == "client" else TO_CLIENT, packet)
        seeds[f"{name}-joined"] = joined[side] + seeds[name] + times
    return seeds


def endpoint(vectors):
    """Sessions of a node."""
    def joins(nonce):
        return bytes([JOIN, 125, nonce, SEND]) + operation(PACKET, welcome(vectors, nonce))

    def hears(name):
        return operation(PACKET, bytes.fromhex(vectors[name]["packet"]))

    says = bytes([SAY, 90])
    seeds = {
        "joins-and-talks": joins(1) + hears("roster") + (says + bytes([SEND])) * 6
        + bytes([MUTE, 0, SEND, SEND, SEND, MUTE, 1]) + says + bytes([SEND, LEAVE] + [SEND] * 4),
        "rejoins": joins(1) + bytes([END, 0, SEND]) + joins(2)
        + bytes([TIME, 9, PACKET, 0, SEND, JOIN, 125]),
        "timeouts": joins(1) + bytes([TIME, 80, SEND, TIME, 100, TIME, 120, SEND, EXPECT, HEAR]),
        "burst-then-leaves": joins(1) + says * 12 + bytes([LEAVE, TIME, 19] + [SEND] * 5),
        # A change with a gap, the pages that are asked for, and a page that does not continue.
        "repairs-its-roster": joins(1) + hears("left") + bytes([SEND]) + hears("roster")
        + bytes([TIME, 50, SEND]) + hears("joined") + hears("roster") + bytes([TIME, 70, SEND]),
    }
    others = ["server-bye", "reject", "voice-adpcm", "state-talking", "server-pong"]
    return seeds | {name: joins(1) + hears(name) + bytes([HEAR, SEND]) for name in others}


if __name__ == "__main__":
    main()
