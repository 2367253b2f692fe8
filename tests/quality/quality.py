"""Measures how speech gets through: what the gate misses, what lost packets and a jittery network
cost, and the delay from mouth to ear.

`cargo xtask quality` makes the environment that this needs, builds the programs, and calls it.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import delay
import document
import gate_cases
import kept
import loss
import network
import plots
import tables
from examples import Examples
from voices import HELD_OUT, VOICES, Speech, Synthetic

ROOT = Path(__file__).resolve().parents[2]
PERFORMANCE = ROOT / "docs" / "PERFORMANCE.md"
PLOTS = ROOT / "docs" / "plots"

Results = dict[str, Any]


def measure_loss(options: argparse.Namespace, speech: Speech) -> Any:
    """Lost packets."""
    examples = Examples(options.bin_dir / "examples")
    if options.short:
        plan = loss.Plan(_short_voices(), seeds=1, losses_percent=(0, 5, 20))
    else:
        plan = loss.Plan(HELD_OUT if options.held_out else VOICES, seeds=3)
    return loss.measure(examples, speech, plan)


def measure_network(options: argparse.Namespace, speech: Speech) -> Any:
    """Networks that lose and delay packets."""
    examples = Examples(options.bin_dir / "examples")
    if options.short:
        cells = (network.Cell(0, 50), network.Cell(5, 20))
        plan = network.Plan(_short_voices(), seeds=1, cells=cells)
    else:
        plan = network.Plan(HELD_OUT if options.held_out else VOICES, seeds=3)
    return network.measure(examples, speech, plan)


def measure_gate(options: argparse.Namespace, speech: Speech) -> Any:
    """The gate."""
    examples = Examples(options.bin_dir / "examples")
    settings = dict(pair.split("=", 1) for pair in options.gate)
    if options.short:
        plan = gate_cases.Plan(_short_voices(), levels_dbfs=(-30,), noises=("white", "pink"),
                               snrs_db=(20, 10), scored_levels_dbfs=(-30,),
                               settings=settings)  # fmt: skip
    else:
        plan = gate_cases.Plan(HELD_OUT if options.held_out else VOICES, options.held_out,
                               settings=settings)  # fmt: skip
    outcomes = gate_cases.measure(examples, speech, plan)
    return {
        "conditions": gate_cases.by_condition(outcomes),
        "levels": gate_cases.by_level(outcomes),
        "scores": gate_cases.scored(outcomes, plan),
        "runs": gate_cases.by_run(outcomes),
    }


def measure_delay(options: argparse.Namespace, speech: Speech) -> Any:
    """From mouth to ear."""
    plan = delay.Plan(
        seconds=8 if options.short else options.seconds,
        short=options.short,
        minutes=options.minutes,
        stall=options.stall,
        busy=options.busy,
        mumble=options.mumble,
    )
    try:
        return delay.measure(options.bin_dir, speech, plan)
    except delay.NotMeasured as error:
        if not options.short:
            raise
        # Shown, not judged: a busy machine is no fault of the project.
        print(f"the delay cannot be measured here: {error}", file=sys.stderr)
        return {}


def _short_voices() -> list[Synthetic]:
    """What needs no download."""
    return [voice for voice in VOICES if isinstance(voice, Synthetic)]


def texts(results: Results) -> dict[str, str]:
    """The tables, by their place in the document."""
    out = {}
    if "loss" in results:
        out["loss"] = tables.loss_table(results["loss"])
    if "network" in results:
        out["network"] = tables.network_table(results["network"])
    if "gate" in results:
        out["gate by noise"] = tables.gate_conditions_table(results["gate"]["conditions"])
        out["gate by level"] = tables.gate_levels_table(results["gate"]["levels"],
                                                        results["gate"]["scores"])  # fmt: skip
    rows = results.get("delay", {}).get("rows", [])
    if any(row["shown"]["count"] for row in rows):
        out["shown"] = tables.shown_table(rows)
    if tables.staged(rows):
        out["stages"] = tables.stages_table(rows)
    for kind, table in (("rows", tables.delay_table), ("stalls", tables.stall_table),
                        ("long", tables.long_table)):  # fmt: skip
        rows = results.get("delay", {}).get(kind)
        if rows:
            name = {"rows": "delay", "stalls": "stall", "long": "long"}[kind]
            out[name] = table(rows)
    return out


MEASURES: dict[str, Callable[[argparse.Namespace, Speech], Any]] = {
    "loss": measure_loss,
    "network": measure_network,
    "gate": measure_gate,
    "delay": measure_delay,
}


def main() -> int:
    options = arguments()
    options.out.mkdir(parents=True, exist_ok=True)
    speech = Speech(options.out / "speech")
    results: Results = {}
    for part in options.parts or MEASURES:
        started = time.monotonic()
        print(f"==> {part}: {MEASURES[part].__doc__}", file=sys.stderr, flush=True)
        results[part] = MEASURES[part](options, speech)
        print(f"==> {part} took {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
        (options.out / f"{part}.json").write_text(json.dumps(results[part], indent=1) + "\n")
    shown = texts(results)
    (options.out / "tables.md").write_text(
        "\n\n".join(f"## {name}\n\n{table}" for name, table in shown.items()) + "\n")  # fmt: skip
    plots.draw(results, options.out / "plots")
    for name, table in shown.items():
        print(f"\n{name}\n\n{table}")
    if options.update:
        for name, table in shown.items():
            # What a client shows is compared here, and not told in the document.
            if name != "shown":
                document.fill(PERFORMANCE, name, table)
        plots.draw(results, PLOTS)
    return judge(options, results) if options.short else 0


def judge(options: argparse.Namespace, results: Results) -> int:
    """Compares the short form's figures with those that are kept."""
    measured = kept.figures_of(results)
    if options.keep:
        kept.keep(measured)
    verdicts = [one for one in kept.judge(measured)
                if one.measured is not None or not options.parts]  # fmt: skip
    notable = [one for one in verdicts if one.outcome != "good"]
    if notable:
        titles = ["figure", "measured", "kept", "outcome"]
        print("\n" + tables.markdown(titles, (
            [one.name, tables.number(one.measured, 3), tables.number(one.kept, 3), one.outcome]
            for one in notable)))  # fmt: skip
    bad = sum(not one.is_good for one in verdicts)
    print(f"\n{len(verdicts) - bad} figures are as good as kept, {bad} are not")
    return 1 if bad else 0


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin-dir", type=Path, required=True, help="the built programs")
    parser.add_argument("--out", type=Path, required=True, help="where results are written")
    parser.add_argument("--short", action="store_true", help="a small part, against kept values")
    parser.add_argument("--keep", action="store_true", help="keep the short form's values")
    parser.add_argument("--update", action="store_true", help="fill docs/PERFORMANCE.md")
    parser.add_argument("--held-out", action="store_true", help="the voices and noises held out")
    parser.add_argument("--gate", action="append", default=[], metavar="NAME=VALUE",
                        help="a setting of the gate that is not the default")  # fmt: skip
    parser.add_argument("--seconds", type=float, default=30, help="of speech in each delay run")
    parser.add_argument("--minutes", type=float, help="a long delay run")
    parser.add_argument("--stall", action="store_true", help="delay after a stall of 1 s")
    parser.add_argument("--busy", action="store_true", help="delay on a busy machine")
    parser.add_argument("--mumble", action="store_true", help="Mumble's delay beside ours")
    parser.add_argument("parts", nargs="*", choices=[[], *MEASURES], metavar="PART",
                        help=", ".join(MEASURES))  # fmt: skip
    options = parser.parse_args()
    if options.keep and not options.short:
        parser.error("--keep goes with --short: only its values are kept")
    if options.keep and (options.parts or options.gate or options.held_out):
        parser.error("--keep needs the whole short form at default settings")
    if options.update and (options.short or options.held_out or options.gate):
        parser.error("--update needs the whole measurement at default settings")
    return options


if __name__ == "__main__":
    sys.exit(main())
