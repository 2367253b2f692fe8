"""What the client tells those who run it: events and errors."""

from __future__ import annotations

import collections
import json
import time
from collections.abc import Callable
from typing import Any

# Who is told of events, as in `emit("count", participants=3)`; what tells the time.
Emit = Callable[..., None]
Clock = Callable[[], float]

EVENTS = """\
Every event has `event` and `t`, the milliseconds since the program began.
connected              a stream is open
hello                  nonce, resume (whether with a token), repeat
joined                 id, codec_up, codec_down, rate, frame_ms, idle_timeout_ms, max_packet,
                       features, revision, participants, resumable
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
delay                  delay_ms: how old the voice is that is heard; 0 if that is not known
tick_hint              seq, shift_us, why it is ignored (or null)
shifted                shift_us: the frames begin later from now on
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
