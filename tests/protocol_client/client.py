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
import os
import sys
import time

import packets as wire
from events import EVENTS, ClientError, Printer
from participant import Client
from script import WORDS, Script
from voice import ADPCM, PCM16


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
    add("--delay-ms", type=int, help="tell that voice takes so long, and be told of others'")
    add("--tick-hints", action="store_true", help="shift frames as the server asks for")
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
