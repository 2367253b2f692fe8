"""Which delays are measured, and the figures of all runs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import delays
import mumble
from mouth_to_ear import Run, Scenario, run
from systems import BareLoop, System, Talkspurt
from voices import Speech

FRAMES_MS = (20, 5)
FLAGS: tuple[tuple[str, ...], ...] = ((), ("--no-gate",))
STALLS = ("talker", "listener", "machine")

# A run with a stall in its middle, without a pause in which the gate would close.
_STALL_SECONDS = 26.0
_STALL_PAUSE_S = 0.25
_BUSY_PROGRAMS = 2


@dataclass(frozen=True)
class Plan:
    """Which runs are made."""

    seconds: float
    short: bool = False
    minutes: float | None = None
    stall: bool = False
    busy: bool = False
    mumble: bool = False


class NotMeasured(Exception):
    """The machine, or its cards, lets no delay be measured."""


def measure(bin_dir: Path, speech: Speech, plan: Plan) -> dict[str, Any]:
    """The bare loop, then each system, less its delay."""
    bare = run(BareLoop(), Scenario(plan.seconds), speech)
    bare_ms = delays.median_ms(bare.parts)
    if bare_ms is None:
        raise NotMeasured(f"nothing is heard through the bare loop: {bare.logs}")
    results: dict[str, Any] = {"bare_ms": bare_ms, "rows": [], "stalls": [], "long": []}

    def add(kind: str, system: System, scenario: Scenario) -> None:
        result = run(system, scenario, speech)
        results[kind].append(_row(result, bare_ms))

    frames, flags = (FRAMES_MS[:1], FLAGS[:1]) if plan.short else (FRAMES_MS, FLAGS)
    ours: list[System] = [Talkspurt(bin_dir, frame_ms, more)
                          for frame_ms in frames for more in flags]  # fmt: skip
    for system in ours:
        add("rows", system, Scenario(plan.seconds))
    if plan.mumble:
        for system in mumble.SYSTEMS:
            add("rows", system, Scenario(plan.seconds))
    if plan.busy:
        for system in ours:
            add("rows", system, Scenario(plan.seconds, busy=_BUSY_PROGRAMS))
    if plan.stall:
        # Without the gate the delay is the same all along, unless something stalls.
        even = Talkspurt(bin_dir, FRAMES_MS[0], ("--no-gate",))
        for who in STALLS:
            add("stalls", even, Scenario(_STALL_SECONDS, _STALL_PAUSE_S, who))
        add("stalls", ours[0], Scenario(_STALL_SECONDS, _STALL_PAUSE_S, STALLS[-1]))
    if plan.minutes is not None:
        add("long", ours[0], Scenario(60 * plan.minutes))
    return results


def _row(result: Run, bare_ms: float) -> dict[str, Any]:
    """The figures, and every part for the plots."""
    parts = [asdict(part) for part in result.parts]
    for part in parts:
        if part["delay_ms"] is not None:
            part["delay_ms"] = round(part["delay_ms"] - bare_ms, 3)
    return result.row(bare_ms) | {"parts": parts}
