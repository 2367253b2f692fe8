"""Measures how speech gets through: `quality.py --bin-dir DIR --out DIR [gate] [loss] [delay]`.

`cargo xtask quality` makes the environment and builds the programs that this needs.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import gate_cases
import loss
from examples import Examples
from voices import HELD_OUT, VOICES, Speech


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin-dir", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--held-out", action="store_true")
    parser.add_argument("parts", nargs="*")
    options = parser.parse_args()
    examples = Examples(options.bin_dir / "examples")
    speech = Speech(options.out / "speech")
    voices = HELD_OUT if options.held_out else VOICES
    started = time.monotonic()
    if "loss" in options.parts:
        rows = loss.measure(examples, speech, loss.Plan(voices, seeds=2))
        (options.out / "loss.json").write_text(json.dumps(rows, indent=1))
        for row in rows:
            print(row)
    if "gate" in options.parts:
        plan = gate_cases.Plan(voices, options.held_out)
        outcomes = gate_cases.measure(examples, speech, plan)
        print(time.monotonic() - started, len(outcomes), file=sys.stderr)
        for row in gate_cases.by_condition(outcomes) + gate_cases.by_level(outcomes):
            print(row)
        for row in gate_cases.scored(outcomes, plan):
            print(row)
    print(time.monotonic() - started, file=sys.stderr)


if __name__ == "__main__":
    main()
