"""What a Welcome has begun: the roster, voice both ways, and when to ping."""

from __future__ import annotations

import argparse
import math
import random
from collections.abc import Callable

from events import Clock, Emit
from listener import Listener, Recording
from packets import Packet
from roster import Roster
from talker import Talker

QUIET_PING_S, QUIET_BREAK_S = 1.0, 3.0
# A delay that is longer counts as this long.
DELAY_MS_MOST = 5000
# How often voice is looked at while some of it is heard.
LISTEN_S = 0.01


class Session:
    """A session, from its Welcome on. It ends no session itself: `timers` says why one has to."""

    def __init__(
        self,
        welcome: Packet,
        options: argparse.Namespace,
        rng: random.Random,
        recording: Recording,
        send: Callable[..., None],
        emit: Emit,
        clock: Clock,
    ) -> None:
        self.welcome, self.send, self.emit, self.clock = welcome, send, emit, clock
        self.began_at = self.heard_at = now = clock()
        self.participants = welcome["participants"]
        self.roster = Roster(welcome["revision"], options.roster, emit, now)
        codec, rate, frame_ms = (welcome[key] for key in ("codec_down", "rate", "frame_ms"))
        self.listener = Listener(codec, rate, frame_ms, recording, emit)
        self.talker = Talker(welcome, options, rng, send, emit, clock)
        self.idle_s = welcome["idle_timeout_ms"] / 1000
        self.ping_every_s = welcome["idle_timeout_ms"] // 3 / 1000
        self.ping_at = now + self.ping_every_s
        # When voice first went out without an answer, and when it last led to a Ping.
        self.quiet_at: float | None = None
        self.quiet_ping_at = -math.inf

    def hears(self) -> None:
        """A valid packet has come, whatever it says."""
        self.heard_at, self.quiet_at = self.clock(), None

    def handle(self, value: Packet) -> None:
        """Takes voice, a hint, a delay, a page or a change of the roster, or a count."""
        kind, now = value["packet"], self.clock()
        if kind == "Voice":
            self.listener.packet(value, now)
        elif kind == "Count":
            self.participants = value["participants"]
            self.emit("count", participants=self.participants)
        elif kind == "TickHint":
            self.talker.hint(value["seq"], value["shift_us"])
        elif kind == "DelayReport":
            self.emit("delay", delay_ms=min(value["delay_ms"], DELAY_MS_MOST))
        elif kind == "Roster":
            self.roster.page(value, now)
        else:
            self.roster.change(value, now)
        if self.roster.complete and self.roster.wanted:
            self.participants = len(self.roster.entries)

    def welcome_again(self, value: Packet) -> None:
        """Takes the answer to a repeated Hello."""
        self.participants = value["participants"]
        self.roster.welcome_again(value["revision"], self.clock())
        self.emit("welcome_again", revision=value["revision"], participants=self.participants)

    def next_due(self) -> float:
        """When `timers` has something to do."""
        listen_at = self.clock() + LISTEN_S if self.listener.spurt else math.inf
        return min(self.ping_at, self.talker.due(), listen_at)

    def timers(self, ping: Callable[[], int]) -> str | None:
        """Does what is due. Returns why the session has to end: "idle" or "quiet", or None."""
        now = self.clock()
        self.talker.speak(now)
        self.listener.tick(now)
        if now - self.heard_at >= self.idle_s:
            return "idle"
        if now >= self.ping_at:
            self.ping_at = now + self.ping_every_s
            ping()
        why = self.roster.due(now)
        if why:
            self.emit("roster_request", why=why)
            self.send("RosterRequest")
        return self._watch(now, ping)

    def _watch(self, now: float, ping: Callable[[], int]) -> str | None:
        """A client that sends voice and hears nothing pings every second, and gives up after 3."""
        is_talking = now - self.talker.sent_at <= QUIET_PING_S
        if self.quiet_at is None:
            if not is_talking or now - self.heard_at < QUIET_PING_S:
                return None
            self.quiet_at = now
        if now - self.quiet_at >= QUIET_BREAK_S:
            return "quiet"
        if now - self.quiet_ping_at >= QUIET_PING_S:
            self.quiet_ping_at = now
            ping()
        return None
