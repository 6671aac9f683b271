"""What is kept on disk is found again, whatever happened to the process that wrote it."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from zoo_core.data.store import ENTRY, Store, make_room, stores


def key(number: int) -> bytes:
    return number.to_bytes(4, "big") * 4


def array(number: int, shape: tuple[int, int, int] = (2, 3, 4)) -> np.ndarray:
    return np.full(shape, number, np.float16) + np.arange(np.prod(shape)).reshape(shape).astype(np.float16)


def fill(folder: Path, numbers: range) -> None:
    with Store(folder, np.float16) as store:
        store.add([key(number) for number in numbers], [array(number) for number in numbers])


def holds(folder: Path, numbers: range) -> bool:
    with Store(folder, np.float16) as store:
        entries, found = store.find([key(number) for number in numbers])
        rows = store.read(entries) if found.all() else []
    return bool(rows) and all(np.array_equal(row, array(number)) for row, number in zip(rows, numbers, strict=True))


def test_what_was_added_is_found_by_key_in_any_order(tmp_path: Path) -> None:
    fill(tmp_path / "s", range(10))
    fill(tmp_path / "s", range(10, 20))
    with Store(tmp_path / "s", np.float16) as store:
        assert len(store) == 20
        entries, found = store.find([key(13), key(99), key(2)])
        assert found.tolist() == [True, False, True]
        assert np.array_equal(store.read(entries[[0]])[0], array(13))
        assert np.array_equal(store.read(entries[[2]])[0], array(2))


def test_arrays_of_different_shapes_stand_side_by_side(tmp_path: Path) -> None:
    shapes = [(1, 1, 5), (7, 2, 3), (4, 4, 4)]
    with Store(tmp_path / "s", np.uint8) as store:
        store.add([key(n) for n in range(3)], [np.full(shape, n, np.uint8) for n, shape in enumerate(shapes)])
        store.commit()
        rows = store.read(store.find([key(n) for n in range(3)])[0])
    assert [row.shape for row in rows] == shapes


def test_what_was_not_committed_is_not_found_and_harms_nothing(tmp_path: Path) -> None:
    fill(tmp_path / "s", range(5))
    code = (
        "import os, sys, numpy as np; from pathlib import Path; from zoo_core.data.store import Store\n"
        f"store = Store(Path({str(tmp_path / 's')!r}), np.float16)\n"
        "store.add([b'x' * 16], [np.zeros((9, 9, 9), np.float16)]); os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    assert holds(tmp_path / "s", range(5))
    fill(tmp_path / "s", range(5, 8))
    assert holds(tmp_path / "s", range(8))
    with Store(tmp_path / "s", np.float16) as store:
        assert not store.find([b"x" * 16])[1][0]


@pytest.mark.parametrize("cut", [1, 17, ENTRY.itemsize - 1])
def test_a_torn_last_entry_of_the_index_is_passed_over_and_overwritten(tmp_path: Path, cut: int) -> None:
    fill(tmp_path / "s", range(5))
    index = tmp_path / "s" / "index"
    index.write_bytes(index.read_bytes()[:-cut])
    assert holds(tmp_path / "s", range(4))
    fill(tmp_path / "s", range(4, 8))
    assert holds(tmp_path / "s", range(8))


def test_entries_beyond_the_end_of_the_rows_are_not_believed(tmp_path: Path) -> None:
    fill(tmp_path / "s", range(5))
    os.truncate(tmp_path / "s" / "rows", 3 * array(0).nbytes + 5)
    with Store(tmp_path / "s", np.float16) as store:
        assert store.find([key(number) for number in range(5)])[1].tolist() == [True, True, True, False, False]


def test_several_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    def write(start: int) -> None:
        for number in range(start, start + 20):
            fill(tmp_path / "s", range(number, number + 1))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(0, 80, 20)))
    assert holds(tmp_path / "s", range(80))


def test_room_is_made_by_the_least_recently_used(tmp_path: Path) -> None:
    for number, name in enumerate(("old", "middle", "new")):
        fill(tmp_path / "features" / name, range(10))
        os.utime(tmp_path / "features" / name, (number, number))
    size = stores(tmp_path)[0][1]
    assert make_room(tmp_path, 0, 3 * size) == []
    assert [path.name for path in make_room(tmp_path, size, 3 * size)] == ["old"]
    assert [path.name for path in make_room(tmp_path, size, size, keep=[tmp_path / "features" / "middle"])] == ["new"]
    assert [path.name for path, _ in stores(tmp_path)] == ["middle"]
