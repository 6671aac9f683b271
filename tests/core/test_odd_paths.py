"""Paths that are no text, or no word of a shell: files are found again, and commands can be copied."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from zoo_core.tensors import read_tensors, write_tensors
from zoo_core.wording import quoted


@pytest.mark.parametrize(
    "name", [b"photos", b"my photos", b"it's", b"i\xe9", b"a\nb", b"a\\b\x1b[1m'", "caf\u00e9".encode()]
)
def test_a_shell_reads_a_quoted_path_as_it_is(name: bytes) -> None:
    text = quoted(os.fsdecode(name))
    assert text.isprintable()
    if sys.platform != "win32":
        read = subprocess.run(["bash", "-c", f"printf %s {text}"], capture_output=True, check=True)
        assert read.stdout == name


def test_half_of_a_character_is_no_traceback() -> None:
    assert quoted("a\ud800") == "$'a\\xed\\xa0\\x80'"


def test_tensors_below_a_path_that_is_no_text_are_read_again(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"i\xe9")
    try:
        folder.mkdir()
    except OSError:  # a file system of macOS or Windows, where all names are text
        assert sys.platform != "linux"
        return
    tensors = {"a": torch.arange(3.0), "b": torch.zeros(0, 2)}
    write_tensors(folder / "model.safetensors", tensors)
    found = read_tensors(folder / "model.safetensors")
    assert {name: tensor.tolist() for name, tensor in found.items()} == {"a": [0, 1, 2], "b": []}
