"""Virtual sound cards on one clock: the four channels of a PulseAudio null sink are the microphones
and the speakers of two people, and one recording of its monitor has them all.

Nothing here shares a sound server with the person at the machine: the daemon has a folder and a
socket of its own, and ends with the block.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType

RATE_HZ = 48_000

# The channels of a recording: what the talker says, what the listener says (nothing), and what
# either hears.
SAID, _, _, HEARD = range(4)
_CHANNELS = ("front-left", "front-right", "rear-left", "rear-right")
_SINKS = ("feed_a", "feed_b", "speaker_a", "speaker_b")
_SOURCES = ("mic_a", "mic_b")
TALKER, LISTENER = "a", "b"

_START_LIMIT_S = 20.0


class Cards:
    """A sound server of its own, for as long as the block lasts."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="cards")

    def __enter__(self) -> Cards:
        root = Path(self._folder.name)
        (root / "pulse").mkdir(mode=0o700)
        socket = root / "pulse" / "native"
        (root / "daemon.pa").write_text("\n".join(_script(socket)) + "\n")
        environment = {key: value for key, value in os.environ.items()
                       if key != "DBUS_SESSION_BUS_ADDRESS"}  # fmt: skip
        environment |= {"XDG_RUNTIME_DIR": str(root), "HOME": str(root),
                        "PULSE_RUNTIME_PATH": str(root / "pulse"),
                        "PULSE_STATE_PATH": str(root / "state")}  # fmt: skip
        log = root / "daemon.log"
        command = ["pulseaudio", "-n", f"--file={root / 'daemon.pa'}", "--daemonize=no",
                   "--exit-idle-time=-1", "--use-pid-file=no", "--realtime=yes",
                   "--high-priority=no", "--disable-shm=yes",
                   f"--log-target=file:{log}"]  # fmt: skip
        nowhere = subprocess.DEVNULL
        self.daemon = subprocess.Popen(command, env=environment, stdin=nowhere, stdout=nowhere,
                                       stderr=nowhere)  # fmt: skip
        self.environment = environment | {"PULSE_SERVER": f"unix:{socket}"}
        until = time.monotonic() + _START_LIMIT_S
        while not self._answers():
            if time.monotonic() > until or self.daemon.poll() is not None:
                self.daemon.kill()
                raise RuntimeError("pulseaudio does not start: "
                                   + (log.read_text() if log.exists() else ""))  # fmt: skip
            time.sleep(0.1)
        # As a real card is, it is never late for want of a processor. Not everyone may do this.
        subprocess.run(["chrt", "-r", "-p", "10", str(self.daemon.pid)], check=False,
                       capture_output=True)  # fmt: skip
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        self.daemon.terminate()
        self.daemon.wait()
        self._folder.cleanup()

    def _answers(self) -> bool:
        info = ["pactl", "info"]
        return subprocess.run(info, env=self.environment, check=False,
                              capture_output=True).returncode == 0  # fmt: skip

    def of(self, person: str) -> dict[str, str]:
        """The environment of a person's program."""
        return self.environment | {"PULSE_SOURCE": f"mic_{person}",
                                   "PULSE_SINK": f"speaker_{person}"}  # fmt: skip

    def play(self, path: Path) -> subprocess.Popen[bytes]:
        """Plays a file into the talker's microphone, in real time."""
        return subprocess.Popen(["paplay", "-d", "feed_a", str(path)], env=self.environment,
                                stderr=subprocess.DEVNULL)  # fmt: skip

    def record(self, path: Path) -> subprocess.Popen[bytes]:
        """Records all channels until it is interrupted."""
        return subprocess.Popen(
            ["parec", "-d", "cards.monitor", "--file-format=wav", "--format=s16le",
             f"--rate={RATE_HZ}", "--channels=4", f"--channel-map={','.join(_CHANNELS)}",
             "--latency-msec=20", str(path)], env=self.environment,
            stderr=subprocess.DEVNULL)  # fmt: skip


def _script(socket: Path) -> list[str]:
    """What the daemon does first."""

    def channel(nth: int) -> str:
        return f"master_channel_map={_CHANNELS[nth]} channel_map=mono remix=no"

    return [
        ".fail",
        f"load-module module-native-protocol-unix auth-anonymous=1 socket={socket}",
        # A null sink that rewinds loses samples when the machine is busy.
        f"load-module module-null-sink sink_name=cards format=s16le rate={RATE_HZ} channels=4"
        f" channel_map={','.join(_CHANNELS)} norewinds=1",
        *(f"load-module module-remap-sink sink_name={name} master=cards channels=1 {channel(nth)}"
          for nth, name in enumerate(_SINKS)),
        *(f"load-module module-remap-source source_name={name} master=cards.monitor channels=1"
          f" {channel(nth)}" for nth, name in enumerate(_SOURCES)),
    ]  # fmt: skip
