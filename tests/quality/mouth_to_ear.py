"""From mouth to ear: real programs on virtual sound cards, and by how much what the listener's
speaker plays is later than what the talker's microphone hears."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import cards
import delays
import numpy as np
import shown
import stages
from delays import Part
from samples import RATE_HZ, Samples, read_wav, write_wav
from scipy.signal import resample_poly
from scores import pesq_wb
from systems import Running, System, end
from voices import VOICES, Speech

# A frozen program, or machine, for so long.
STALL_S = 1.0
# Of a long run, sound is judged for so long.
_PESQ_S = 60
_LEAD_S = 1.0


@dataclass(frozen=True)
class Scenario:
    """What is said, and what befalls the machine meanwhile."""

    seconds: float
    # Between two sentences: long enough for the gate to close, or not.
    pause_s: float = 1.2
    # Who is frozen in the middle of the run, if anybody: "talker", "listener" or "machine".
    stall: str | None = None
    # So many programs that only compute.
    busy: int = 0


@dataclass
class Run:
    """What came of a system in a scenario."""

    name: str
    scenario: Scenario
    parts: list[Part]
    pesq: float | None
    # From when to when the programs were frozen, in the time of the parts.
    stall_ms: tuple[float, float] | None = None
    logs: dict[str, str] = field(default_factory=dict)
    # When the recording began, in the time of the programs.
    recorded_from_ms: float = 0.0

    def row(self, bare_ms: float) -> dict[str, Any]:
        """The figures of the run, less the bare loop's delay."""
        row: dict[str, Any] = {"name": self.name, **asdict(self.scenario)}
        row |= delays.figures(self.parts, bare_ms)
        row["early"] = delays.figures(delays.early(self.parts), bare_ms)
        row["settled"] = delays.figures(delays.settled(self.parts), bare_ms)
        row["pesq"] = self.pesq
        # All of it, as the listener's client says it: its cards' delay is in it.
        talker_log, listener_log = (self.logs.get(f"{who}.log", "")
                                    for who in (cards.TALKER, cards.LISTENER))  # fmt: skip
        row["stages"] = stages.stages(talker_log, listener_log)
        said = shown.shown(listener_log)
        row["shown"] = shown.compared(
            self.parts, [(at_ms - self.recorded_from_ms, ms) for at_ms, ms in said])  # fmt: skip
        if self.stall_ms is not None:
            begin, end = self.stall_ms
            row["stall_ms"] = self.stall_ms
            before = delays.median_ms(delays.between(self.parts, 0, begin - 200))
            # The last of it: what remains of the stall.
            after = delays.median_ms(delays.between(self.parts, end + 8_000, end + 60_000))
            row["before_ms"] = None if before is None else before - bare_ms
            row["after_ms"] = None if after is None else after - bare_ms
            row["recovered_after_ms"] = delays.recovered_after_ms(self.parts, self.stall_ms)
        last = max((part.at_ms for part in self.parts), default=0)
        if last > 120_000:
            row["first_minute"] = delays.figures(
                delays.between(self.parts, 0, 60_000), bare_ms)  # fmt: skip
            row["last_minute"] = delays.figures(
                delays.between(self.parts, last - 60_000, last + 1), bare_ms)  # fmt: skip
        return row


