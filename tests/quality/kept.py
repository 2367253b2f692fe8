"""Figures that are kept in a file, each with its tolerance, and what is worse than it was."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("kept.json")

# How much worse a figure may be: what another processor or version of espeak-ng may cost. By the
# end of its name, with the direction in which it is better.
_TOLERANCES: dict[str, tuple[float, str]] = {
    "pesq": (0.05, "higher"),
    "stoi": (0.005, "higher"),
    "similarity": (0.01, "higher"),
    "late_percent": (0.5, "lower"),
    "concealed_percent": (0.5, "lower"),
    "delay_p50_ms": (5.0, "lower"),
    "delay_p99_ms": (20.0, "lower"),
    "missed_percent": (0.5, "lower"),
    "onset_mean_ms": (2.0, "lower"),
    "onset_worst_ms": (10.0, "lower"),
    "open_percent": (1.0, "lower"),
}


@dataclass(frozen=True)
class Verdict:
    """How a figure stands."""

    name: str
    measured: float | None
    kept: float | None
    outcome: str

    @property
    def is_good(self) -> bool:
        return self.outcome in ("good", "better: keep it with --keep")


def figures_of(results: Mapping[str, Any]) -> dict[str, float]:
    """The figures that are kept, of what the short form computes. None of them is measured in
    real time."""
    out: dict[str, float] = {}
    for row in results.get("loss", ()):
        place = f"loss/{row['codec']}/{row['loss_percent']}"
        out |= {f"{place}/{name}": row[name] for name in ("pesq", "stoi")}
    for row in results.get("network", ()):
        place = f"network/{row['loss_percent']}-{row['jitter_ms']}ms"
        out |= {f"{place}/{name}": row[name] for name in
                ("late_percent", "concealed_percent", "delay_p50_ms", "delay_p99_ms",
                 "similarity", "pesq")}  # fmt: skip
    gate = results.get("gate", {})
    for row in gate.get("conditions", ()):
        snr = "" if row["snr_db"] is None else f"-{row['snr_db']}"
        place = f"gate/{row['noise']}{snr}/{row['frame_ms']}ms"
        out |= {f"{place}/{name}": row[name] for name in
                ("missed_percent", "onset_mean_ms", "onset_worst_ms", "open_percent")}  # fmt: skip
    for row in gate.get("scores", ()):
        place = f"gate/clean/{row['frame_ms']}ms"
        out |= {f"{place}/{name}": row[name] for name in ("pesq", "stoi")}
    return {name: round(value, 3) for name, value in out.items()}


def keep(measured: Mapping[str, float], path: Path = FILE) -> None:
    """Keeps these figures from now on."""
    entries = {}
    for name in sorted(measured):
        tolerance, better = _TOLERANCES[name.rsplit("/", 1)[1]]
        entries[name] = {"value": measured[name], "tolerance": tolerance, "better": better}
    path.write_text(json.dumps(entries, indent=1) + "\n")


def judge(measured: Mapping[str, float], path: Path = FILE) -> list[Verdict]:
    """Each figure beside the kept one, the bad ones first."""
    kept = json.loads(path.read_text()) if path.exists() else {}
    verdicts = [_judged(name, measured.get(name), kept.get(name))
                for name in sorted({*measured, *kept})]  # fmt: skip
    return sorted(verdicts, key=lambda verdict: verdict.is_good)


def _judged(name: str, measured: float | None, kept: Mapping[str, Any] | None) -> Verdict:
    if kept is None:
        return Verdict(name, measured, None, "NEW: keep it with --keep")
    if measured is None:
        return Verdict(name, None, kept["value"], "NOT MEASURED")
    worse_by = measured - kept["value"]
    if kept["better"] == "higher":
        worse_by = -worse_by
    outcome = "good"
    if worse_by > kept["tolerance"]:
        outcome = "WORSE: mend it, or keep it with --keep and say why"
    elif worse_by < -kept["tolerance"]:
        outcome = "better: keep it with --keep"
    return Verdict(name, measured, kept["value"], outcome)
