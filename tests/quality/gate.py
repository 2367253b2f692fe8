"""What the gate costs: speech that it misses, onsets that it clips, noise that holds it open.

**Speech** is what the clean signal has within 35 dB of its active level (ITU-T P.56), behind an
80 Hz high-pass, in windows of 10 ms at every 5 ms; in a recording, only what is 10 dB above its own
background; in noise, only what is not more than 5 dB below the noise: nobody hears the rest.
Figures that are called strict know no noise.

**Missed** is the share of that time which was not sent. **An onset** is the beginning of speech
after 300 ms without any, where at least 50 ms of the next 200 are speech; **clipped** is the time
from there to the first moment that was sent, or all of that speech. **Open without speech** is the
share of the time that was sent, of that which lies more than 500 ms behind speech and more than
250 before it: hold and pre-roll are no fault.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from examples import Examples
from samples import FULL_SCALE, RATE_HZ, Samples, active_level_dbfs, high_pass, rms

# One place on the time axis.
STEP_MS = 5
_WINDOW_MS = 10

SPEECH_BELOW_ACTIVE_DB = 35.0
ABOVE_BACKGROUND_DB = 10.0
AUDIBLE_BELOW_NOISE_DB = 5.0
ONSET_AFTER_MS = 300
ONSET_SPEECH_MS, ONSET_WITHIN_MS = 50, 200
HOLD_MS, PRE_ROLL_MS = 500, 250


def levels_db(samples: Samples) -> Samples:
    """The level of each place in dBFS."""
    squares = np.cumsum(np.concatenate([[0.0], np.square(high_pass(samples))]))
    step, window = RATE_HZ * STEP_MS // 1000, RATE_HZ * _WINDOW_MS // 1000
    starts = np.arange(0, len(samples) - window + 1, step)
    mean = (squares[starts + window] - squares[starts]) / window
    return 10 * np.log10(np.maximum(mean, 1e-3) / FULL_SCALE**2)


def speech_places(clean: Samples, noise_rms: float = 0.0) -> np.ndarray:
    """Where there is speech that can be heard."""
    levels = levels_db(clean)
    background = float(np.percentile(levels, 10))
    least = max(active_level_dbfs(high_pass(clean)) - SPEECH_BELOW_ACTIVE_DB,
                background + ABOVE_BACKGROUND_DB)  # fmt: skip
    if noise_rms > 0:
        least = max(least, 20 * np.log10(noise_rms / FULL_SCALE) - AUDIBLE_BELOW_NOISE_DB)
    return levels >= least


def onsets(speech: np.ndarray) -> list[tuple[int, int]]:
    """First and last place (exclusive) of each run of speech without a long gap."""
    places = np.flatnonzero(speech)
    if not len(places):
        return []
    breaks = np.flatnonzero(np.diff(places) > ONSET_AFTER_MS // STEP_MS)
    firsts = places[np.concatenate([[0], breaks + 1])]
    lasts = places[np.concatenate([breaks, [len(places) - 1]])]
    within, least = ONSET_WITHIN_MS // STEP_MS, ONSET_SPEECH_MS // STEP_MS
    out = []
    for first, last in zip(firsts, lasts, strict=True):
        # A click in front of a word is not its beginning.
        dense = [place for place in places[(places >= first) & (places <= last)]
                 if np.count_nonzero(speech[place : place + within]) >= least]  # fmt: skip
        if dense:
            out.append((int(dense[0]), int(last) + 1))
    return out


def near_speech(speech: np.ndarray, before_ms: int, after_ms: int) -> np.ndarray:
    """Where there is speech, or was or will be so soon."""
    before, after = before_ms // STEP_MS, after_ms // STEP_MS
    near = np.zeros(len(speech), dtype=bool)
    for place in np.flatnonzero(speech):
        near[max(0, place - before) : place + 1 + after] = True
    return near


def far_from_speech(speech: np.ndarray) -> np.ndarray:
    """Where neither hold nor pre-roll is an excuse."""
    return ~near_speech(speech, PRE_ROLL_MS, HOLD_MS)


def sent_places(spans_ms: Iterable[Sequence[float]], count: int) -> np.ndarray:
    """Where what was said was sent."""
    sent = np.zeros(count, dtype=bool)
    for start, end in spans_ms:
        sent[round(start / STEP_MS) : round(end / STEP_MS)] = True
    return sent


@dataclass(frozen=True)
class GateFigures:
    """What a gate did to one signal."""

    speech_places: int
    missed_places: int
    clipped_ms: tuple[int, ...]
    far_places: int
    open_places: int

    @classmethod
    def of(cls, speech: np.ndarray, sent: np.ndarray) -> GateFigures:
        """By where there was speech, and what was sent."""
        clipped = []
        for first, end in onsets(speech):
            heard = np.flatnonzero(sent[first:end])
            clipped.append(STEP_MS * int(heard[0] if len(heard) else end - first))
        far = far_from_speech(speech)
        return cls(
            speech_places=int(np.count_nonzero(speech)),
            missed_places=int(np.count_nonzero(speech & ~sent)),
            clipped_ms=tuple(clipped),
            far_places=int(np.count_nonzero(far)),
            open_places=int(np.count_nonzero(far & sent)),
        )


def summed(figures: Sequence[GateFigures]) -> dict[str, float]:
    """Figures over several signals, as tables show them."""
    clipped = [ms for one in figures for ms in one.clipped_ms]
    speech, far = (sum(one.speech_places for one in figures),
                   sum(one.far_places for one in figures))  # fmt: skip
    return {
        "missed_percent": 100 * sum(one.missed_places for one in figures) / max(1, speech),
        "onset_mean_ms": float(np.mean(clipped)) if clipped else 0.0,
        "onset_worst_ms": float(max(clipped, default=0)),
        "open_percent": 100 * sum(one.open_places for one in figures) / max(1, far),
    }


@dataclass(frozen=True)
class Case:
    """One signal for the gate."""

    voice: str
    noise: str
    snr_db: int | None
    level_dbfs: int
    clean: Samples
    noise_alone: Samples | None

    @property
    def said(self) -> Samples:
        """What the microphone hears."""
        return self.clean if self.noise_alone is None else self.clean + self.noise_alone


@dataclass(frozen=True)
class Outcome:
    """What became of a case."""

    case: Case
    frame_ms: int
    figures: GateFigures
    strict: GateFigures
    heard: Samples


def run(examples: Examples, case: Case, frame_ms: int, settings: dict[str, Any]) -> Outcome:
    """Runs the gate on a case."""
    heard, report = examples.run("gate_on_wav", case.said, frame_ms=frame_ms, **settings)
    noise_rms = 0.0 if case.noise_alone is None else rms(high_pass(case.noise_alone))
    speech, strict = speech_places(case.clean, noise_rms), speech_places(case.clean)
    spans_ms = [[frame * frame_ms for frame in span] for span in report["sent_frames"]]
    sent = sent_places(spans_ms, len(speech))
    return Outcome(case, frame_ms, GateFigures.of(speech, sent), GateFigures.of(strict, sent),
                   heard)  # fmt: skip
