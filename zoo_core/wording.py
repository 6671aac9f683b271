"""Numbers as people say them."""

from __future__ import annotations

import os
import re
import shlex
from collections import Counter
from collections.abc import Sequence
from unicodedata import east_asian_width

RIGHT_TO_LEFT = r"[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff]"
WORDS_FROM_RIGHT = re.compile(rf"{RIGHT_TO_LEFT}+(?:[ _.'-]+{RIGHT_TO_LEFT}+)*")
MANY_DIGITS = 999_999.5  # of larger numbers six digits say little
FOUR_DIGITS, MOST_DIGITS = 9999.5, 1e12  # between them a figure is written whole


def human_count(number: int | None) -> str:
    """61706 -> "61.7 k", 25557032 -> "25.6 M"."""
    if number is None:
        return "-"
    for limit, divisor, unit in ((10**9, 10**9, " G"), (10**6, 10**6, " M"), (10**3, 10**3, " k")):
        if number >= limit:
            return f"{number / divisor:.1f}{unit}"
    return str(number)


def isolated(text: str) -> str:
    """A text in which words in Arabic, Hebrew and other writing from the right turn nothing beside
    them.

    A number or a slash next to them would else be shown on their other side: 'val/NAME/05.jpg' as
    'val/05/NAME.jpg'. It is for pages and pictures; the marks are no part of a name that is copied.
    """
    return WORDS_FROM_RIGHT.sub("\u2068\\g<0>\u2069", text)


def columns(text: str) -> int:
    """The room of a text, in letters: one of Chinese, Japanese or Korean takes that of two."""
    return len(text) + sum(east_asian_width(letter) in "WF" for letter in text)


def shortened(text: str, letters: int) -> str:
    """A text of no more room than so many letters: without its middle, as names differ at both
    ends."""
    if columns(text) <= letters:
        return text
    for kept in range(letters - 1, 0, -1):
        short = f"{text[: kept - kept // 2]}…{text[len(text) - kept // 2 :]}"
        if columns(short) <= letters:
            return short
    return "…"


def told_apart(names: Sequence[str], letters: int) -> list[str]:
    """Names, shortened; those that would read the same have their number in front."""
    short = [shortened(name, letters) for name in names]
    counts = Counter(short)
    return [one if counts[one] == 1 else f"{place}. {one}" for place, one in enumerate(short, 1)]


def number_text(value: float) -> str:
    """An answer that is a number: with six digits, and a large one, such as a time or a price, with
    up to twelve."""
    return f"{value:.6g}" if abs(value) < MANY_DIGITS else f"{value:.12g}"


def figure_text(figure: float | None) -> str:
    """A figure of a result, to four digits, and a large one to whole numbers; "-" where there is
    none."""
    if figure is None:
        return "-"
    return f"{figure:.0f}" if FOUR_DIGITS <= abs(figure) < MOST_DIGITS else f"{figure:.4g}"


def cell_text(cell: object) -> str:
    """The cell of a table of figures: a name, a count or a figure."""
    return figure_text(cell) if cell is None or isinstance(cell, float) else str(cell)


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
    try:
        written = os.fsencode(character)
    except UnicodeEncodeError:  # half of a character, which no path has
        written = character.encode("utf-8", "surrogatepass")
    return "".join(f"\\x{byte:02x}" for byte in written)