def speech(made: Speech, scenario: Scenario) -> Samples:
    """Sentences of two voices in turn, at 48 kHz and loud enough for a fixed gate."""
    one, other = (made.of(voice) for voice in VOICES[:2])
    sentences = [part for pair in zip(one, other, strict=True) for part in pair]
    pause = np.zeros(int(scenario.pause_s * RATE_HZ))
    out: list[Samples] = [np.zeros(int(_LEAD_S * RATE_HZ))]
    seconds, nth = 0.0, 0
    while seconds < scenario.seconds:
        # The silence around it counts for the pause.
        sentence = sentences[nth % len(sentences)][1_600:-1_600]
        sentence = sentence * (24_000 / np.max(np.abs(sentence)))
        out += [sentence, pause]
        seconds += (len(sentence) + len(pause)) / RATE_HZ
        nth += 1
    return resample_poly(np.concatenate(out), cards.RATE_HZ // RATE_HZ, 1)


def run(system: System, scenario: Scenario, made: Speech) -> Run:
    """Measures a system once."""
    _say(f"{system.name}: {scenario.seconds:.0f} s"
         + (f", {scenario.stall} stalls" if scenario.stall else "")
         + (", busy machine" if scenario.busy else ""))  # fmt: skip
    with cards.Cards() as sound, tempfile.TemporaryDirectory(prefix="ear") as temporary:
        folder = Path(temporary)
        said = speech(made, scenario)
        write_wav(folder / "said.wav", said, cards.RATE_HZ)
        with system.start(sound, folder) as programs, _Busy(scenario.busy):
            time.sleep(system.warm_up_s)
            recorder = sound.record(folder / "heard.wav")
            recorded_from_ms = (time.monotonic() - programs.started_at) * 1_000
            time.sleep(0.5)
            player = sound.play(folder / "said.wav")
            if scenario.stall is not None:
                time.sleep(_LEAD_S + scenario.seconds / 2)
                _stall(scenario.stall, programs, sound)
            player.wait()
            time.sleep(1.0)
            end([recorder])
        channels = read_wav(folder / "heard.wav")
        logs = {path.name: path.read_text(errors="replace") for path in folder.glob("*.log")}
    judged = _judged(system.name, scenario, channels, len(said), logs)
    judged.recorded_from_ms = recorded_from_ms
    return judged


def _judged(name: str, scenario: Scenario, channels: Samples, said_count: int,
            logs: dict[str, str]) -> Run:  # fmt: skip
    said, heard = channels[cards.SAID], channels[cards.HEARD]
    loud = np.flatnonzero(np.abs(said) > 300)
    if not len(loud):
        return Run(name, scenario, [], None, None, logs)
    listener = delays.Listener(said, heard, cards.RATE_HZ)
    parts = listener.parts(2_500 if scenario.stall else 500)
    stall_ms = None
    if scenario.stall is not None:
        begins = loud[0] / cards.RATE_HZ * 1_000 + scenario.seconds / 2 * 1_000
        stall_ms = (begins, begins + STALL_S * 1_000)
    return Run(name, scenario, parts, _pesq(said, heard, parts), stall_ms, logs)


def _pesq(said: Samples, heard: Samples, parts: Sequence[Part]) -> float | None:
    """How what is heard sounds, with the median delay taken away."""
    delay = delays.median_ms(parts)
    if delay is None:
        return None
    shift, count = int(delay * cards.RATE_HZ / 1_000), _PESQ_S * cards.RATE_HZ
    pair = (said[: len(said) - shift][:count], heard[shift:][:count])
    return pesq_wb(*(resample_poly(one, 1, cards.RATE_HZ // RATE_HZ) for one in pair))


def _stall(who: str, programs: Running, sound: cards.Cards) -> None:
    """Freezes programs for a second."""
    frozen: list[int] = {
        "talker": [programs.talker.pid],
        "listener": [programs.listener.pid],
        "machine": [sound.daemon.pid, programs.talker.pid, programs.listener.pid,
                    *(other.pid for other in programs.others)],
    }[who]  # fmt: skip
    try:
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(STALL_S)
    finally:
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)


class _Busy:
    """Programs that take all the time that they are given."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._programs: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> None:
        loop = [sys.executable, "-c", "while True: pass"]
        self._programs = [subprocess.Popen(loop) for _ in range(self._count)]

    def __exit__(self, *_: object) -> None:
        for program in self._programs:
            program.kill()
            program.wait()


def _say(text: str) -> None:
    print(f"==> {text}", file=sys.stderr, flush=True)
