"""The answers of a run, as they are written and read."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from zoo_core.choosing.results import _key, _shared_names
from zoo_core.data.sources import Part
from zoo_core.errors import ZooError
from zoo_core.runs.answers import Answer, read_answers, write_answers


class Named:
    """Images that are their number; two may have one name."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def __len__(self) -> int:
        return len(self.names)

    def name(self, index: int) -> str:
        return self.names[index]

    def digest(self, index: int) -> bytes:
        return sha256(bytes([index])).digest()[:16]


def test_answers_are_read_back_whatever_names_hold(tmp_path: Path) -> None:
    part = Part(Named("a\rb.png", "c,d.png", "e.png"), np.array([0, 1, 1]))  # type: ignore[arg-type]
    write_answers(tmp_path, part, ("red\r", "blue"), np.array([0, 1, 0]))
    found = read_answers(tmp_path)
    assert found is not None
    assert [(one.image, one.is_right) for one in found] == [("a\\rb.png", True), ("c,d.png", True), ("e.png", False)]


def test_images_of_one_name_are_told_apart_and_others_keep_theirs(tmp_path: Path) -> None:
    """The last of the images of one name does not stand for all."""
    part = Part(Named("000.jpg", "001.jpg", "000.jpg"), np.array([0, 0, 0]))  # type: ignore[arg-type]
    write_answers(tmp_path, part, ("a", "b"), np.array([0, 0, 1]))
    found = read_answers(tmp_path) or []
    shared = _shared_names([found[:1], found[1:]])  # as of two folds
    keys = {_key(one, shared): one.is_right for one in found}
    assert list(keys.values()) == [True, True, False]
    assert "001.jpg" in keys


def test_answers_that_were_written_without_digests_are_read(tmp_path: Path) -> None:
    (tmp_path / "answers.csv").write_text("image,class,answer\na.jpg,x,y\nb.jpg,x,x\n")
    assert read_answers(tmp_path) == [Answer("a.jpg", False), Answer("b.jpg", True)]


@pytest.mark.parametrize(
    "text", ["image,class\n", "image,class,answer,digest\na,b\n", "image,class,answer\na,b,c,d,e\n"]
)
def test_a_file_that_is_none_of_a_run_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "answers.csv").write_text(text)
    with pytest.raises(ZooError, match="answers.csv cannot be read: .* Remove it to go without the answers"):
        read_answers(tmp_path)
