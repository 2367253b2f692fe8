"""The delay that the listener's client shows, beside the one that is measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from delays import Part
from stages import levels

# What is shown is a mean of about so much, and follows a change after as long.
_MEAN_MS = 600.0
# A figure needs so many parts to be compared with.
_PARTS_MIN = 3
# What is shown of a talkspurt that has run for so long is to be right; at first it still follows
# the delay of the pre-roll.
_SETTLED_MS = 1_500.0


def shown(log: str) -> list[tuple[float, float]]:
    """When a client said what, both in milliseconds; the time is the client's own."""
    return [(float(event["t_ms"]), float(event["delay_ms"])) for event in levels(log)
            if event.get("delay_ms") is not None]  # fmt: skip


def compared(parts: Sequence[Part], said: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """How far the figures, in the time of the parts, are from the delays heard just before."""
    pairs = []
    for at_ms, shown_ms in said:
        recent = [
            part for part in parts
            if part.delay_ms is not None
            and at_ms - _MEAN_MS <= part.at_ms + part.delay_ms <= at_ms
            and part.since_onset_ms >= _SETTLED_MS
        ]  # fmt: skip
        if len(recent) >= _PARTS_MIN:
            measured_ms = float(np.median([part.delay_ms for part in recent]))
            pairs.append((shown_ms, measured_ms))
    if not pairs:
        return {"count": 0}
    shown_ms, measured_ms = (np.array(one) for one in zip(*pairs, strict=True))
    errors = shown_ms - measured_ms
    return {
        "count": len(pairs),
        "shown_ms": float(np.median(shown_ms)),
        "measured_ms": float(np.median(measured_ms)),
        "error_ms": float(np.median(errors)),
        "worst_ms": float(np.max(np.abs(errors))),
    }
