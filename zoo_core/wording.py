"""Numbers as people say them."""

from __future__ import annotations

import os
import shlex


def human_count(number: int | None) -> str:
    """61706 -> "61.7 k", 25557032 -> "25.6 M"."""
    if number is None:
        return "-"
    for limit, divisor, unit in ((10**9, 10**9, " G"), (10**6, 10**6, " M"), (10**3, 10**3, " k")):
        if number >= limit:
            return f"{number / divisor:.1f}{unit}"
    return str(number)


def counted(count: int, noun: str, several: str | None = None) -> str:
    """A number with its noun: "1 image", "1,500 images", or `several`."""
    return f"{count:,} {noun if count == 1 else several or noun + 's'}"


def megabytes(count: int) -> str:
    """A number of bytes: "3.2 MB", or "1.4 GB"."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def duration(seconds: float) -> str:
    """Seconds as a person says them: "4.2 s", "12 min", "1.5 h"."""
    if seconds < 90:
        return f"{short_seconds(seconds)} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def percent(share: float, digits: int = 1) -> str:
    """A share of 0.253 as "25.3 %", with no digits as "25 %"."""
    return f"{100 * share:.{digits}f} %"


def short_seconds(seconds: float) -> str:
    """Seconds with one digit after the point; fewer than a tenth as "0.04", at least as "0.001"."""
    return f"{seconds:.1f}" if seconds >= 0.1 or not seconds else f"{max(seconds, 0.001):.1g}"


def quoted(path: object) -> str:
    """A path as a shell takes it: a command that names it can be copied. Characters that
    cannot be printed stand as bash and zsh write bytes."""
    text = str(path)
    if text.isprintable():
        return shlex.quote(text)
    return "$'" + "".join(map(_written, text)) + "'"


def _written(character: str) -> str:
    if character.isprintable() and character not in "'\\":
        return character
    return "".join(f"\\x{byte:02x}" for byte in os.fsencode(character))
