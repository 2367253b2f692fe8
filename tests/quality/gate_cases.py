"""The signals that the gate is measured on, and the figures over all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import gate
import numpy as np
from examples import Examples
from gate import Case, Outcome
from samples import RATE_HZ, Samples, coloured_noise, gain, high_pass, rms
from scores import lag_samples, pesq_wb, stoi_of
from voices import Speech, Voice, pauses_between, quiet_microphone

LEVELS_DBFS = (-20, -25, -30, -35, -40)
NOISES = ("white", "pink", "babble")
SNRS_DB = (20, 10, 5)
FRAMES_MS = (5, 10, 20)

# Long enough for the gate to close and for the noise to be heard alone.
_PAUSE_S = 2.0
_SLOPES = {"white": 0.0, "pink": 1.0}


@dataclass(frozen=True)
class Plan:
    """Which runs are made."""

    voices: Sequence[Voice]
    held_out: bool = False
    levels_dbfs: Sequence[int] = LEVELS_DBFS
    noises: Sequence[str] = NOISES
    snrs_db: Sequence[int] = SNRS_DB
    frames_ms: Sequence[int] = FRAMES_MS
    # The sound of clean speech is judged at these levels.
    scored_levels_dbfs: Sequence[int] = LEVELS_DBFS
    # Settings of the gate that are not the default, as the program `gate_on_wav` takes them.
    settings: dict[str, Any] = field(default_factory=dict)


def cases(speech: Speech, plan: Plan) -> Iterator[Case]:
    """Each voice, clean and in each noise, at each level."""
    for nth, voice in enumerate(plan.voices):
        clean = quiet_microphone(pauses_between(speech.of(voice), _PAUSE_S, seed=nth))
        noises = {name: _noise(speech, name, len(clean), nth, plan.held_out)
                  for name in plan.noises}  # fmt: skip
        for level in plan.levels_dbfs:
            louder = gain(level + 26)
            yield Case(voice.name, "clean", None, level, clean * louder, None)
            for name, noise in noises.items():
                for snr in plan.snrs_db:
                    loud = 32_768 * gain(level - snr)
                    yield Case(voice.name, name, snr, level, clean * louder, noise * loud)


def _noise(speech: Speech, name: str, count: int, nth: int, held_out: bool) -> Samples:
    """Noise with an RMS of 1 above 80 Hz; other noise for each voice, and where it is held out."""
    if name == "babble":
        noise = np.roll(speech.babble(count, held_out), nth * RATE_HZ)
    else:
        rng = np.random.default_rng([nth, int(held_out)])
        noise = coloured_noise(count, _SLOPES[name], rng)
    return noise / rms(high_pass(noise))


def measure(examples: Examples, speech: Speech, plan: Plan) -> list[Outcome]:
    """Runs every case at every frame duration."""
    runs = [(case, frame_ms) for case in cases(speech, plan) for frame_ms in plan.frames_ms]
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda one: gate.run(examples, one[0], one[1], plan.settings), runs))


def by_condition(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """A row for each noise, ratio and frame duration, over voices and levels."""
    keys = sorted({(one.case.noise != "clean", one.case.noise, -(one.case.snr_db or 99),
                    one.frame_ms) for one in outcomes})  # fmt: skip
    rows = []
    for _, noise, snr, frame_ms in keys:
        those = [one for one in outcomes if one.case.noise == noise
                 and one.frame_ms == frame_ms and -(one.case.snr_db or 99) == snr]  # fmt: skip
        rows.append({"noise": noise, "snr_db": None if snr == -99 else -snr, "frame_ms": frame_ms}
                    | _both(those))  # fmt: skip
    return rows


def by_level(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """A row for each level of clean speech and frame duration."""
    clean = [one for one in outcomes if one.case.noise == "clean"]
    keys = sorted({(-one.case.level_dbfs, one.frame_ms) for one in clean})
    return [
        {"level_dbfs": -level, "frame_ms": frame_ms}
        | _both([one for one in clean
                 if (-one.case.level_dbfs, one.frame_ms) == (level, frame_ms)])
        for level, frame_ms in keys
    ]  # fmt: skip


def by_run(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """A row for each signal and frame duration: where to look when a figure is bad."""
    return [
        {"voice": one.case.voice, "noise": one.case.noise, "snr_db": one.case.snr_db,
         "level_dbfs": one.case.level_dbfs, "frame_ms": one.frame_ms,
         "clipped_ms": one.figures.clipped_ms} | _both([one])
        for one in outcomes
    ]  # fmt: skip


def _both(outcomes: Sequence[Outcome]) -> dict[str, float]:
    strict = gate.summed([one.strict for one in outcomes])
    return gate.summed([one.figures for one in outcomes]) | {
        f"strict_{name}": value for name, value in strict.items() if name != "open_percent"
    }


def scored(outcomes: Sequence[Outcome], plan: Plan) -> list[dict[str, Any]]:
    """PESQ and STOI of what is heard of clean speech against what was said, a row for each frame
    duration and level."""
    rows = []
    for frame_ms in plan.frames_ms:
        for level in plan.scored_levels_dbfs:
            those = [one for one in outcomes if one.case.noise == "clean"
                     and (one.frame_ms, one.case.level_dbfs) == (frame_ms, level)]  # fmt: skip
            pairs = [(one.case.said, with_background(one) if len(one.heard) else None)
                     for one in those]  # fmt: skip
            with ProcessPoolExecutor() as pool:
                scores = list(pool.map(_scores, pairs))
            rows.append({
                "frame_ms": frame_ms,
                "level_dbfs": level,
                "pesq": float(np.mean([pesq for pesq, _ in scores])),
                "pesq_worst": min(pesq for pesq, _ in scores),
                "stoi": float(np.mean([stoi for _, stoi in scores])),
            })  # fmt: skip
    return rows


# Around speech so much of what is heard is judged: the delay of a pre-roll is part of it.
_JUDGED_BEFORE_MS, _JUDGED_AFTER_MS = 50, 400


def with_background(outcome: Outcome) -> Samples:
    """What is heard, with the background of the recording where there is no speech. A gate is there
    to take that away, and PESQ takes it for damage: 3.1 for a recording without a flaw."""
    said = outcome.case.said
    heard = np.pad(outcome.heard, (0, max(0, len(said) - len(outcome.heard))))[: len(said)]
    speech = gate.speech_places(outcome.case.clean)
    near = gate.near_speech(speech, _JUDGED_BEFORE_MS, _JUDGED_AFTER_MS)
    near = np.repeat(near, RATE_HZ * gate.STEP_MS // 1_000)
    near = np.pad(near, (0, max(0, len(said) - len(near))))[: len(said)]
    return np.where(near, heard, said)


def _scores(pair: tuple[Samples, Samples | None]) -> tuple[float, float]:
    said, heard = pair
    if heard is None:
        return 1.0, 0.0
    return pesq_wb(said, heard), stoi_of(said, aligned(said, heard))


def aligned(said: Samples, heard: Samples, part_ms: int = 100, most_ms: int = 300) -> Samples:
    """What was heard, moved back part by part to where it was said: a talkspurt begins late by its
    pre-roll, and that is no fault of its sound. A part that is not found stays with the last."""
    count, most = RATE_HZ * part_ms // 1000, RATE_HZ * most_ms // 1000
    padded = np.pad(heard, (0, most + count))
    out, lag = np.zeros(len(said)), 0
    loud = 0.05 * rms(said)
    for at in range(0, len(said), count):
        part = said[at : at + count]
        window = padded[at : at + len(part) + most]
        if rms(part) > loud and rms(window) > 0:
            lag = lag_samples(part, window, most)
        out[at : at + len(part)] = padded[at + lag : at + lag + len(part)]
    return out
