from __future__ import annotations

import json
import pickle
import struct
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from zoo_core import tensors
from zoo_core.errors import WeightsError, ZooError
from zoo_core.tensors import MAX_TENSORS, read_tensors, read_torch_file, tensors_written, write_tensors


def safetensors_bytes(header: dict[str, object] | bytes, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


GOOD = {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "too short"),
        (b"1234567", "too short"),
        (struct.pack("<Q", 2**63), "the header claims 9223372036854775808 bytes"),
        (struct.pack("<Q", 100) + b"{}", "ends in the middle of its header"),
        (safetensors_bytes(b"{not json}"), "no readable safetensors header"),
        (safetensors_bytes(b"[" * 100_000), "no readable safetensors header"),
        (safetensors_bytes({"a": {"dtype": "F32"}}), "no readable safetensors header"),
        (safetensors_bytes(GOOD, b"1234"), "should hold 8 bytes of tensors and holds 4"),
        (safetensors_bytes(GOOD, b"1234567890"), "should hold 8 bytes of tensors and holds 10"),
        (safetensors_bytes({"a": {**GOOD["a"], "dtype": "\0" * 50_000}}, b"12345678"), "not a readable"),
        (
            safetensors_bytes({"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}}, b"12345678"),
            "not a readable",
        ),
    ],
)
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsError) as caught:
        read_tensors(path)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 1000
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("shape", [[2**63, 0], [0, 2**64 - 1]])
def test_a_shape_beyond_torch_of_a_tensor_without_numbers_is_refused(tmp_path: Path, shape: list[int]) -> None:
    """Seen to fail: torch's TypeError with its whole C++ stack."""
    header = {"a": {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}}
    (tmp_path / "a.safetensors").write_bytes(safetensors_bytes(header, b""))
    with pytest.raises(WeightsError, match=r"a\.safetensors is not a readable safetensors file: .{0,330}$"):
        read_tensors(tmp_path / "a.safetensors")


@pytest.mark.parametrize("end", ["8", None, [8], {}, True, 1e400, -8, 10**30, 8.5])
@pytest.mark.parametrize("shape", [[2], ["2"], None, [-2], [2**62, 2**62], [[2]]])
def test_a_header_with_numbers_that_are_none_is_refused(tmp_path: Path, end: object, shape: object) -> None:
    """Without the comparison inside the same guard as the parsing, a mixture of types ended in a TypeError."""
    header = {
        "a": {"dtype": "F32", "shape": shape, "data_offsets": [0, end]},
        "b": {"dtype": "F32", "shape": [0], "data_offsets": [8, 8]},
    }
    (tmp_path / "a.safetensors").write_bytes(safetensors_bytes(header, bytes(8)))
    with pytest.raises(WeightsError, match=r"a\.safetensors"):
        read_tensors(tmp_path / "a.safetensors")


def test_a_file_of_very_many_tensors_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    entry = '"%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    path.write_bytes(safetensors_bytes(("{" + ",".join(entry % n for n in range(MAX_TENSORS + 1)) + "}").encode()))
    with pytest.raises(WeightsError, match="names more than 50000 tensors"):
        read_tensors(path)


@pytest.mark.parametrize("name", ["model.bin", "model.pth", "model.safetensors"])
def test_a_pickle_is_refused_by_its_name_or_its_first_bytes(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "model.safetensors":
        torch.save({"a": torch.zeros(2)}, path)
    else:
        save_file({"a": torch.zeros(2)}, path)
    with pytest.raises(WeightsError, match="is a pickle"):
        read_tensors(path)


@pytest.mark.parametrize("length", [0x280, 0x480])
def test_a_header_whose_length_reads_like_a_pickle_is_no_pickle(tmp_path: Path, length: int) -> None:
    header = json.dumps(GOOD).encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(safetensors_bytes(header.ljust(length), b"12345678"))
    assert path.read_bytes()[:2] in (b"\x80\x02", b"\x80\x04")
    assert read_tensors(path)["a"].shape == (2,)


def test_a_pickle_that_holds_code_is_not_read_even_where_torch_files_are(tmp_path: Path) -> None:
    class Code:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return print, ("this ran",)

    path = tmp_path / "model.pth"
    path.write_bytes(pickle.dumps({"a": Code()}))
    with pytest.raises(WeightsError, match="not a plain PyTorch state dict"):
        read_torch_file(path)


def test_tensors_survive_a_round_trip_and_nothing_else_is_left_behind(tmp_path: Path) -> None:
    tensors = {"a": torch.randn(3, 4), "b": torch.arange(5)}
    write_tensors(tmp_path / "x" / "model.safetensors", tensors)
    found = read_tensors(tmp_path / "x" / "model.safetensors")
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[key], tensors[key]) for key in tensors)
    assert [path.name for path in (tmp_path / "x").iterdir()] == ["model.safetensors"]


@pytest.mark.parametrize("error", [SafetensorError("no space"), OSError(28, "no space")])
def test_what_another_thread_cannot_write_is_an_error_and_leaves_nothing(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object, **settings: object) -> None:
        raise error

    monkeypatch.setattr(tensors, "save_file", full)
    with pytest.raises(ZooError, match=r"model.safetensors could not be written: no space"):
        write_tensors(tmp_path / "model.safetensors", {"a": torch.ones(2)})
    assert list(tmp_path.iterdir()) == []


def test_tensors_written_beside_a_block_get_their_name_when_it_ends_well(tmp_path: Path) -> None:
    target, tensors = tmp_path / "model.safetensors", {"a": torch.randn(3, 4)}
    with pytest.raises(KeyError), tensors_written(target, tensors):
        raise KeyError
    assert list(tmp_path.iterdir()) == []
    with tensors_written(target, tensors):
        assert not target.exists()
    assert torch.equal(read_tensors(target)["a"], tensors["a"])
