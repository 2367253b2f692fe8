"""The marked places of a document that figures fill: from `<!-- quality: NAME -->` to
`<!-- end of quality: NAME -->`, each on a line of its own."""

from __future__ import annotations

from pathlib import Path


def fill(path: Path, name: str, text: str) -> None:
    """Puts `text` into the place of that name."""
    begin, end = f"<!-- quality: {name} -->\n", f"<!-- end of quality: {name} -->\n"
    document = path.read_text()
    if document.count(begin) != 1 or document.count(end) != 1:
        raise ValueError(f"{path} has not one place that is marked {begin.strip()}")
    before, _, rest = document.partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"in {path}, the mark {end.strip()} stands before its beginning")
    path.write_text(f"{before}{begin}\n{text.strip()}\n\n{end}{after}")
