"""How good speech sounds (PESQ) and how well it is understood (STOI), and by how much it is late.

Both scores compare what is heard with what was said, sample by sample or nearly so. PESQ finds
constant delays itself; STOI must be given aligned signals.
"""

from __future__ import annotations

import warnings

import numpy as np
from pesq import PesqError, pesq
from pystoi import stoi
from samples import RATE_HZ, Samples, rms, to_int16
from scipy.signal import correlate

# PESQ is made for files of up to some 20 s; longer ones are judged in pieces.
_PIECE_S = 12


def pesq_wb(said: Samples, heard: Samples) -> float:
    """PESQ, wide band (ITU-T P.862.2), of signals at 16 kHz: 1.0 to 4.64. The mean over pieces; 1.0
    where nothing is heard."""
    count = min(len(said), len(heard))
    scores = []
    pieces = max(1, round(count / (_PIECE_S * RATE_HZ)))
    edges = np.linspace(0, count, pieces + 1).astype(int)
    for start, end in zip(edges[:-1], edges[1:], strict=True):
        said_part, heard_part = to_int16(said[start:end]), to_int16(heard[start:end])
        if rms(said_part.astype(float)) < 1:
            continue
        try:
            scores.append(float(pesq(RATE_HZ, said_part, heard_part, "wb")))
        except (PesqError, ValueError):
            scores.append(1.0)
    return float(np.mean(scores)) if scores else 1.0


def stoi_of(said: Samples, heard: Samples) -> float:
    """STOI (Taal et al. 2011) of aligned signals: 0 to 1."""
    count = min(len(said), len(heard))
    with warnings.catch_warnings():
        # Said when hardly anything is left to compare: the score is about 0 then.
        warnings.simplefilter("ignore")
        return float(stoi(said[:count], heard[:count], RATE_HZ))


def lag_samples(said: Samples, heard: Samples, most: int) -> int:
    """By how many samples `heard` is later than `said`: 0 to `most`, where both agree best."""
    product = correlate(heard, said, "full", "fft")
    start = len(said) - 1
    return int(np.argmax(product[start : start + most + 1]))


def shifted(heard: Samples, lag: int, count: int) -> Samples:
    """What was heard from `lag` on, with silence behind it up to `count` samples."""
    part = heard[lag : lag + count]
    return np.pad(part, (0, count - len(part)))
