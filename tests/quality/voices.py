"""Who speaks: synthetic voices, recordings of people, and babble made of other voices.

Half of the voices and noises are held out: they are looked at only on demand, so that nothing is
tuned to them.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from samples import RATE_HZ, Samples, at_active_level, high_pass, more_of, read_mono, rms


@dataclass(frozen=True)
class Synthetic:
    """A voice of espeak-ng, and its speed in words per minute."""

    name: str
    voice: str
    words_per_minute: int
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Recording:
    """A person's recordings: files of the package, 16 kHz, with or without a header."""

    name: str
    files: tuple[str, ...]


Voice = Synthetic | Recording

# Sentences of the Harvard list (IEEE 1969).
_TEXTS = (
    "The birch canoe slid on the smooth planks.",
    "Glue the sheet to the dark blue background.",
    "It is easy to tell the depth of a well.",
    "These days a chicken leg is a rare dish.",
    "Rice is often served in round bowls.",
    "The juice of lemons makes fine punch.",
    "The box was thrown beside the parked truck.",
    "Four hours of steady work faced us.",
    "A large size in stockings is hard to sell.",
    "Smoky fires lack flame and heat.",
    "The soft cushion broke the man's fall.",
    "The girl at the booth sold fifty bonds.",
)

VOICES: tuple[Voice, ...] = (
    Synthetic("man, US", "en-us", 165, _TEXTS[0:3]),
    Synthetic("woman, GB", "en-gb+f3", 175, _TEXTS[3:6]),
    Synthetic("man, Scotland", "en-gb-scotland+m4", 150, _TEXTS[6:9]),
    Recording("reader", tuple(f"librivox/sense_and_sensibility_01_austen_64kb-{nth}.wav"
                              for nth in ("0880", "0890", "0930"))),
    Recording("cards", tuple(f"cards/{nth:03}.wav" for nth in (2, 3, 4, 5))),
    Recording("forward", ("goforward.raw",)),
)  # fmt: skip

HELD_OUT: tuple[Voice, ...] = (
    Synthetic("woman, US", "en-us+f2", 180, _TEXTS[9:12]),
    Synthetic("man, Caribbean", "en-029+m2", 160, _TEXTS[1:4]),
    Synthetic("woman, RP", "en-gb-x-rp+f4", 170, _TEXTS[4:7]),
    Recording("forever", ("forever/input_4_16k.wav", "forever/input_2_16k.wav")),
    Recording("numbers", ("numbers.raw",)),
    Recording("something", ("something.raw",)),
)

# Those who babble are none of those who speak.
_BABBLERS = (("en-us+m3", 190), ("en-gb+f1", 170), ("en-gb-x-gbclan+m7", 200), ("en-us+f5", 160),
             ("en-gb-x-rp+m1", 180), ("en-029+f4", 190))  # fmt: skip
_HELD_OUT_BABBLERS = (("en-gb+m6", 185), ("en-us+f4", 175), ("en-gb-scotland+m2", 195),
                      ("en-029+f1", 165), ("en-gb-x-gbclan+f2", 180),
                      ("en-us+m8", 170))  # fmt: skip


def pauses_between(parts: Iterable[Samples], pause_s: float, seed: int) -> Samples:
    """The parts with a pause before each and behind the last, in which the background of each part
    goes on: nothing tells the gate where the recording begins."""
    rng = np.random.default_rng(seed)
    out: list[Samples] = []
    count = int(pause_s * RATE_HZ)
    background = np.zeros(count)
    for part in parts:
        background = more_of(_quietest(part), count, rng)
        out += [background, part]
    return np.concatenate([*out, background])


