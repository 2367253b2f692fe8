"""Markdown tables of the figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import loss
from stages import STAGES

Row = dict[str, Any]

# What issue 8 promises: (ratio in dB or None for clean) -> missed and open in percent, onsets
# clipped in ms on average and at worst. What is not listed is reported, not promised.
PROMISED: dict[tuple[str, int | None], tuple[float, float, float, float]] = {
    ("clean", None): (1, 5, 5, 40),
    ("white", 20): (1, 5, 5, 40),
    ("pink", 20): (1, 5, 5, 40),
    ("white", 10): (3, 10, 10, 60),
    ("pink", 10): (3, 10, 10, 60),
}


def markdown(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose columns stand above each other, numbers to the right."""
    rows = [list(map(str, row)) for row in rows]
    lines = [list(titles), *rows]
    width = [max(len(line[nth]) for line in lines) for nth in range(len(titles))]

    def text(line: Sequence[str]) -> str:
        cells = (cell.ljust(width[nth]) if nth == 0 else cell.rjust(width[nth])
                 for nth, cell in enumerate(line))  # fmt: skip
        return "| " + " | ".join(cells) + " |"

    rule = "|" + "|".join("-" * (wide + 2) if nth == 0 else "-" * (wide + 1) + ":"
                          for nth, wide in enumerate(width)) + "|"  # fmt: skip
    return "\n".join([text(lines[0]), rule, *map(text, rows)])


def number(value: float | None, digits: int = 0) -> str:
    """A figure, or a dash where there is none."""
    return "-" if value is None else f"{value:.{digits}f}"


def slashed(values: Iterable[float | None], digits: int = 0) -> str:
    """Several figures in one cell."""
    return " / ".join(number(value, digits) for value in values)


def loss_table(rows: Sequence[Row]) -> str:
    """PESQ and STOI by loss and codec."""
    by = {(row["codec"], row["loss_percent"]): row for row in rows}
    out = []
    for percent in sorted({row["loss_percent"] for row in rows}):
        pcm, adpcm = by.get(("pcm16", percent), {}), by.get(("adpcm", percent), {})
        out.append([
            f"{percent} %", number(pcm.get("pesq"), 2), number(loss.PESQ_TARGETS.get(percent), 2),
            number(pcm.get("pesq_worst"), 2), number(pcm.get("stoi"), 3),
            number(adpcm.get("pesq"), 2), number(adpcm.get("stoi"), 3),
        ])  # fmt: skip
    titles = ["lost", "PCM16: PESQ", "target", "worst run", "STOI", "ADPCM: PESQ", "STOI"]
    return markdown(titles, out)


def network_table(rows: Sequence[Row]) -> str:
    """What is lost, late and concealed, and how it sounds, by loss and jitter."""
    titles = ["network", "lost, %", "late, %", "concealed, %", "playout delay, ms: p50", "p99",
              "similarity", "PESQ"]  # fmt: skip
    return markdown(titles, (
        [f"{row['loss_percent']} %, {row['jitter_ms']} ms", number(row["lost_percent"], 1),
         number(row["late_percent"], 1), number(row["concealed_percent"], 1),
         number(row["delay_p50_ms"]),
         number(row["delay_p99_ms"]), number(row["similarity"], 3), number(row["pesq"], 2)]
        for row in rows))  # fmt: skip


def conditions(rows: Sequence[Row]) -> list[tuple[str, int | None]]:
    """Noises and their ratios: clean, then from soft to loud, babble last."""
    found = {(row["noise"], row["snr_db"]) for row in rows}
    order = ("clean", "white", "pink", "babble")
    return sorted(found, key=lambda one: (-(one[1] or 99), order.index(one[0])))


def condition_name(noise: str, snr_db: int | None) -> str:
    """`clean`, `white, 20 dB`."""
    return "clean" if snr_db is None else f"{noise}, {snr_db} dB"


def gate_conditions_table(rows: Sequence[Row]) -> str:
    """What the gate misses and lets through, by noise."""
    frames = sorted({row["frame_ms"] for row in rows})
    out = []
    for noise, snr in conditions(rows):
        those = {row["frame_ms"]: row for row in rows
                 if (row["noise"], row["snr_db"]) == (noise, snr)}  # fmt: skip
        most = PROMISED.get((noise, snr), (None,) * 4)
        cells = [condition_name(noise, snr)]
        for figure, digits, at_most in (("missed_percent", 1, most[0]),
                                        ("onset_mean_ms", 0, most[2]),
                                        ("onset_worst_ms", 0, most[3]),
                                        ("open_percent", 1, most[1])):  # fmt: skip
            cells += [slashed([those[frame][figure] for frame in frames], digits),
                      number(at_most)]  # fmt: skip
        out.append(cells)
    titles = ["at " + " / ".join(map(str, frames)) + " ms frames", "missed, %", "at most",
              "onset clipped, mean, ms", "at most", "worst, ms", "at most",
              "open without speech, %", "at most"]  # fmt: skip
    return markdown(titles, out)


