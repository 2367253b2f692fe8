"""What a network costs that loses and delays packets: what is lost, late and concealed, how long
playout waits, how much what is heard is like the ideal mix, and PESQ.

Someone speaks and someone listens, through the server's rooms on virtual time. The ideal mix is
what the listener hears over a network that loses and delays nothing."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from delays import Listener
from examples import Examples
from loss import said_by
from samples import RATE_HZ, Samples
from scores import lag_samples, pesq_wb, shifted
from voices import Speech, Voice

LOSSES_PERCENT = (0, 1, 5, 10, 20)
JITTERS_MS = (0, 20, 50, 100)

# Playout delays nothing by more.
_LAG_MOST_MS = 500
# What is heard may be so much earlier than in the ideal mix, whose frames waited for each other.
_EARLY_MS = 40


@dataclass(frozen=True)
class Cell:
    """A network."""

    loss_percent: int
    jitter_ms: int


GRID = tuple(Cell(loss, jitter) for loss in LOSSES_PERCENT for jitter in JITTERS_MS)


@dataclass(frozen=True)
class Plan:
    """Which runs are made."""

    voices: Sequence[Voice]
    seeds: int
    cells: Sequence[Cell] = GRID
    frame_ms: int = 20


def run(examples: Examples, said: Samples, **settings: Any) -> tuple[Samples, dict[str, Any]]:
    """What is heard of one voice over one network, and what was counted."""
    return examples.run("network_on_wav", said, **settings)


def similarity(ideal: Samples, heard: Samples) -> float:
    """How much the parts of the ideal mix, of 200 ms each, are like what is heard where that is
    most like them: the mean of their normalised correlation."""
    far, early = (ms * RATE_HZ // 1_000 for ms in (_LAG_MOST_MS, _EARLY_MS))
    count = len(ideal) + far
    ideal = np.pad(ideal, (0, far))
    heard = np.pad(heard, (early, max(0, count - early - len(heard))))[:count]
    parts = Listener(ideal, heard, RATE_HZ).parts(_LAG_MOST_MS)
    return float(np.mean([part.similarity for part in parts]))


def measure(examples: Examples, speech: Speech, plan: Plan) -> list[dict[str, Any]]:
    """A row for each network: means over voices and seeds."""
    signals = [said_by(speech, voice) for voice in plan.voices]
    with ProcessPoolExecutor() as pool:
        ideals = list(pool.map(partial(_ideal, examples, plan), signals))
        work = partial(_row, examples, list(zip(signals, ideals, strict=True)), plan)
        return list(pool.map(work, plan.cells))


def _ideal(examples: Examples, plan: Plan, said: Samples) -> Samples:
    heard, _ = run(examples, said, frame_ms=plan.frame_ms)
    return heard


def _row(examples: Examples, signals: Sequence[tuple[Samples, Samples]], plan: Plan,
         cell: Cell) -> dict[str, Any]:  # fmt: skip
    runs = [
        _one(examples, said, ideal, cell, frame_ms=plan.frame_ms, seed=seed * 1_000 + nth)
        for nth, (said, ideal) in enumerate(signals)
        for seed in range(1, plan.seeds + 1)
    ]  # fmt: skip
    return {
        "loss_percent": cell.loss_percent,
        "jitter_ms": cell.jitter_ms,
        "frame_ms": plan.frame_ms,
        **{name: float(np.mean([one[name] for one in runs])) for name in runs[0]},
        "runs": len(runs),
    }


def _one(examples: Examples, said: Samples, ideal: Samples, cell: Cell,
         **settings: Any) -> dict[str, float]:  # fmt: skip
    heard, report = run(examples, said, loss_percent=cell.loss_percent, jitter_ms=cell.jitter_ms,
                        **settings)  # fmt: skip
    aligned = shifted(heard, lag_samples(said, heard, _LAG_MOST_MS * RATE_HZ // 1_000), len(said))
    percent = 100 / report["sent"]
    return {
        "lost_percent": report["lost_on_the_way"] * percent,
        "late_percent": report["late"] * percent,
        "concealed_percent": report["concealed"] * percent,
        "delay_p50_ms": report["delay_p50_ms"],
        "delay_p99_ms": report["delay_p99_ms"],
        "similarity": similarity(ideal, heard),
        "pesq": pesq_wb(said, aligned),
    }
