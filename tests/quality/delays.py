"""By how much what is heard is later than what was said, part by part.

A part of 200 ms is looked for in what is heard by cross-correlation, and is found where the
similarity (the normalised correlation) is at least 0.9. Where it is not found whole, each half of
it is looked for near the delay of the part before: time compression moves the two apart. Counts are
in halves, of 100 ms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from samples import Samples
from scipy.signal import butter, fftconvolve, sosfiltfilt

SIMILAR = 0.9
_PART_MS = 200
# A part with less than this RMS is a pause.
_LOUD_RMS = 300.0
# So much silence separates two talkspurts.
_PAUSE_MS = 400
# So far from the last delay half a part is looked for: voiced speech is like itself a pitch period
# later.
_NEAR_MS = 30.0


@dataclass(frozen=True)
class Part:
    """One half of a part that was said."""

    at_ms: float
    """When it was said."""
    since_onset_ms: float
    """How long after the beginning of its talkspurt."""
    delay_ms: float | None
    """`None` if it was not found."""
    similarity: float


class Listener:
    """Two channels of one recording."""

    def __init__(self, said: Samples, heard: Samples, rate_hz: int) -> None:
        # What every system transmits, so that none looks worse for its bandwidth.
        band = butter(3, (100, 3_400), "bandpass", fs=rate_hz, output="sos")
        self._said = sosfiltfilt(band, said)
        self._heard = sosfiltfilt(band, heard)
        self._per_ms = rate_hz // 1_000

    def parts(self, most_ms: float = 500) -> list[Part]:
        """Every part that was said, with its delay of at most so much."""
        length, far = _PART_MS * self._per_ms, int(most_ms * self._per_ms)
        found: list[Part] = []
        onset, loud_before, last_delay = 0, -length * 10, None
        for at in range(0, len(self._said) - length - far, length):
            said = self._said[at : at + length]
            if not _is_loud(said):
                continue
            if at - loud_before > _PAUSE_MS * self._per_ms:
                onset = at + int(np.argmax(np.abs(said) > _LOUD_RMS))
            loud_before = at + length
            delay, similarity = self._find(said, at, 0, far)
            if similarity >= SIMILAR:
                last_delay = delay
                halves = [(delay, similarity)] * 2
            else:
                halves = self._halves(said, at, far, last_delay)
            for nth, (delay, similarity) in enumerate(halves):
                if not _is_loud(said[nth * length // 2 :][: length // 2]):
                    continue
                starts = at + nth * length // 2
                found.append(Part(
                    at_ms=starts / self._per_ms,
                    since_onset_ms=(starts - onset) / self._per_ms,
                    delay_ms=delay / self._per_ms if similarity >= SIMILAR else None,
                    similarity=similarity,
                ))  # fmt: skip
        return found

    def _halves(self, said: Samples, at: int, far: int,
                last_delay: int | None) -> list[tuple[int, float]]:  # fmt: skip
        near = int(_NEAR_MS * self._per_ms)
        if last_delay is None:
            least, most = 0, far
        else:
            least, most = max(0, last_delay - near), min(far, last_delay + near)
        middle = len(said) // 2
        return [self._find(said[:middle], at, least, most),
                self._find(said[middle:], at + middle, least, most)]  # fmt: skip

    def _find(self, said: Samples, at: int, least: int, most: int) -> tuple[int, float]:
        """The delay at which a part is heard best, and how similar it is there."""
        window = self._heard[at + least : at + most + len(said)]
        if len(window) < len(said):
            return 0, 0.0
        product = fftconvolve(window, said[::-1], mode="valid")
        energy = np.cumsum(np.concatenate([[0.0], window**2]))
        energy = energy[len(said) :] - energy[: -len(said)]
        # What is too soft to be the part is not similar to it.
        energy = np.maximum(energy, 1e-3 * np.sum(said**2) + 1.0)
        similarity = product / np.sqrt(energy * np.sum(said**2))
        best = int(np.argmax(similarity))
        return least + best, float(similarity[best])


def _is_loud(samples: Samples) -> bool:
    return bool(np.sqrt(np.mean(samples**2)) >= _LOUD_RMS)


def figures(parts: Sequence[Part], bare_ms: float = 0.0) -> dict[str, float | int | None]:
    """What tables show of some parts, less the delay of the bare loop."""
    found = [part.delay_ms - bare_ms for part in parts if part.delay_ms is not None]
    return {
        "said": len(parts),
        "found": len(found),
        "median_ms": float(np.median(found)) if found else None,
        "p99_ms": float(np.percentile(found, 99)) if found else None,
        "least_ms": min(found, default=None),
        "most_ms": max(found, default=None),
    }


def median_ms(parts: Sequence[Part]) -> float | None:
    """The median delay, if there is one."""
    found = [part.delay_ms for part in parts if part.delay_ms is not None]
    return float(np.median(found)) if found else None


def early(parts: Sequence[Part]) -> list[Part]:
    """Those of the first half second of each talkspurt."""
    return [part for part in parts if part.since_onset_ms < 500]


def settled(parts: Sequence[Part]) -> list[Part]:
    """Those from the second second of each talkspurt on."""
    return [part for part in parts if part.since_onset_ms >= 1_000]


def between(parts: Sequence[Part], start_ms: float, end_ms: float) -> list[Part]:
    """Those said in a span of time."""
    return [part for part in parts if start_ms <= part.at_ms < end_ms]


def recovered_after_ms(parts: Sequence[Part], stall_ms: tuple[float, float],
                       within_ms: float = 20) -> float | None:  # fmt: skip
    """How long after the end of a stall the delay is back, and stays: no more than `within_ms`
    above the 90th percentile of what it was before, as talkspurts that begin are late by their
    pre-roll. `None` if it never is."""
    start, end = stall_ms
    calm = [part.delay_ms for part in parts
            if part.at_ms < start - _PART_MS and part.delay_ms is not None]  # fmt: skip
    after = [part for part in parts if part.at_ms >= end and part.delay_ms is not None]
    if not calm or not after:
        return None
    before = float(np.percentile(calm, 90))
    late = [part for part in after if (part.delay_ms or 0.0) > before + within_ms]
    if not late:
        return 0.0
    if late[-1] is after[-1]:
        return None
    return late[-1].at_ms + _PART_MS / 2 - end
