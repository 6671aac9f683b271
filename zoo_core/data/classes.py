"""Which names can stand for classes. They are shown on terminals, in cards and pictures, and are compared by eye."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

from zoo_core.errors import DataError, printable

MAX_LENGTH = 200  # characters; a line of a table has to hold it
TURNING = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")  # change the order in which a line reads


def check_classes(names: Sequence[str], where: str) -> None:
    """Raise DataError unless there are at least two names, each a sane one, and no two that read the same.

    `where` says what they were found in.
    """
    if len(names) < 2:
        found = f"only the class '{printable(names[0])}'" if names else "no class folder"
        raise DataError(f"{where} has {found}. At least two folders of images, one for each class, are needed.")
    check_names(names, where)


def check_names(names: Iterable[str], where: str, *, one: str = "class", many: str = "classes") -> None:
    """Raise DataError unless each name is a sane one, and no two read the same. `one` and `many` say of what."""
    seen: dict[str, str] = {}
    for name in names:
        flaw = flaw_of(name)
        if flaw:
            raise DataError(f"{where} has the {one} '{printable(name[:MAX_LENGTH])}', whose name {flaw}. Rename it.")
        twin = seen.setdefault(unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold()), name)
        if twin is not name:
            raise DataError(f"{where} has the {many} {twin!a} and {name!a}, which read the same. Rename or merge one.")


def flaw_of(name: str) -> str | None:
    """What keeps a name from being a class's, None when nothing does."""
    kinds = {unicodedata.category(character) for character in name}
    if not name.strip():
        return "is empty"
    if name != name.strip():
        return "begins or ends with a space"
    if "Cs" in kinds:
        return "is not valid UTF-8"
    if kinds & {"Cc", "Zl", "Zp"}:
        return "holds a control character or a line break"
    if TURNING & set(name):
        return "holds characters that turn the direction of writing"
    if len(name) > MAX_LENGTH:
        return f"has more than {MAX_LENGTH} characters"
    return None
