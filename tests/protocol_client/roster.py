"""The list of those in the room, as the client knows it."""

from __future__ import annotations

import math
from typing import Any

from events import Emit
from packets import Packet
from shown import shown_name
from voice import signed

# The most entries that are kept.
ROSTER_MOST = 16384


def revision_after(revision: int) -> int:
    """Revisions leave out 0 when they wrap."""
    return revision % 0xFFFFFFFF + 1


def is_later(revision: int, than: int) -> bool:
    return signed(revision - than, 32) > 0


class Roster:
    """The list of those in the room, with its revision and its repair. It sends nothing itself:
    `due` says when it wants to ask."""

    def __init__(self, revision: int, wanted: bool, emit: Emit, now: float) -> None:
        self.revision, self.wanted, self.emit = revision, wanted, emit
        self.entries = {}
        self.complete = False
        # Entries of the pages so far, and how many there were.
        self.pages = self.key = None
        self.count = 0
        self.asked_at = -math.inf
        self.ask_at = math.inf
        self.why = ""
        self.waits = iter(())
        if wanted:
            self._expect(now)

    def _expect(self, now: float) -> None:
        """Pages are on their way, asked for or behind a Welcome."""
        self.waits = iter((2.0, 4.0, 8.0))
        self._wait_again(now)

    def _wait_again(self, now: float) -> None:
        self.ask_at, self.why = now + next(self.waits, 16.0), "incomplete"

    def welcome_again(self, revision: int, now: float) -> None:
        self.revision = revision
        self.pages = None
        if self.wanted:
            self._expect(now)

    def want(self, why: str, now: float) -> None:
        """Asks as soon as it may: once a second. An answer that is on its way, and has not begun,
        covers what is missing as well, as it is written after what has come before it."""
        if why == "gap" and self.ask_at < math.inf and self.pages is None:
            return
        self.ask_at, self.why = max(now, self.asked_at + 1.0), why
        self.waits = iter((2.0, 4.0, 8.0))

    def due(self, now: float) -> str | None:
        """Why to ask now, or None."""
        if now < self.ask_at:
            return None
        why = self.why
        self.asked_at, self.pages = now, None
        self._wait_again(now)
        return why

    def _sees(self, revision: int, packet: str, now: float) -> bool:
        """Judges the revision of a change: whether to apply it."""
        if not is_later(revision, self.revision):
            return False
        if revision != revision_after(self.revision):
            self.emit("roster_gap", had=self.revision, got=revision, packet=packet)
            self.want("gap", now)
        self.revision = revision
        return True

    def pong(self, revision: int, now: float) -> None:
        """Zero is no revision: it stands in a Pong to a Ping outside a session."""
        if self.wanted and revision and is_later(revision, self.revision):
            self.emit("roster_gap", had=self.revision, got=revision, packet="Pong")
            self.revision = revision
            self.want("gap", now)

    def change(self, value: Packet, now: float) -> None:
        """Joined, Left or State."""
        if not self.wanted:
            return self.emit("ignored", packet=value["packet"], why="no roster was asked for")
        kind = value["packet"]
        entry = value.get("entry") or {}
        id_ = entry.get("id", value.get("id"))
        applied = self._sees(value["revision"], kind, now)
        known = self.entries.get(id_)
        if applied and self.pages is not None:
            # Between two pages there is none: a packet was lost.
            self.pages = None
            self.want("broken", now)
        if applied and kind == "Joined":
            known = self._keep(entry)
        elif applied and known and kind == "State":
            known["flags"] = value["flags"]
        elif applied and known and kind == "Left":
            del self.entries[id_]
        event = {"packet": kind, "revision": value["revision"], "id": id_, "applied": applied}
        if known:
            event |= {"name": known["name"], "flags": known["flags"]}
        if kind == "Left":
            event["reason"] = value["reason"]
        return self.emit("change", **event)

    def _keep(self, entry: dict[str, Any]) -> dict[str, Any]:
        """What does not fit is left out, and id 0 is nobody."""
        kept = {"id": entry["id"], "flags": entry["flags"], "name": shown_name(entry["name"])}
        if entry["id"] and (entry["id"] in self.entries or len(self.entries) < ROSTER_MOST):
            self.entries[entry["id"]] = kept
        return kept

    def page(self, value: Packet, now: float) -> None:
        first, entries, total = value["first"], value["entries"], value["total"]
        key = (value["revision"], total)
        if first == 0:
            self.pages, self.key, self.count = [], key, 0
        elif self.pages is None:
            # The rest of a roster whose first page is lost.
            return self.want("broken", now) if self.ask_at < math.inf else None
        empty = not entries and total
        if key != self.key or first != self.count or empty or first + len(entries) > total:
            self.pages = None
            return self.want("broken", now)
        # A client that cannot hold all of a roster keeps what it can.
        self.pages += entries[: ROSTER_MOST - len(self.pages)]
        self.count += len(entries)
        if self.count < total:
            return None
        self.entries = {}
        for entry in self.pages:
            self._keep(entry)
        self.revision = value["revision"]
        self.pages, self.ask_at, self.complete = None, math.inf, True
        return self.emit("roster", revision=self.revision, entries=list(self.entries.values()))

    def named(self, name: str) -> dict[str, Any] | None:
        return next((one for one in self.entries.values() if one["name"] == name), None)
