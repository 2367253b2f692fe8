"""Samples: from and to bytes and WAV files, and what of them is worth sending."""

from __future__ import annotations

import array
import math
import sys
import wave
from collections.abc import Sequence

import voice
from events import ClientError

# The most that is said at once, in seconds.
TALK_MOST_S = 600


def samples_of(data: bytes) -> array.array:
    """Signed 16 bits, least significant first."""
    samples = array.array("h", data)
    if sys.byteorder == "big":
        samples.byteswap()
    return samples


def bytes_of(samples: Sequence[int]) -> bytes:
    samples = array.array("h", samples)
    if sys.byteorder == "big":
        samples.byteswap()
    return samples.tobytes()


def read_wav(path: str, rate: int) -> list[int]:
    """The samples of a WAV file: one channel, at the session's rate."""
    try:
        with wave.open(path, "rb") as file:
            channels, width = file.getnchannels(), file.getsampwidth()
            its_rate = file.getframerate()
            if width != 2 or not 1 <= channels <= 8 or its_rate < 1:
                raise ClientError(f"{path} has no 16-bit samples in 1 to 8 channels")
            if file.getnframes() > TALK_MOST_S * its_rate:
                raise ClientError(f"{path} is longer than {TALK_MOST_S} s")
            data = file.readframes(file.getnframes())
    except (OSError, EOFError, wave.Error) as error:
        raise ClientError(f"{path} cannot be read: {error}") from error
    samples = samples_of(data[: len(data) // (2 * channels) * 2 * channels])
    if channels > 1:
        samples = [sum(samples[at : at + channels]) // channels
                   for at in range(0, len(samples), channels)]  # fmt: skip
    if its_rate != rate and len(samples) > 1:
        count = len(samples) * rate // its_rate
        out = []
        for at in range(count):
            whole, part = divmod(at * its_rate, rate)
            a, b = samples[whole], samples[min(whole + 1, len(samples) - 1)]
            out.append(a + (b - a) * part // rate)
        samples = out
    return list(samples)


def tone(hertz: float, milliseconds: int, peak: float, rate: int) -> list[int]:
    count = rate * milliseconds // 1000
    return [round(peak * math.sin(2 * math.pi * hertz * at / rate)) for at in range(count)]


def write_wav(path: str, samples: bytes, rate: int) -> None:
    try:
        with wave.open(path, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(rate)
            file.writeframes(samples)
    except OSError as error:
        raise ClientError(f"{path} cannot be written: {error}") from error


def is_silent(level: int) -> bool:
    return level >= 142


def talkspurts(frames: Sequence[Sequence[int]], hang: int) -> list[tuple[int, int]]:
    """Runs of frames that a gate lets through: from one that is not silent to the last before more
    than `hang` silent ones, as pairs of the first and the one behind the last."""
    runs, first, last = [], None, None
    for at, samples in enumerate(frames):
        if is_silent(voice.level(voice.rms(samples))):
            continue
        if first is not None and at - last > hang:
            runs.append((first, last + 1))
            first = None
        first, last = at if first is None else first, at
    if first is not None:
        runs.append((first, last + 1))
    return runs
