"""What lost packets cost: PESQ and STOI of speech that went through the core, without a gate, and
lost packets on the way."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from examples import Examples
from samples import RATE_HZ, Samples
from scores import lag_samples, pesq_wb, shifted, stoi_of
from voices import Speech, Voice, pauses_between

LOSSES_PERCENT = (0, 1, 5, 10, 20)
CODECS = ("pcm16", "adpcm")
# Issue 8 asks for so much, of PCM16.
PESQ_TARGETS = {1: 4.25, 5: 3.2, 10: 2.35, 20: 1.8}

# The delay of playout that is found at most.
_LAG_MOST = RATE_HZ // 2


@dataclass(frozen=True)
class Scores:
    """What one run sounds like."""

    pesq: float
    stoi: float
    concealed: int


@dataclass(frozen=True)
class Plan:
    """Which runs are made."""

    voices: Sequence[Voice]
    seeds: int
    frame_ms: int = 20
    losses_percent: Sequence[int] = LOSSES_PERCENT
    codecs: Sequence[str] = CODECS


def said_by(speech: Speech, voice: Voice) -> Samples:
    """What a voice says, with a breath between the sentences."""
    return pauses_between(speech.of(voice), 0.3, seed=1)


def run(examples: Examples, said: Samples, **settings: Any) -> Scores:
    """One pass through the network."""
    # What waits in front of the speaker at the end is heard, too.
    heard, report = examples.run("loss_on_wav", np.pad(said, (0, _LAG_MOST)), **settings)
    aligned = shifted(heard, lag_samples(said, heard, _LAG_MOST), len(said))
    return Scores(pesq_wb(said, aligned), stoi_of(said, aligned), report["concealed"])


def measure(examples: Examples, speech: Speech, plan: Plan) -> list[dict[str, Any]]:
    """A row for each codec and loss: means over voices and seeds."""
    signals = [said_by(speech, voice) for voice in plan.voices]
    cells = [(codec, loss) for codec in plan.codecs for loss in plan.losses_percent]
    with ProcessPoolExecutor() as pool:
        return list(pool.map(partial(_row, examples, signals, plan), cells))


def _row(examples: Examples, signals: Sequence[Samples], plan: Plan,
         cell: tuple[str, int]) -> dict[str, Any]:  # fmt: skip
    codec, loss_percent = cell
    seeds = range(1, plan.seeds + 1) if loss_percent else (1,)
    scores = [
        run(examples, said, codec=codec, frame_ms=plan.frame_ms, loss_percent=loss_percent,
            seed=seed * 1_000 + nth)
        for nth, said in enumerate(signals) for seed in seeds
    ]  # fmt: skip
    return {
        "codec": codec,
        "frame_ms": plan.frame_ms,
        "loss_percent": loss_percent,
        "pesq": float(np.mean([score.pesq for score in scores])),
        "pesq_worst": min(score.pesq for score in scores),
        "stoi": float(np.mean([score.stoi for score in scores])),
        "runs": len(scores),
    }
