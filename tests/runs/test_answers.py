"""The answers of a run, as they are written and read."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from zoo_core.choosing.reading import _named, _shared_names, _unambiguous
from zoo_core.data.sources import Part
from zoo_core.errors import ZooError
from zoo_core.runs.answers import Answer, read_answers, read_output_answers, write_answers


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
    shared = _shared_names([_named(found[:1]), _named(found[1:])])  # as of two folds
    names = _unambiguous(found, shared)
    assert len(set(names)) == 3
    assert "001.jpg" in names


def test_large_targets_are_written_as_they_were_learned(tmp_path: Path) -> None:
    """Seen to fail: the shortest text of this float32, 1.7000003e+09, is 44 seconds off it."""
    targets_N1 = np.array([[1700000202.77], [0.1]], np.float32)
    part = Part(Named("a", "b"), targets_N1)  # type: ignore[arg-type]
    write_answers(tmp_path, part, ("time",), targets_N1.astype(np.float64))
    lines = (tmp_path / "answers.csv").read_text(encoding="utf-8").splitlines()[1:]
    assert [line.split(",")[1] for line in lines] == ["1700000256.0", "0.1"]


def test_answers_of_labels_and_numbers_are_read_back_to_the_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    targets_NK, answers_NK = np.array([[0.1, 7], [2, -1]], np.float32), np.array([[1 / 3, 6.5], [1e-9, 1e9]])
    part = Part(Named("a,b.png", "000.jpg"), targets_NK)  # type: ignore[arg-type]
    write_answers(tmp_path, part, ("width", "a, b"), answers_NK)
    found = read_output_answers(tmp_path)
    assert found is not None
    assert found.images == ("a,b.png", "000.jpg")
    assert len(set(found.digests)) == 2
    assert found.answers_NK.tolist() == answers_NK.tolist()
    assert found.targets_NK.astype(np.float32).tolist() == targets_NK.tolist()
    monkeypatch.setattr("zoo_core.runs.answers.MAX_NUMBERS", 7)
    write_answers(tmp_path / "large", part, ("width", "a, b"), answers_NK)
    assert read_output_answers(tmp_path / "large") is None


def test_answers_that_were_written_without_digests_are_read(tmp_path: Path) -> None:
    (tmp_path / "answers.csv").write_text("image,class,answer\na.jpg,x,y\nb.jpg,x,x\n")
    assert read_answers(tmp_path) == [Answer("a.jpg", False), Answer("b.jpg", True)]


LABELS = "image,target_x,answer_x,digest\n"


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (read_answers, "image,class\n"),
        (read_answers, "image,class,answer,digest\na,b\n"),
        (read_answers, "image,class,answer\na,b,c,d,e\n"),
        (read_answers, LABELS),
        (read_output_answers, "image,class,answer,digest\na,b,b,0\n"),
        (read_output_answers, "image,target_x,answer_y,digest\na,0,0,0\n"),
        (read_output_answers, f"{LABELS}a,1,0\n"),
        (read_output_answers, f"{LABELS}a,1,nan,0\n"),
        (read_output_answers, f"{LABELS}a,1,zoo,0\n"),
        (read_output_answers, f"{LABELS}a\n"),
        (read_output_answers, LABELS),
        (read_output_answers, ""),
    ],
)
def test_a_file_that_is_none_of_a_run_is_named(read: Callable[[Path], object], text: str, tmp_path: Path) -> None:
    (tmp_path / "answers.csv").write_text(text)
    with pytest.raises(ZooError, match="answers.csv cannot be read: .* Remove it to go without the answers"):
        read(tmp_path)
