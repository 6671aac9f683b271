"""Prose has subjects: a clause that begins with "what" hides the noun, so the word is counted. Files stay short."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

CORE = Path(__file__).parents[2] / "zoo_core"
MOST_WHAT = 60  # in all docstrings and comments of zoo_core: 363 before the prose was rewritten
MOST_SENTENCES = 5  # that begin with it: 106 before
MOST_LINES = 300  # of a file
COLUMNS = 100  # of a line of prose
MOST_WIDE = 300  # lines of prose that are wider: 612 before the most of them were wrapped


def prose_of(source: str) -> Iterator[str]:
    """Every docstring and comment of a module; a string that stands alone documents the field before it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.value.value
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.string


def found_in(pattern: str) -> list[str]:
    return [
        f"{path.relative_to(CORE)}: {' '.join(text[max(0, match.start() - 30) : match.end() + 40].split())}"
        for path in sorted(CORE.rglob("*.py"))
        for text in prose_of(path.read_text(encoding="utf-8"))
        for match in re.finditer(pattern, text)
    ]


def test_the_count_finds_docstrings_fields_and_comments_and_no_code() -> None:
    source = 'def f(what):\n    """What a docstring."""\n    x = "what"  # what a comment\n\n\ny = 1\n"""what of a field"""\n'
    assert sum(len(re.findall(r"(?i)\bwhat\b", text)) for text in prose_of(source)) == 3


def test_prose_names_its_subjects() -> None:
    found = found_in(r"\b[Ww]hat\b")
    assert len(found) <= MOST_WHAT, "give these clauses a noun:\n" + "\n".join(found)


def test_few_sentences_begin_with_what() -> None:
    found = found_in(r"\bWhat\b")
    assert len(found) <= MOST_SENTENCES, "begin these sentences with their subject:\n" + "\n".join(found)


def test_few_lines_of_prose_are_too_wide_to_be_read() -> None:
    wide = [
        f"{path.relative_to(CORE)}: {line.strip()[:60]}"
        for path in sorted(CORE.rglob("*.py"))
        for line in lines_of_prose(path.read_text(encoding="utf-8"))
        if len(line) > COLUMNS
    ]
    assert len(wide) <= MOST_WIDE, f"wrap these at {COLUMNS} columns:\n" + "\n".join(wide)


def lines_of_prose(source: str) -> Iterator[str]:
    """The lines of every docstring, and those that are a comment alone."""
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield from lines[node.lineno - 1 : node.end_lineno]
    yield from (line for line in lines if line.lstrip().startswith("# "))


def test_no_file_is_too_long_to_be_read_at_once() -> None:
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in CORE.rglob("*.py")}
    long = [f"{path.relative_to(CORE)}: {count}" for path, count in lines.items() if count > MOST_LINES]
    assert not long, f"split these files by their ideas: {long}"
