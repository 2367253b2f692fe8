"""What a participant waits for: its next attempt, and the answers to its Pings."""

from __future__ import annotations

import collections
import random
from dataclasses import dataclass

BACK_OFF_S, BACK_OFF_MOST_S, WAIT_MOST_S = 0.25, 5.0, 60.0
# The most Pings whose answers are waited for.
PINGS_MOST = 32


class BackOff:
    """How long to wait before the next attempt, and how many there may be in a row."""

    def __init__(self, attempts: int, rng: random.Random) -> None:
        self.attempts, self.random = attempts, rng
        self.reset()

    def reset(self) -> None:
        """Begins with the shortest time again, as when a session has lasted."""
        self.wait_s, self.attempt = BACK_OFF_S, 0

    def next(self, retry_ms: int) -> float | None:
        """How long to wait after a failure, in seconds; None if there were too many in a row."""
        self.attempt += 1
        if self.attempt >= self.attempts:
            return None
        wait_s = min(max(retry_ms / 1000, self.wait_s), WAIT_MOST_S)
        self.wait_s = min(self.wait_s * 2, BACK_OFF_MOST_S)
        return min(wait_s * (1 + self.random.random() / 4), WAIT_MOST_S)


@dataclass
class Ping:
    """A Ping whose answer is waited for."""

    at: float
    # How often the participant had said whether it is muted, and its session, if there was one.
    mutes: int
    session: int | None
    # Whether the script wanted it.
    asked: bool


class Pings:
    """The Pings that are waited for, by their numbers."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.sent: collections.OrderedDict[int, Ping] = collections.OrderedDict()

    def __contains__(self, number: int) -> bool:
        return number in self.sent

    def add(self, ping: Ping) -> int:
        """Returns its number."""
        self.number = (self.number + 1) & 0xFFFFFFFF
        self.sent[self.number] = ping
        while len(self.sent) > PINGS_MOST:
            self.sent.popitem(last=False)
        return self.number

    def answered(self, number: int) -> Ping | None:
        """Returns the Ping with that number. Those before it are not waited for any more."""
        if number not in self.sent:
            return None
        while True:
            first, ping = self.sent.popitem(last=False)
            if first == number:
                return ping

    def clear(self) -> None:
        """None of them is waited for any more, as when the stream is another one."""
        self.sent.clear()