def gate_levels_table(levels: Sequence[Row], scores: Sequence[Row]) -> str:
    """Clean speech by its level: what is missed, and how it sounds."""
    frames = sorted({row["frame_ms"] for row in levels})
    out = []
    for level in sorted({row["level_dbfs"] for row in levels}, reverse=True):
        cells = [f"{level} dBFS"]
        for rows, figure, digits in ((levels, "missed_percent", 1), (levels, "onset_mean_ms", 0),
                                     (levels, "onset_worst_ms", 0), (scores, "pesq", 2),
                                     (scores, "stoi", 3)):  # fmt: skip
            by_frame = {row["frame_ms"]: row[figure] for row in rows
                        if row["level_dbfs"] == level}  # fmt: skip
            cells.append(slashed([by_frame.get(frame) for frame in frames], digits))
        out.append(cells)
    titles = ["at " + " / ".join(map(str, frames)) + " ms frames", "missed, %",
              "onset clipped, mean, ms", "worst, ms", "PESQ", "STOI"]  # fmt: skip
    return markdown(titles, out)


def delay_table(rows: Sequence[Row]) -> str:
    """From mouth to ear, less the bare loop."""
    titles = ["ms, less the bare loop", "median", "p99", "least", "most", "first 0.5 s",
              "after 1 s", "found of said", "PESQ"]  # fmt: skip
    return markdown(titles, (
        [label(row), number(row["median_ms"]), number(row["p99_ms"]), number(row["least_ms"]),
         number(row["most_ms"]), number(row["early"]["median_ms"]),
         number(row["settled"]["median_ms"]), f"{row['found']} of {row['said']}",
         number(row["pesq"], 2)]
        for row in rows))  # fmt: skip


def shown_table(rows: Sequence[Row]) -> str:
    """What the listener's client shows of that, with all that the cards add."""
    titles = ["ms, with the cards", "shown", "measured", "shown less measured, median", "worst",
              "figures"]  # fmt: skip
    return markdown(titles, (
        [label(row), *(number(row["shown"][name]) for name in
                       ("shown_ms", "measured_ms", "error_ms", "worst_ms")),
         str(row["shown"]["count"])]
        for row in rows if row["shown"]["count"]))  # fmt: skip


def stages_table(rows: Sequence[Row]) -> str:
    """Where the delay lies, as the clients say."""
    titles = ["ms", *STAGES, "all"]
    return markdown(titles, (
        [label(row), *(number(row["stages"][stage], 1) for stage in STAGES),
         number(sum(row["stages"].values()), 1)]
        for row in staged(rows)))  # fmt: skip


def staged(rows: Sequence[Row]) -> list[Row]:
    """Those of which it is known."""
    return [row for row in rows if row.get("stages") and not row["busy"]]


def label(row: Row) -> str:
    """The system, and what befell it."""
    more = []
    if row["stall"]:
        more.append(f"{row['stall']} stalls")
    if row["busy"]:
        more.append("busy machine")
    if "last_minute" in row:
        more.append(f"{row['seconds'] / 60:.0f} min")
    return ", ".join([row["name"], *more])


def stall_table(rows: Sequence[Row]) -> str:
    """How long the delay of a stall lasts."""
    titles = ["who stalls for 1 s", "delay before and after, ms", "back within 20 ms after, s",
              "found of said"]  # fmt: skip
    return markdown(titles, (
        [label(row), slashed([row["before_ms"], row["after_ms"]]),
         "never" if row["recovered_after_ms"] is None
         else number(row["recovered_after_ms"] / 1_000, 1),
         f"{row['found']} of {row['said']}"]
        for row in rows))  # fmt: skip


def long_table(rows: Sequence[Row]) -> str:
    """The first and the last minute of a long run."""
    titles = ["ms, less the bare loop", "first minute: median", "p99", "last minute: median", "p99",
              "found of said"]  # fmt: skip
    return markdown(titles, (
        [label(row),
         *(number(row[minute][figure]) for minute in ("first_minute", "last_minute")
           for figure in ("median_ms", "p99_ms")),
         f"{row['found']} of {row['said']}"]
        for row in rows))  # fmt: skip
