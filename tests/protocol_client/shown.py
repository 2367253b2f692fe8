"""A server's texts and names, as they may be shown."""

from __future__ import annotations

import unicodedata

IGNORABLE = (
    (0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5),
    (0x180B, 0x180F), (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164),
    (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0x1BCA0, 0x1BCA3),
    (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF),
)  # fmt: skip


def shown(text: str, most: int) -> str:
    """A text of a server as it may be shown. The properties of emoji are guessed from categories,
    as Python's tables do not have them."""

    def wordy(char: str) -> bool:
        return char == "\ufe0f" or unicodedata.category(char)[0] in "LM" or pictorial(char)

    def pictorial(char: str) -> bool:
        return unicodedata.category(char) in ("So", "Sk") or char in "0123456789#*\u203c\u2049"

    kept = []
    for at, char in enumerate(text):
        code = ord(char)
        if unicodedata.category(char) == "Cc" or code in (0x2028, 0x2029, 0x2800):
            continue
        if 0xFFF9 <= code <= 0xFFFB:
            continue
        if any(low <= code <= high for low, high in IGNORABLE):
            before, after = text[at - 1 : at], text[at + 1 : at + 2]
            if char == "\ufe0f" and before and pictorial(before):
                kept.append(char)
            elif char in "\u200c\u200d" and before and after and wordy(before) and wordy(after):
                kept.append(char)
            continue
        kept.append(char)
    text = "".join(kept).strip()
    while len(text.encode()) > most:
        text = text[:-1]
    return text


def shown_name(text: str) -> str:
    return shown(text, 32) or "(unprintable)"