def _quietest(samples: Samples, part_s: float = 0.05) -> Samples:
    """The excerpt with the least sound in it."""
    count = int(part_s * RATE_HZ)
    starts = range(0, len(samples) - count, count // 5)
    start = min(starts, key=lambda at: rms(high_pass(samples[at : at + count])))
    excerpt = samples[start : start + count]
    return excerpt - np.mean(excerpt)


class Speech:
    """Speech, made once and kept in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def of(self, voice: Voice) -> list[Samples]:
        """What the voice says, a sentence each, at an active level of -26 dBFS."""
        if isinstance(voice, Synthetic):
            # Silence around each, which is what the pauses are filled with.
            parts = [np.pad(self._spoken(voice.voice, voice.words_per_minute, text), 1_600)
                     for text in voice.texts]  # fmt: skip
        else:
            parts = [_trimmed(self._recorded(name)) for name in voice.files]
        return [at_active_level(part, -26) for part in parts]

    def babble(self, count: int, held_out: bool = False) -> Samples:
        """Six people who talk at once, without a pause; RMS 1."""
        out = np.zeros(count)
        for nth, (voice, speed) in enumerate(_HELD_OUT_BABBLERS if held_out else _BABBLERS):
            words = np.concatenate([self._spoken(voice, speed, text) for text in _TEXTS])
            words = at_active_level(words, -26)
            words = np.roll(words, nth * RATE_HZ * 3)
            out += np.resize(words, count)
        return out / rms(out)

    def _spoken(self, voice: str, speed: int, text: str) -> Samples:
        name = hashlib.sha256(f"{voice} {speed} {text}".encode()).hexdigest()[:16]
        path = self._folder / f"{name}.wav"
        if not path.exists():
            raw = path.with_suffix(".raw.wav")
            subprocess.run(["espeak-ng", "-v", voice, "-s", str(speed), "-w", str(raw), text],
                           check=True)  # fmt: skip
            made = path.with_suffix(".new.wav")
            # -R: the same dither each time.
            subprocess.run(["sox", "-R", str(raw), "-r", str(RATE_HZ), "-c", "1", "-b", "16",
                            str(made), "gain", "-n", "-3"], check=True)  # fmt: skip
            made.replace(path)
            raw.unlink()
        return _trimmed(read_mono(path))

    def _recorded(self, name: str) -> Samples:
        path = self._folder / "recordings" / name
        if not path.exists():
            _fetch_recordings(self._folder / "recordings")
        if path.suffix == ".raw":
            return np.frombuffer(path.read_bytes(), dtype="<i2").astype(float)
        return read_mono(path)


def _trimmed(samples: Samples, keep_s: float = 0.1) -> Samples:
    """Without the silence at both ends, but for a tenth of a second."""
    loud = np.flatnonzero(np.abs(high_pass(samples)) > 0.02 * np.max(np.abs(samples)))
    keep = int(keep_s * RATE_HZ)
    return samples[max(0, loud[0] - keep) : loud[-1] + keep]


# The package of a speech recogniser, whose tests need recordings (MIT licence).
_PACKAGE = "pocketsphinx==5.1.1"
_PACKAGE_SHA256 = "675778b309a22dfc9b7d37f7621976bba491d2a5f8c59696bd77fd6d07271355"


def _fetch_recordings(folder: Path) -> None:
    """Gets the package's source and unpacks the recordings of its tests."""
    print(f"==> fetching recordings ({_PACKAGE})", file=sys.stderr)
    with tempfile.TemporaryDirectory() as temporary:
        subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
                        "--no-binary", "pocketsphinx", "--dest", temporary, _PACKAGE],
                       check=True)  # fmt: skip
        (archive,) = Path(temporary).glob("pocketsphinx-*.tar.gz")
        if hashlib.sha256(archive.read_bytes()).hexdigest() != _PACKAGE_SHA256:
            raise RuntimeError(f"{archive.name} is not the file that was looked at")
        with tarfile.open(archive) as tar:
            for member in tar.getmembers():
                _, _, name = member.name.partition("/test/data/")
                if not name.endswith((".wav", ".raw")) or not member.isfile():
                    continue
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                data = tar.extractfile(member)
                assert data is not None
                target.write_bytes(data.read())


def quiet_microphone(samples: Samples, below_db: float = 50) -> Samples:
    """The same with the hiss of a microphone, so far below the active level of -26 dBFS."""
    rng = np.random.default_rng(len(samples))
    hiss = 32_768 * 10 ** ((-26 - below_db) / 20)
    return samples + hiss * rng.standard_normal(len(samples))
