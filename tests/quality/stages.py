"""Where the delay lies: what both clients say of their own parts, and what is left for the server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

# In the order in which voice passes them.
STAGES = ("microphone", "frame", "pre-roll", "to the server", "server", "from the server",
          "jitter buffer", "speaker")  # fmt: skip
# How the clients call them.
_OF_TALKER = {"microphone": "microphone_ms", "pre-roll": "pre_roll_ms",
              "to the server": "one_way_ms"}  # fmt: skip
_OF_LISTENER = {"from the server": "one_way_ms", "jitter buffer": "jitter_buffer_ms",
                "speaker": "speaker_ms"}  # fmt: skip


def levels(log: str) -> Iterator[dict[str, Any]]:
    """The `level` events of a client."""
    for line in log.splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and event.get("event") == "level":
            yield event


def stages(talker_log: str, listener_log: str) -> dict[str, float]:
    """The mean of each stage in milliseconds; empty if any is not known."""
    talker, listener = list(levels(talker_log)), list(levels(listener_log))
    found = {stage: _mean(talker, name) for stage, name in _OF_TALKER.items()}
    found |= {stage: _mean(listener, name) for stage, name in _OF_LISTENER.items()}
    found["frame"] = _frame_ms(talker_log)
    heard = [event["delay_ms"] for event in listener if event.get("delay_ms") is not None]
    known = [ms for ms in found.values() if ms is not None]
    if not heard or len(known) < len(found):
        return {}
    found["server"] = max(0.0, float(np.mean(heard)) - sum(known))
    return {stage: ms for stage in STAGES if (ms := found[stage]) is not None}


def _mean(events: list[dict[str, Any]], part: str) -> float | None:
    values = [event.get("delay_parts", {}).get(part) for event in events]
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _frame_ms(log: str) -> float | None:
    for line in log.splitlines():
        if '"joined"' in line and '"frame_ms"' in line:
            return float(json.loads(line)["frame_ms"])
    return None
