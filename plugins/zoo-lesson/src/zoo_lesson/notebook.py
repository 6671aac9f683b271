"""The notebook of a lesson: the same chapters, with a cell that runs each, and what it gave."""

from __future__ import annotations

import base64
import json
import os
import shlex
from pathlib import Path
from typing import Any

from zoo_lesson.records import Record, Told


def notebook(told: Told, folder: Path) -> str:
    """The notebook as text (nbformat 4.5). It lies in the folder of the lesson, and works in the folder above."""
    cells = [_prose("start", _opening(told)), _code("place", [f"%cd {os.path.relpath(Path.cwd(), folder)}"], [])]
    for number in sorted(told.chapters):
        cells += _cells(told.chapters[number], told, folder)
    metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return json.dumps({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}, indent=1) + "\n"


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
        f"!{shlex.join([*words, '--out', str(folder)])}",
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
        _prose(f"{one.name}-question", [*asked, "", *ran]),
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
