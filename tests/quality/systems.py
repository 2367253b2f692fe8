"""The systems whose delay is measured, each as two people's programs on virtual cards."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Protocol

from cards import LISTENER, RATE_HZ, TALKER, Cards


@dataclass
class Running:
    """Programs that run until the block ends."""

    talker: subprocess.Popen[bytes]
    listener: subprocess.Popen[bytes]
    others: list[subprocess.Popen[bytes]] = field(default_factory=list)
    started_at: float = field(default_factory=time.monotonic)

    def __enter__(self) -> Running:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        end([self.talker, self.listener, *self.others])


def end(programs: Sequence[subprocess.Popen[bytes]], patience_s: float = 5.0) -> None:
    """Ends programs, in order."""
    for program in programs:
        program.send_signal(signal.SIGINT)
    for program in programs:
        try:
            program.wait(patience_s)
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait()


class System(Protocol):
    """What can be measured."""

    @property
    def name(self) -> str:
        """Its name in tables."""

    @property
    def warm_up_s(self) -> float:
        """How long it takes until both sides hear each other."""

    def start(self, cards: Cards, folder: Path) -> Running:
        """Starts its programs, which log into the folder."""


@dataclass(frozen=True)
class BareLoop:
    """The cards alone: what is recorded is played. Its delay is nobody's fault."""

    name: str = "bare loop"
    warm_up_s: float = 2.0

    def start(self, cards: Cards, folder: Path) -> Running:
        # What a device of our own would take at least: a period of 5 ms, four of them.
        sound = ["-q", "-D", "pulse", "-f", "S16_LE", "-r", str(RATE_HZ), "-c", "1",
                 "--buffer-time=20000", "--period-time=5000"]  # fmt: skip
        with open(folder / "loop.log", "wb") as log:
            recorder = subprocess.Popen(["arecord", *sound], env=cards.of(TALKER), stderr=log,
                                        stdout=subprocess.PIPE)  # fmt: skip
            player = subprocess.Popen(["aplay", *sound], env=cards.of(LISTENER), stderr=log,
                                      stdin=recorder.stdout)  # fmt: skip
        return Running(recorder, player)


@dataclass(frozen=True)
class Talkspurt:
    """Our server and two clients."""

    bin_dir: Path
    frame_ms: int
    flags: tuple[str, ...] = ()
    warm_up_s: float = 3.0

    @property
    def name(self) -> str:
        settings = " ".join(self.flags) or "default settings"
        return f"Talkspurt, {self.frame_ms} ms, {settings}"

    def start(self, cards: Cards, folder: Path) -> Running:
        server = subprocess.Popen(
            [str(self.bin_dir / "talkspurt-server"), "--listen", "127.0.0.1:0", "--http",
             "127.0.0.1:0", "--frame-ms", str(self.frame_ms)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        address = _address(server, folder / "server.log")
        join = [str(self.bin_dir / "talkspurt"), "join", "--room", "measure", "--events", "json",
                "--levels", *self.flags, address]  # fmt: skip
        clients = {}
        for person in (LISTENER, TALKER):
            with open(folder / f"{person}.log", "wb") as log:
                clients[person] = subprocess.Popen(
                    [*join, "--name", person], env=cards.of(person), stdin=subprocess.DEVNULL,
                    stdout=log, stderr=log,
                )  # fmt: skip
        return Running(clients[TALKER], clients[LISTENER], [server])


def _address(server: subprocess.Popen[bytes], log: Path) -> str:
    """Where the server says that it listens; the rest of its words go to the log."""
    assert server.stdout is not None
    for line in server.stdout:
        words = line.decode(errors="replace").replace('"', " ").replace(",", " ").split()
        for word in words:
            _, found, port = word.partition("127.0.0.1:")
            if found and port.isdigit():
                threading.Thread(target=_pump, args=(server, log), daemon=True).start()
                return f"127.0.0.1:{port}"
    raise RuntimeError("the server has ended")


def _pump(program: subprocess.Popen[bytes], log: Path) -> None:
    assert program.stdout is not None
    with open(log, "wb") as file:
        for line in program.stdout:
            file.write(line)
