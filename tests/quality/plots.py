"""The figures as SVG plots. The same figures give the same bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import loss
import matplotlib
import numpy as np
import tables
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure

Row = dict[str, Any]

# Okabe and Ito's colours, which everybody can tell apart.
BLUE, ORANGE, GREEN, GREY = "#0072b2", "#d55e00", "#009e73", "#8a8f98"
INK, FAINT = "#24292f", "#d8dee4"
_OF_FRAME = {5: GREEN, 10: BLUE, 20: ORANGE}
# The talker's warm, the network grey, the listener's cold.
_OF_STAGE = {
    "microphone": "#a63603",
    "frame": ORANGE,
    "pre-roll": "#f0a35e",
    "to the server": "#b8bec6",
    "server": GREY,
    "from the server": "#b8bec6",
    "jitter buffer": "#56b4e9",
    "speaker": BLUE,
}
# A stage that is shorter has no room for its figure.
_STAGE_MS_NAMED = 1.8

_STYLE: dict[Any, Any] = {
    "svg.hashsalt": "talkspurt",
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlepad": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#eceff2",
    "grid.linewidth": 1,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "lines.linewidth": 2,
    "lines.solid_capstyle": "round",
    "figure.facecolor": "white",
}


def draw(results: Mapping[str, Any], folder: Path) -> None:
    """Writes every plot that there are figures for."""
    matplotlib.use("svg")
    folder.mkdir(parents=True, exist_ok=True)
    if "loss" in results:
        draw_loss(results["loss"], folder / "loss.svg")
    if "network" in results:
        draw_network(results["network"], folder / "network.svg")
    if "gate" in results:
        draw_gate_by_noise(results["gate"]["conditions"], folder / "gate-by-noise.svg")
        draw_gate_by_level(results["gate"]["levels"], results["gate"]["scores"],
                           folder / "gate-by-level.svg")  # fmt: skip
    delay = results.get("delay", {})
    if delay.get("rows"):
        draw_delay(delay["rows"], folder / "delay.svg")
        draw_talkspurt(delay["rows"], folder / "delay-in-talkspurt.svg")
        draw_stages(delay["rows"], folder / "delay-stages.svg")
    if delay.get("stalls"):
        draw_stalls(delay["stalls"], folder / "delay-after-stall.svg")


@contextmanager
def _figure(path: Path, width: float, height: float, columns: int = 1, rows: int = 1,
            **options: Any) -> Iterator[tuple[Figure, list[Axes]]]:  # fmt: skip
    with pyplot.rc_context(_STYLE):
        figure, axes = pyplot.subplots(rows, columns, figsize=(width, height), squeeze=False,
                                       layout="constrained", **options)  # fmt: skip
        try:
            yield figure, list(axes.flat)
            figure.savefig(path, metadata={"Date": None, "Creator": None})
        finally:
            pyplot.close(figure)


def draw_loss(rows: Sequence[Row], path: Path) -> None:
    """PESQ by loss."""
    with _figure(path, 6.4, 3.8) as (_, (axes,)):
        for codec, name, colour in (("pcm16", "PCM16", BLUE), ("adpcm", "ADPCM", ORANGE)):
            those = sorted((row for row in rows if row["codec"] == codec),
                           key=lambda row: row["loss_percent"])  # fmt: skip
            if not those:
                continue
            x = [row["loss_percent"] for row in those]
            y = [row["pesq"] for row in those]
            axes.plot(x, y, marker="o", color=colour, label=name, clip_on=False, zorder=3)
            for at, value in zip(x, y, strict=True):
                axes.annotate(f"{value:.2f}", (at, value), (7, -13), textcoords="offset points",
                              fontsize=9, color=colour)  # fmt: skip
        targets = loss.PESQ_TARGETS
        axes.plot(list(targets), list(targets.values()), linestyle="none", marker="_",
                  markersize=16, markeredgewidth=2, color=INK, label="target, PCM16")  # fmt: skip
        axes.set(xlabel="packets lost, %", ylabel="PESQ-WB", ylim=(1, 4.8), xlim=(0, 22),
                 title="Speech after lost packets")  # fmt: skip
        axes.set_xticks([0, 1, 5, 10, 20])
        axes.legend(loc="upper right")


# From no jitter to the most, each with the width of its line: those below show beside the others.
_OF_JITTER = (("#b5dcf2", 5.2), ("#5aabd9", 3.4), (BLUE, 2.1), ("#00263d", 1.4))


def draw_network(rows: Sequence[Row], path: Path) -> None:
    """What is concealed and late, the delay, the similarity and PESQ, by loss and jitter."""
    jitters = sorted({row["jitter_ms"] for row in rows})
    losses = sorted({row["loss_percent"] for row in rows})
    panels = (("concealed_percent", "late_percent", "Concealed (dashed: late), % of packets"),
              ("delay_p50_ms", "delay_p99_ms", "Playout delay (dashed: p99), ms"),
              ("similarity", None, "Similarity to the ideal mix"),
              ("pesq", None, "PESQ-WB"))  # fmt: skip
    with _figure(path, 8.8, 6.6, 2, 2) as (figure, all_axes):
        figure.get_layout_engine().set(wspace=0.06, hspace=0.06)
        for axes, (name, dashed, title) in zip(all_axes, panels, strict=True):
            for jitter_ms, (colour, wide) in zip(jitters, _OF_JITTER, strict=False):
                those = sorted((row for row in rows if row["jitter_ms"] == jitter_ms),
                               key=lambda row: row["loss_percent"])  # fmt: skip
                x = [row["loss_percent"] for row in those]
                axes.plot(x, [row[name] for row in those], marker="o", markersize=wide + 2.5,
                          linewidth=wide, color=colour, label=f"{jitter_ms} ms", clip_on=False,
                          zorder=3)  # fmt: skip
                if dashed:
                    axes.plot(x, [row[dashed] for row in those], color=colour, linewidth=1.4,
                              linestyle=(0, (4, 2)), clip_on=False, zorder=2)  # fmt: skip
            axes.set_title(title)
            axes.set_xlim(0, max(losses) * 1.03)
            axes.set_xticks(losses)
            axes.tick_params(pad=6)
            axes.set_ylim(bottom=0)
        for axes in all_axes[2:]:
            axes.set_xlabel("packets lost, %")
        all_axes[2].set_ylim(0.8, 1.0)
        all_axes[2].set_yticks([0.8, 0.85, 0.9, 0.95, 1.0])
        all_axes[3].set_ylim(1, 4.8)
        figure.legend(*all_axes[0].get_legend_handles_labels(), title="jitter of up to",
                      loc="outside lower center", ncols=len(jitters))  # fmt: skip


def draw_gate_by_noise(rows: Sequence[Row], path: Path) -> None:
    """Speech missed, onsets clipped and time open, by noise."""
    conditions = tables.conditions(rows)
    panels = (("missed_percent", "Speech missed, %", 0), ("onset_mean_ms", "Onset clipped, ms", 2),
              ("open_percent", "Open without speech, %", 1))  # fmt: skip
    height = 1.3 + 0.34 * len(conditions)
    with _figure(path, 9.6, height, len(panels), sharey=True) as (figure, all_axes):
        for axes, (name, title, promise) in zip(all_axes, panels, strict=True):
            _gate_panel(axes, rows, conditions, name, promise)
            axes.set_title(title)
        figure.get_layout_engine().set(wspace=0.06)
        first = all_axes[0]
        first.set_yticks(range(len(conditions)), [tables.condition_name(*one)
                                                  for one in conditions])  # fmt: skip
        first.invert_yaxis()
        figure.legend(*first.get_legend_handles_labels(), loc="outside lower center", ncols=4)


def _gate_panel(axes: Axes, rows: Sequence[Row], conditions: Sequence[tuple[str, int | None]],
                name: str, promise: int) -> None:  # fmt: skip
    largest = 1.0
    for frame_ms, colour in _OF_FRAME.items():
        spread = {5: -0.2, 10: 0.0, 20: 0.2}[frame_ms]
        points = [(row[name], conditions.index((row["noise"], row["snr_db"])) + spread)
                  for row in rows if row["frame_ms"] == frame_ms]  # fmt: skip
        if points:
            x, y = zip(*points, strict=True)
            largest = max(largest, *x)
            axes.plot(x, y, linestyle="none", marker="o", markersize=5.5, color=colour,
                      label=f"{frame_ms} ms frames", clip_on=False, zorder=3)  # fmt: skip
    limits = [(promised[promise], place) for place, one in enumerate(conditions)
              if (promised := tables.PROMISED.get(one)) is not None]  # fmt: skip
    if limits:
        x, y = zip(*limits, strict=True)
        largest = max(largest, *x)
        axes.plot(x, y, linestyle="none", marker="|", markersize=17, markeredgewidth=2, color=INK,
                  label="promised at most")  # fmt: skip
    axes.set_xlim(0, largest * 1.08)
    axes.grid(axis="y", visible=False)
    for place in range(0, len(conditions), 2):
        axes.axhspan(place - 0.5, place + 0.5, color="#f6f8fa", zorder=-1, linewidth=0)


def draw_gate_by_level(levels: Sequence[Row], scores: Sequence[Row], path: Path) -> None:
    """Clean speech by its level."""
    with _figure(path, 9.6, 3.6, 2) as (_, (missed, sound)):
        for frame_ms, colour in _OF_FRAME.items():
            for axes, rows, name in ((missed, levels, "missed_percent"), (sound, scores, "pesq")):
                those = [row for row in rows if row["frame_ms"] == frame_ms]
                axes.plot([row["level_dbfs"] for row in those], [row[name] for row in those],
                          marker="o", color=colour, label=f"{frame_ms} ms frames",
                          clip_on=False, zorder=3)  # fmt: skip
                axes.set_xticks(sorted({row["level_dbfs"] for row in rows}))
        missed.set(title="Clean speech missed, %", xlabel="active level, dBFS")
        missed.set_ylim(0, max(5, missed.get_ylim()[1]))
        sound.set(title="PESQ-WB of what is heard", xlabel="active level, dBFS", ylim=(1, 4.7))
        missed.legend(loc="best")


def draw_delay(rows: Sequence[Row], path: Path) -> None:
    """Median, p99 and range of each system."""
    with _figure(path, 8.4, 1.3 + 0.46 * len(rows)) as (_, (axes,)):
        for place, row in enumerate(rows):
            if row["median_ms"] is None:
                continue
            colour = BLUE if row["name"].startswith("Talkspurt") else GREY
            axes.plot([row["least_ms"], row["most_ms"]], [place, place], color=colour, alpha=0.25,
                      linewidth=9)  # fmt: skip
            axes.plot(row["median_ms"], place, marker="o", markersize=8, color=colour)
            axes.annotate(f"{row['median_ms']:.0f}", (row["most_ms"], place), (10, 0),
                          textcoords="offset points", va="center", fontsize=9,
                          color=colour)  # fmt: skip
            target = _target_ms(row)
            if target is not None:
                axes.plot(target, place, marker="|", markersize=18, markeredgewidth=2, color=INK)
        axes.set_yticks(range(len(rows)), [tables.label(row) for row in rows])
        axes.set(title="From mouth to ear, ms less the bare loop", ylim=(len(rows) - 0.5, -0.5))
        ends = [max(row["most_ms"] or 0, _target_ms(row) or 0) for row in rows]
        axes.set_xlim(0, max(ends) * 1.1)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("dot: median · bar: least to most · line: target for the median",
                        fontsize=9, color="#57606a")  # fmt: skip


def draw_stages(rows: Sequence[Row], path: Path) -> None:
    """Where each millisecond goes."""
    rows = tables.staged(rows)
    if not rows:
        return
    with _figure(path, 8.8, 1.7 + 0.5 * len(rows)) as (figure, (axes,)):
        ends = [0.0] * len(rows)
        for stage, colour in _OF_STAGE.items():
            widths = [row["stages"][stage] for row in rows]
            axes.barh(range(len(rows)), widths, left=ends, height=0.56, color=colour,
                      edgecolor="white", linewidth=1, label=stage)  # fmt: skip
            for place, (end, width) in enumerate(zip(ends, widths, strict=True)):
                if width >= _STAGE_MS_NAMED:
                    axes.annotate(f"{width:.0f}", (end + width / 2, place), ha="center",
                                  va="center", fontsize=9, color="white")  # fmt: skip
            ends = [end + width for end, width in zip(ends, widths, strict=True)]
        for place, end in enumerate(ends):
            axes.annotate(f"{end:.0f} ms", (end, place), (6, 0), textcoords="offset points",
                          va="center", fontsize=9.5)  # fmt: skip
        axes.set_yticks(range(len(rows)), [tables.label(row) for row in rows])
        axes.set(title="Where each millisecond goes, from mouth to ear, cards included",
                 ylim=(len(rows) - 0.5, -0.5), xlim=(0, max(ends) * 1.1), xlabel="ms")  # fmt: skip
        axes.grid(axis="y", visible=False)
        figure.legend(loc="outside lower center", ncols=4, fontsize=9)


def _target_ms(row: Row) -> float | None:
    """What issue 8 asks of the median."""
    targets = {"Talkspurt, 20 ms": 60.0, "Talkspurt, 5 ms": 25.0}
    return next((ms for name, ms in targets.items()
                 if row["name"].startswith(name) and not row["busy"]), None)  # fmt: skip


def draw_talkspurt(rows: Sequence[Row], path: Path) -> None:
    """How the delay goes on within a talkspurt."""
    with _figure(path, 8.8, 3.8) as (figure, (axes,)):
        colours = iter((BLUE, ORANGE, GREEN, "#cc79a7", GREY, INK))
        for row in (row for row in rows if not row["busy"] and row["parts"]):
            found = [part for part in row["parts"] if part["delay_ms"] is not None]
            places = sorted({round(part["since_onset_ms"] / 100) for part in found})
            places = [place for place in places if place <= 22]
            y = [float(np.median([part["delay_ms"] for part in found
                                  if round(part["since_onset_ms"] / 100) == place]))
                 for place in places]  # fmt: skip
            axes.plot([place / 10 for place in places], y, label=row["name"],
                      color=next(colours, INK))  # fmt: skip
        axes.set(xlabel="s since the talkspurt began", title="Delay within a talkspurt, ms")
        axes.set_ylim(bottom=0)
        axes.set_xlim(0, 2.2)
        axes.set_xticks([0, 0.5, 1, 1.5, 2])
        figure.legend(loc="outside right upper", fontsize=9)


def draw_stalls(rows: Sequence[Row], path: Path) -> None:
    """How the delay of a stall goes away."""
    with _figure(path, 8.4, 3.8) as (_, (axes,)):
        axes.axvspan(-1, 0, color="#e3e7eb", linewidth=0)
        axes.text(-0.5, 0.97, "stall", transform=axes.get_xaxis_transform(), ha="center", va="top",
                  fontsize=9, color="#57606a")  # fmt: skip
        for row, colour in zip(rows, (BLUE, ORANGE, GREEN, GREY), strict=False):
            x, y = _unbroken(row["parts"], row["stall_ms"][1])
            name = f"the {row['stall']}" + ("" if "--no-gate" in row["name"] else ", with the gate")
            axes.plot(x, y, marker=".", markersize=4, linewidth=1.2, color=colour, label=name)
        axes.set(title="Delay after a stall of 1 s, ms", xlabel="s since its end", xlim=(-4, 11))
        # What waited through the stall is late by nature, and lies above.
        axes.set_ylim(0, _STALL_MS_SHOWN)
        axes.legend(loc="upper right", ncols=2)


# The largest delay that the plot of stalls shows.
_STALL_MS_SHOWN = 300


def _unbroken(parts: Sequence[Row], end_ms: float) -> tuple[list[float], list[float]]:
    """Times and delays for a line that does not cross a gap."""
    x: list[float] = []
    y: list[float] = []
    for part in parts:
        if part["delay_ms"] is None:
            continue
        at = (part["at_ms"] - end_ms) / 1_000
        if x and at - x[-1] > 0.6:
            x.append(at)
            y.append(float("nan"))
        x.append(at)
        y.append(part["delay_ms"])
    return x, y
