"""The core's programs: they read a file, run the core over it, and write what is heard."""

from __future__ import annotations

import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samples import Samples, read_mono, write_wav


@dataclass(frozen=True)
class Examples:
    """Where the built programs are."""

    folder: Path

    def run(self, name: str, said: Samples, **settings: Any) -> tuple[Samples, dict[str, Any]]:
        """Runs a program on what is said. Returns what is heard, and what it reports."""
        with tempfile.TemporaryDirectory() as temporary:
            source, sink = Path(temporary) / "said.wav", Path(temporary) / "heard.wav"
            write_wav(source, said)
            words = [f"{key}={_text(value)}" for key, value in settings.items()]
            command = [str(self.folder / name), str(source), str(sink), *words]
            done = subprocess.run(command, check=False, capture_output=True, text=True)
            if done.returncode != 0:
                raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
            return read_mono(sink), json.loads(done.stdout)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
