"""Samples as arrays of float in units of a 16-bit sample: files, levels, noise of any colour."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
from scipy.signal import butter, lfilter, sosfilt

# The rate of a room, and of all that is computed without sound cards.
RATE_HZ = 16_000
FULL_SCALE = 32_768.0

Samples = np.ndarray


def read_wav(path: Path) -> Samples:
    """The channels of a 16-bit file, as rows; a single channel as one row of its own."""
    with wave.open(str(path)) as file:
        if file.getsampwidth() != 2:
            raise ValueError(f"{path} has no 16-bit samples")
        data = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
        return data.reshape(-1, file.getnchannels()).T.astype(float)


def read_mono(path: Path) -> Samples:
    """The first channel of a file."""
    return read_wav(path)[0]


def to_int16(samples: Samples) -> Samples:
    """Rounded, and clipped where they exceed full scale."""
    return np.clip(np.rint(samples), -32_768, 32_767).astype("<i2")


def write_wav(path: Path, samples: Samples, rate_hz: int = RATE_HZ) -> None:
    """Writes one channel."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(to_int16(samples).tobytes())


def rms(samples: Samples) -> float:
    """The root of the mean square."""
    return float(np.sqrt(np.mean(np.square(samples)))) if len(samples) else 0.0


def dbfs(value: float) -> float:
    """An RMS relative to full scale; silence is -120."""
    return 20 * np.log10(max(value, FULL_SCALE * 1e-6) / FULL_SCALE)


def gain(decibels: float) -> float:
    """The factor that so many decibels are."""
    return 10 ** (decibels / 20)


def high_pass(samples: Samples, rate_hz: int = RATE_HZ) -> Samples:
    """Without offset, rumble and hum: fourth order at 80 Hz, as a gate must hear it."""
    return sosfilt(butter(4, 80, "highpass", fs=rate_hz, output="sos"), samples)


def active_level_dbfs(samples: Samples, rate_hz: int = RATE_HZ) -> float:
    """The active speech level of ITU-T P.56, method B: the level of the signal while it is within
    15.9 dB of that level, with a hangover of 200 ms."""
    envelope = np.abs(samples)
    smoothing = np.exp(-1 / (rate_hz * 0.03))
    for _ in range(2):
        envelope = lfilter([1 - smoothing], [1, -smoothing], envelope)
    energy, hangover = float(np.sum(np.square(samples))), int(rate_hz * 0.2)
    if energy == 0:
        return dbfs(0)
    threshold, above = FULL_SCALE / 2, None
    while threshold >= 1e-3:
        loud = np.flatnonzero(envelope >= threshold)
        if len(loud):
            # Each loud sample makes those up to the hangover active, or up to the next loud one.
            gaps = np.diff(np.append(loud, len(samples)))
            active = int(np.sum(np.minimum(gaps, hangover)))
            level = 10 * np.log10(energy / active)
            margin = level - 20 * np.log10(threshold)
            if margin >= 15.9:
                if above is not None:
                    part = (15.9 - above[1]) / (margin - above[1])
                    level = above[0] + part * (level - above[0])
                return float(level - 20 * np.log10(FULL_SCALE))
            above = (level, margin)
        threshold /= 2
    return dbfs(rms(samples))


def at_active_level(samples: Samples, level_dbfs: float) -> Samples:
    """The same, as loud as asked."""
    return samples * gain(level_dbfs - active_level_dbfs(samples))


def coloured_noise(count: int, slope: float, rng: np.random.Generator) -> Samples:
    """Noise of RMS 1 whose power falls with the frequency to the power `slope`: 0 is white, 1 is
    pink. Nothing below 20 Hz."""
    spectrum = np.fft.rfft(rng.standard_normal(count))
    frequency = np.fft.rfftfreq(count, 1 / RATE_HZ)
    shape = np.zeros(len(frequency))
    audible = frequency >= 20
    shape[audible] = frequency[audible] ** (-slope / 2)
    noise = np.fft.irfft(spectrum * shape, count)
    return noise / rms(noise)


def more_of(excerpt: Samples, count: int, rng: np.random.Generator) -> Samples:
    """Noise with the spectrum and the loudness of a short stationary excerpt."""
    shape = np.abs(np.fft.rfft(excerpt * np.hanning(len(excerpt))))
    shape = np.interp(
        np.fft.rfftfreq(count), np.fft.rfftfreq(len(excerpt)), shape
    )
    noise = np.fft.irfft(np.fft.rfft(rng.standard_normal(count)) * shape, count)
    return noise * (rms(excerpt) / max(rms(noise), 1e-9))
