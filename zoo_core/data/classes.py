"""Rules for class names, which are shown on terminals, in cards and plots, and compared by eye."""

from __future__ import annotations

import json
import os
import unicodedata
from collections.abc import Sequence

from zoo_core.errors import DataError, printable

MAX_OUTPUTS = 100_000  # classes, labels or numbers of a model
MAX_NAMES_BYTES = 4 * 2**20  # of all names together: half of a config.json that zoo reads
MAX_OUTPUT_NAME = 500  # characters that a config.json may have in a name
MAX_LENGTH = 200  # characters; a name has to fit a line of a table
ZIP_PAGE, DOS_PAGE = "cp437", "cp850"  # of names in zip files by their standard, and as Windows writes them in Europe
BIDI_CONTROLS = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")  # they reorder a line on the screen


def check_classes(names: Sequence[str], where: str) -> None:
    """Raise DataError unless there are at least two valid names and no two that read the same.

    `where` names the data set in the message.
    """
    if len(names) < 2:
        found = f"only the class '{printable(names[0])}'" if names else "no class folder"
        raise DataError(f"{where} has {found}. At least two folders of images, one for each class, are needed.")
    check_names(names, where)


def check_names(names: Sequence[str], where: str, *, one: str = "class", many: str = "classes") -> None:
    """Raise DataError unless each name is valid, no two read the same, and there are not too many.

    `one` and `many` are the nouns of the message.
    """
    if len(names) > MAX_OUTPUTS:
        raise DataError(f"{where} has {len(names):,} {many}; zoo takes {MAX_OUTPUTS:,} at most.")
    length = sum(len(json.dumps(name, ensure_ascii=False).encode(errors="backslashreplace")) for name in names)
    if length > MAX_NAMES_BYTES:
        raise DataError(
            f"the {many} of {where} take {length / 2**20:.1f} MiB; zoo holds {MAX_NAMES_BYTES / 2**20:.0f} MiB of names at "
            "most. Shorten them."
        )
    seen: dict[str, str] = {}
    for name in names:
        flaw = flaw_of(name)
        if flaw:
            raise DataError(f"{where} has the {one} '{printable(name[:MAX_LENGTH])}', whose name {flaw}. Rename it.")
        twin = seen.setdefault(unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold()), name)
        if twin is not name:
            raise DataError(f"{where} has the {many} {twin!a} and {name!a}, which read the same. Rename or merge one.")


def misread(name: str) -> str | None:
    """The name that an archive had in UTF-8 and that was unpacked as a name of Windows; None for a
    usual one."""
    try:
        meant = name.encode(ZIP_PAGE).decode("utf-8")
    except UnicodeError:
        return None
    return meant if meant != name else None


def flaw_of(name: str) -> str | None:
    """The reason why a name cannot be a class's, as the end of a sentence; None for a valid
    name."""
    kinds = {unicodedata.category(character) for character in name}
    if not name.strip():
        return "is empty"
    if name != name.strip():
        return "begins or ends with a space"
    if "Cs" in kinds:
        try:
            meant = os.fsencode(name).decode(DOS_PAGE, "replace")
        except UnicodeEncodeError:  # half of a character, as JSON can write it, and no byte of a file name
            return "holds half of a character"
        return f"is not valid UTF-8; if it comes from an archive of Windows, it is '{printable(meant)}'"
    if kinds & {"Cc", "Zl", "Zp"}:
        return "holds a control character or a line break"
    if BIDI_CONTROLS & set(name):
        return "holds characters that turn the direction of writing"
    if len(name) > MAX_LENGTH:
        return f"has more than {MAX_LENGTH} characters"
    return None
