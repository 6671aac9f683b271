"""The notebook of a lesson: the same chapters, with a cell that runs each, and what it gave."""

from __future__ import annotations

import base64
import json
import os
import shlex
from pathlib import Path
from typing import Any

from zoo_lesson.records import Record, Told, write_text

NOTEBOOK = "lesson.ipynb"


def write_notebook(told: Told, folder: Path) -> None:
    """Write the notebook (nbformat 4.5) into the folder of the lesson; it works in the folder above.

    One that is there keeps its cells, and a reader's own among them; the chapters that it lacks are
    put where they belong. A file that is no notebook stays as it is.
    """
    path = folder / NOTEBOOK
    made = _read(path) if path.exists() else _empty(told, folder)
    if made is None:
        return
    ids = [str(cell.get("id")) for cell in made["cells"]]
    new = [one for _, one in sorted(told.chapters.items()) if _mark(one) not in ids]
    for one in new:
        later = {_mark(other) for number, other in told.chapters.items() if number > one.number}
        place = next((place for place, cell in enumerate(made["cells"]) if cell.get("id") in later), len(made["cells"]))
        made["cells"][place:place] = _cells(one, told, folder)
    if new:
        write_text(path, json.dumps(made, indent=1, ensure_ascii=False) + "\n")


def _read(path: Path) -> dict[str, Any] | None:
    """A notebook as it is; None for another file."""
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found if all(isinstance(cell, dict) for cell in found["cells"]) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _empty(told: Told, folder: Path) -> dict[str, Any]:
    """A notebook without a chapter."""
    metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    place = [
        "import os",
        "START = globals().get('START', os.getcwd())  # the folder of this notebook, also where the cell runs again",
        f"os.chdir(os.path.join(START, {os.path.relpath(Path.cwd(), folder)!r}))",
    ]
    cells = [_prose("start", _opening(told)), _code("place", place, [])]
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def _mark(one: Record) -> str:
    """The name of the first cell of a chapter."""
    return f"{one.name}-question"


def _opening(told: Told) -> list[str]:
    return [
        "# Convolutional networks, on your own photos",
        "",
        f"On photos of {_plain(told.data)} with {_plain(told.backbone)}: {told.train} to train on and {told.test} to "
        f"measure on, of {len(told.classes)} classes. Make a guess, then run the cell below it.",
    ]


def _cells(one: Record, told: Told, folder: Path) -> list[dict[str, Any]]:
    asked = [f"## {one.number}. {one.title}", "", f"**{one.question}**", ""]
    asked += [f"{place}. {choice}" for place, choice in enumerate(one.choices, 1)]
    ran = ["The cell runs these commands:", "", "```sh", *one.commands, "```"]
    words = ["zoo", "lesson", str(one.number), "--no-ask", "--data", told.data, "--backbone", told.backbone]
    path = folder / f"{one.picture}.png"
    code = [
        f"command = {shlex.join([*words, '--out', str(folder)])!r}",
        "!{command}",  # a line behind '!' would be read for braces and dollars, and the value of a name is not
        "from IPython.display import Image",
        f"Image({str(path)!r})",
    ]
    outputs: list[dict[str, Any]] = [
        {"name": "stdout", "output_type": "stream", "text": _lines([one.sentence, one.verdict(), ""])},
        {
            "data": {"image/png": base64.b64encode(path.read_bytes()).decode(), "text/plain": [one.alt]},
            "execution_count": None,
            "metadata": {},
            "output_type": "execute_result",
        },
    ]
    explained = [line for paragraph in one.explanation for line in (paragraph, "")][:-1]
    return [
        _prose(_mark(one), [*asked, "", *ran]),
        _code(f"{one.name}-run", code, outputs),
        _prose(f"{one.name}-explanation", explained),
    ]


def _prose(name: str, lines: list[str]) -> dict[str, Any]:
    return {"cell_type": "markdown", "id": name, "metadata": {}, "source": _lines(lines)}


def _code(name: str, lines: list[str], outputs: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "execution_count": None,
        "id": name,
        "metadata": {},
        "outputs": outputs,
        "source": _lines(lines),
    }


def _lines(lines: list[str]) -> list[str]:
    """Lines as nbformat has them: each but the last ends with a newline."""
    return [f"{line}\n" for line in lines[:-1]] + lines[-1:]


def _plain(text: str) -> str:
    """A name that cannot be read as markup."""
    return "".join(f"\\{letter}" if letter in "\\`*_[]<>#|$" else letter for letter in text)
