"""The numbers and payloads of voice: clocks, levels, mixes, codecs."""

from __future__ import annotations

import math
from collections.abc import Sequence

from packets import Malformed

PCM16, ADPCM = 0, 1

STEPS = [7, 8, 9, 10, 11, 12, 13, 14, 16, 17, 19, 21, 23, 25, 28, 31, 34, 37, 41, 45, 50, 55, 60]
STEPS += [66, 73, 80, 88, 97, 107, 118, 130, 143, 157, 173, 190, 209, 230, 253, 279, 307, 337, 371]
STEPS += [408, 449, 494, 544, 598, 658, 724, 796, 876, 963, 1060, 1166, 1282, 1411, 1552, 1707]
STEPS += [1878, 2066, 2272, 2499, 2749, 3024, 3327, 3660, 4026, 4428, 4871, 5358, 5894, 6484, 7132]
STEPS += [7845, 8630, 9493, 10442, 11487, 12635, 13899, 15289, 16818, 18500, 20350, 22385, 24623]
STEPS += [27086, 29794, 32767]


def signed(value: int, bits: int) -> int:
    """A difference of numbers that wrap, as the shorter way: negative if it goes back."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def timestamp_units(frame_ms: int) -> int:
    """Units of 2.5 ms in a frame."""
    return frame_ms * 2 // 5


def rms(samples: Sequence[int]) -> int:
    """The root of the mean square, both rounded down."""
    return math.isqrt(sum(sample * sample for sample in samples) // len(samples))


def level(root_mean_square: int) -> int:
    """Half decibels below full scale, rounded to the nearest; 255 for digital silence."""
    if root_mean_square == 0:
        return 255
    return round(-40 * math.log10(root_mean_square / 32768))


def mean(frames: Sequence[Sequence[int]]) -> list[int]:
    """The mean of frames, sample by sample, rounded towards zero."""
    sums = [sum(samples) for samples in zip(*frames)]
    return [abs(total) // len(frames) * (1 if total >= 0 else -1) for total in sums]


def cross_fade(old: Sequence[int], new: Sequence[int]) -> list[int]:
    """From one mean to the other, within a frame."""
    step = -(-(1 << 30) // len(new))
    weights = ((step * place) >> 16 for place in range(1, len(new) + 1))
    return [a + ((b - a) * weight >> 14) for a, b, weight in zip(old, new, weights)]


def payload_length(codec: int, samples: int) -> int:
    """The bytes of a frame's payload."""
    return 2 * samples if codec == PCM16 else 3 + samples // 2


def _adpcm_step(code: int, predictor: int, index: int) -> tuple[int, int]:
    step = STEPS[index]
    diff = step >> 3
    diff += step if code & 4 else 0
    diff += step >> 1 if code & 2 else 0
    diff += step >> 2 if code & 1 else 0
    predictor = max(-32768, min(32767, predictor - diff if code & 8 else predictor + diff))
    index = max(0, min(88, index + [-1, -1, -1, -1, 2, 4, 6, 8][code & 7]))
    return predictor, index


def adpcm_decode(payload: bytes) -> list[int]:
    """The samples of an IMA ADPCM payload."""
    if len(payload) < 3 or payload[2] > 88:
        raise Malformed("no ADPCM payload")
    predictor, index = int.from_bytes(payload[:2], "little", signed=True), payload[2]
    samples = []
    for byte in payload[3:]:
        for code in (byte & 15, byte >> 4):
            predictor, index = _adpcm_step(code, predictor, index)
            samples.append(predictor)
    return samples


class AdpcmEncoder:
    """Writes payloads one after the other: each begins where the last has ended."""

    def __init__(self) -> None:
        self.predictor = self.index = 0

    def encode(self, samples: Sequence[int]) -> bytes:
        out = bytearray(self.predictor.to_bytes(2, "little", signed=True) + bytes([self.index]))
        codes = [self._code(sample) for sample in samples]
        out += bytes(low | high << 4 for low, high in zip(codes[::2], codes[1::2]))
        return bytes(out)

    def _code(self, sample: int) -> int:
        """The code for a sample, bit by bit as the IMA's recommendation does."""
        step, diff = STEPS[self.index], abs(sample - self.predictor)
        code = 8 if sample < self.predictor else 0
        for bit in (4, 2, 1):
            if diff >= step:
                code |= bit
                diff -= step
            step >>= 1
        self.predictor, self.index = _adpcm_step(code, self.predictor, self.index)
        return code
