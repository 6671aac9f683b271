"""Data sets of the Hub, read by the real package `datasets` from a local Hub: whole, and shard by shard.

Seen to fail without their guards: a table that named a file of this machine was read, the package went on for ten minutes
with a server that broke off every answer, and a data set that does not fit on the disk was fetched.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from datasets import ClassLabel, Image, List, Value

from hubserver import TestHub
from streaming.support import CLASSES, Photo, content_of, parquet, parquet_shards
from zoo_core.catalog import Catalog
from zoo_core.data.folders import read_folders
from zoo_core.data.scan import scan_images
from zoo_core.data.sources import Source, windows_of
from zoo_core.errors import DataError, HubError, UsageError
from zoo_core.installing import install_hint
from zoo_core.streaming import hubdata
from zoo_core.training.opening import open_dataset

BOTH = pytest.mark.parametrize("option", ["", ":streaming=yes"], ids=["whole", "streamed"])


def publish(hub: TestHub, name: str, files: dict[str, bytes]) -> str:
    """Add a data set to the Hub and give what names it."""
    hub.add_repo(f"datasets/acme/{name}", files)
    return f"hf:acme/{name}"


def table(photos: list[Photo], features: dict[str, Any], **columns: list[Any]) -> bytes:
    """One parquet file with these columns beside the images."""
    images = [{"bytes": content, "path": None} for content, _ in photos]
    return parquet({"image": images, **columns}, {"image": Image(), **features})


def opened(data: str, catalog: Catalog, task: Any = "auto") -> Source:
    return open_dataset(data, catalog, task)


@BOTH
def test_a_data_set_holds_the_images_and_classes_of_the_folder_that_it_was_made_of(
    hub: TestHub, photos: list[Photo], folder: Path, catalog: Catalog, option: str
) -> None:
    data = publish(hub, f"same-{bool(option)}", parquet_shards(photos)) + option
    source = opened(data, catalog)
    assert (source.classes, source.task) == (CLASSES, "classification")
    assert content_of(source) == content_of(scan_images(read_folders(folder)))
    asked = len(hub.requests)
    assert source.parts["train"].images.read(13).size == (40, 40)
    assert content_of(opened(data, catalog)) == content_of(source)
    again = {one.path.rpartition("/")[2] for one in hub.requests[asked:] if ".parquet" in one.path}
    assert again <= {"train-00000-of-00004.parquet"}, "a second look read more than the types of the columns"


@BOTH
def test_splits_are_parts_and_one_without_answers_is_left_out(
    hub: TestHub, photos: list[Photo], catalog: Catalog, option: str
) -> None:
    files = {
        **parquet_shards(photos[::2], split="train"),
        **parquet_shards(photos[1::2], split="validation"),
        **parquet_shards([(content, -1) for content, _ in photos[:4]], split="test"),
        **parquet_shards(photos[:2], split="extra"),
    }
    source = opened(publish(hub, f"splits-{bool(option)}", files) + option, catalog)
    assert {name: len(part) for name, part in source.parts.items()} == {"train": 10, "val": 10}
    assert source.ignored == {"split extra": 1, "part test without targets": 1}


def test_a_streamed_data_set_lies_on_disk_in_parts(
    hub: TestHub, photos: list[Photo], catalog: Catalog, cache: Path, tmp_path: Path
) -> None:
    data = publish(hub, "large", parquet_shards(photos))
    source = opened(f"{data}:streaming=yes,disk_gb=0.000065", catalog)
    train = source.parts["train"]
    windows = windows_of(train.images)
    assert windows is not None
    assert len(set(windows.shard_of.tolist())) == 4
    for number in range(20):
        train.images.read(number)
        assert len(list((cache / "shards").glob("[!.]*.tar"))) <= 2
    assert not [path for path in (tmp_path / "hf").rglob("*") if path.suffix in (".parquet", ".arrow")]


@BOTH
@pytest.mark.parametrize(
    ("feature", "values", "told", "task", "outputs", "targets"),
    [
        ({"species": Value("string")}, ["cat", "ant"] * 4, ":label=species", "classification", ("ant", "cat"), [1, 0]),
        ({"age": Value("float32")}, [0.5, -2.0] * 4, "", "regression", ("age",), [[0.5], [-2.0]]),
        ({"age": Value("int64")}, [5, 6] * 4, ":label=age", "regression", ("age",), [[5.0], [6.0]]),
        (
            {"tags": List(ClassLabel(names=["sea", "sun"]))},
            [[0, 1], []] * 4,
            "",
            "multilabel",
            ("sea", "sun"),
            [[1.0, 1.0], [0.0, 0.0]],
        ),
    ],
    ids=["texts", "numbers", "whole numbers", "labels"],
)
def test_a_column_s_type_says_the_task(
    hub: TestHub,
    photos: list[Photo],
    catalog: Catalog,
    option: str,
    feature: dict[str, Any],
    values: list[Any],
    told: str,
    task: Any,
    outputs: tuple[str, ...],
    targets: list[Any],
) -> None:
    column = next(iter(feature))
    name = f"{column}-{len(told)}-{bool(option)}"
    data = publish(hub, name, {"train.parquet": table(photos[:8], feature, **{column: values})})
    given = data + (f"{told},{option[1:]}" if told and option else told or option)
    source = opened(given, catalog, task)
    assert (source.task, source.classes) == (task, outputs)
    assert source.parts["train"].targets[:2].tolist() == targets


def test_columns_of_numbers_are_learnt_together(hub: TestHub, photos: list[Photo], catalog: Catalog) -> None:
    features = {"x": Value("float64"), "y": Value("int32"), "note": Value("string")}
    columns = {"x": [0.25] * 8, "y": list(range(8)), "note": ["..."] * 8}
    data = publish(hub, "points", {"train.parquet": table(photos[:8], features, **columns)})
    source = opened(f"{data}:label=y+x", catalog)
    assert (source.task, source.classes) == ("regression", ("y", "x"))
    assert source.parts["train"].targets[3].tolist() == [3.0, 0.25]


@pytest.mark.parametrize(
    ("options", "task", "told"),
    [
        (
            "",
            "auto",
            "the target is ambiguous. Name the column of classes, or the columns of numbers, with label=",
        ),
        (
            "label=king",
            "auto",
            "has no column 'king'. Did you mean 'kind'? It has 'image' (Image), 'kind' (ClassLabel), ",
        ),
        ("label=count", "auto", "the column 'count' holds whole numbers, which may be classes or amounts. Give --task"),
        ("label=kind+place", "auto", "the target is ambiguous"),
        ("label=kind,image=place", "auto", "needs one column of images: name it with image=COLUMN. It has 'image'"),
        ("label=kind", "regression", "is for classification"),
        ("colour=red", "auto", "has no option 'colour'"),
    ],
)
def test_what_cannot_be_told_lists_the_columns(
    hub: TestHub, photos: list[Photo], catalog: Catalog, options: str, task: Any, told: str
) -> None:
    if "datasets/acme/odd" not in hub.store.repos:
        two = ClassLabel(names=["a", "b"])
        features = {"kind": two, "place": two, "count": Value("int64")}
        columns = {"kind": [0, 1] * 4, "place": [0, 1] * 4, "count": list(range(8))}
        publish(hub, "odd", {"train.parquet": table(photos[:8], features, **columns)})
    with pytest.raises(UsageError) as caught:
        opened(f"hf:acme/odd:{options}", catalog, task)
    assert told in str(caught.value)


def test_of_several_configs_one_is_asked_for(hub: TestHub, photos: list[Photo], catalog: Catalog) -> None:
    card = (
        "---\nconfigs:\n- config_name: small\n  data_files: small/*.parquet\n"
        "- config_name: whole\n  data_files: whole/*.parquet\n---\n"
    )
    files = {"README.md": card.encode()}
    for config, chosen in (("small", photos[5:15]), ("whole", photos)):
        files |= {f"{config}/{name[5:]}": data for name, data in parquet_shards(chosen).items()}
    data = publish(hub, "configs", files)
    assert len(opened(f"{data}:small", catalog).parts["train"]) == 10
    assert len(opened(f"{data}:config=whole,streaming=yes", catalog).parts["train"]) == 20
    with pytest.raises(
        HubError, match=r"^hf:acme/configs: .*'small', 'whole'.* Choose one: hf:acme/configs:config=NAME"
    ):
        opened(data, catalog)


def test_a_revision_stays_what_it_was(hub: TestHub, photos: list[Photo], catalog: Catalog) -> None:
    data = publish(hub, "moving", parquet_shards(photos, per_shard=20))
    first = hub.head("datasets/acme/moving")
    hub.commit(
        "datasets/acme/moving", parquet_shards(photos[5:15], per_shard=10) | {"data/train-00000-of-00001.parquet": b""}
    )
    hub.commit("datasets/acme/moving", parquet_shards(photos[5:15], per_shard=10))
    assert len(opened(data, catalog).parts["train"]) == 10
    assert len(opened(f"{data}:revision={first}", catalog).parts["train"]) == 20


@BOTH
def test_bad_images_are_named(hub: TestHub, photos: list[Photo], catalog: Catalog, option: str) -> None:
    bad = [*photos[:3], (b"no image", 0), *photos[4:]]
    source = opened(publish(hub, f"bad-{bool(option)}", parquet_shards(bad)) + option, catalog)
    with pytest.raises(DataError, match=r"1 image in hf:acme/bad-\w+ cannot be used:\n  train/\S*3 is not an image"):
        scan_images(source)
    assert len(scan_images(source, bad_images="skip").parts["train"]) == 19


def test_images_in_files_of_the_repository_are_read_but_not_streamed(
    hub: TestHub, photos: list[Photo], folder: Path, catalog: Catalog
) -> None:
    files = {f"train/{CLASSES[label]}/{number:02d}.jpg": content for number, (content, label) in enumerate(photos)}
    data = publish(hub, "files", files)
    assert content_of(opened(data, catalog)) == content_of(scan_images(read_folders(folder)))
    with pytest.raises(
        DataError, match="hf:acme/files holds single image files, which are not streamed. Leave out str"
    ):
        opened(f"{data}:streaming=yes", catalog)


@BOTH
def test_a_file_of_this_machine_is_never_read(
    hub: TestHub, photos: list[Photo], folder: Path, catalog: Catalog, option: str
) -> None:
    secret = str(next((folder / "red").iterdir()))
    images = [{"bytes": content, "path": None} for content, _ in photos[:9]] + [{"bytes": None, "path": secret}]
    rows = {"image": images, "label": [0, 1] * 5}
    content = parquet_without_embedding(rows)
    data = publish(hub, f"thief-{bool(option)}", {"train.parquet": content}) + option
    with pytest.raises((DataError, HubError), match="is a file that does not belong to the data set"):
        scan_images(opened(data, catalog))


def parquet_without_embedding(rows: dict[str, list[Any]]) -> bytes:
    """A parquet file whose images may be paths, which the package's own writer would replace by their bytes."""
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq
    from datasets import Features

    schema = Features({"image": Image(), "label": ClassLabel(names=["a", "b"])}).arrow_schema
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pydict(rows, schema=schema), buffer)
    return buffer.getvalue()


def test_the_files_of_others_are_never_read(
    hub: TestHub, photos: list[Photo], catalog: Catalog, tmp_path: Path
) -> None:
    (tmp_path / "private.parquet").write_bytes(
        parquet_shards(photos, per_shard=20)["data/train-00000-of-00001.parquet"]
    )
    card = f"---\nconfigs:\n- config_name: default\n  data_files: {tmp_path}/private.parquet\n---\n"
    data = publish(hub, "reaching", {"README.md": card.encode(), **parquet_shards(photos)})
    with pytest.raises(HubError, match="^hf:acme/reaching: ValueError: Data files don't belong to acme/reaching"):
        opened(data, catalog)


def test_what_is_no_table_of_images_is_refused(hub: TestHub, catalog: Catalog) -> None:
    data = publish(hub, "texts", {"train.csv": b"a,b\n1,2\n"})
    with pytest.raises(DataError, match="hf:acme/texts is stored as 'csv'. zoo reads parquet, arrow, imagefolder"):
        opened(data, catalog)


@BOTH
def test_a_damaged_file_is_one_clear_message(hub: TestHub, photos: list[Photo], catalog: Catalog, option: str) -> None:
    files = parquet_shards(photos)
    files["data/train-00002-of-00004.parquet"] = b"PAR1" + b"x" * 5000
    with pytest.raises(HubError, match=r"^hf:acme/torn-\w+: Arrow\w+: .{0,200}"):
        opened(publish(hub, f"torn-{bool(option)}", files) + option, catalog)


@pytest.mark.parametrize(
    ("data", "error", "told"),
    [
        ("hf:acme/nothing", HubError, "hf:acme/nothing: there is no such repository, or it is private"),
        ("hf:nothing", UsageError, "hf:nothing is no data set of the Hub. Give its owner and its name: hf:OWNER/NAME"),
        ("hf:acme/../x", UsageError, "hf:acme/../x is no data set of the Hub"),
        ("hf:acme/known:revision=v9", HubError, "hf:acme/known: the repository has no such revision"),
        ("hf:acme/empty", HubError, "hf:acme/empty: "),
    ],
)
def test_what_is_not_there_is_one_clear_message(
    hub: TestHub, photos: list[Photo], catalog: Catalog, data: str, error: type[Exception], told: str
) -> None:
    if "datasets/acme/known" not in hub.store.repos:
        publish(hub, "known", parquet_shards(photos))
        publish(hub, "empty", {"README.md": b"nothing\n"})
    with pytest.raises(error) as caught:
        opened(data, catalog)
    assert str(caught.value).startswith(told)
    assert "\n" not in str(caught.value)


def test_without_a_network_there_is_one_clear_message(
    hub: TestHub, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(
        HubError, match="^hf:acme/known: http://127.0.0.1:9 cannot be reached. Check the network and that address.$"
    ):
        opened("hf:acme/known", catalog)


@pytest.mark.parametrize("fault", [{"status": 503}, {"drop_answer": True}, {"cut_after": 2000}], ids=str)
def test_a_server_that_goes_while_a_shard_comes_is_given_up_soon(
    hub: TestHub, photos: list[Photo], catalog: Catalog, naps: list[float], fault: dict[str, Any]
) -> None:
    data = publish(hub, f"going-{next(iter(fault))}", parquet_shards(photos))
    hub.fault("GET", "train-00002", **fault)
    with pytest.raises(HubError, match="^hf:acme/going-.*Try again later."):
        opened(f"{data}:streaming=yes", catalog)
    waited = [seconds for seconds in naps if seconds > 0.1]  # not those in which a lock is asked for again
    assert sum(waited) < 30


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that would have been slept; nobody really sleeps."""
    seconds: list[float] = []
    monkeypatch.setattr("time.sleep", seconds.append)
    return seconds


def test_what_does_not_fit_on_the_disk_is_to_be_streamed(
    hub: TestHub, photos: list[Photo], catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = publish(hub, "huge", parquet_shards(photos))
    monkeypatch.setattr(hubdata.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1000}))
    with pytest.raises(DataError, match=r"takes about \S+ GB of the disk, and 1e-06 GB are free. Add streaming=yes"):
        opened(data, catalog)


def test_without_the_extra_core_works_and_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['datasets'] = None\n"
        "import zoo_core, zoo_core.library, zoo_core.streaming.webdataset\n"
        "from zoo_core.catalog import open_catalog\n"
        "from zoo_core.training.opening import open_dataset\n"
        "open_dataset('fashion-small', open_catalog())\n"
        "try:\n    open_dataset('hf:acme/photos', open_catalog())\n"
        "except zoo_core.errors.UsageError as error:\n    print(error)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == (
        "--data hf:... needs the package 'datasets', which is not installed. To install it: "
        + install_hint("zoo-core", extra="streaming")
    )


@BOTH
@pytest.mark.parametrize("strikes", [1, None], ids=["once", "always"])
def test_a_byte_that_was_flipped_on_the_way_is_never_trained_on(
    hub: TestHub, photos: list[Photo], catalog: Catalog, option: str, strikes: int | None, tmp_path: Path
) -> None:
    """Seen to fail: the images with another byte were the data set, and stayed in the cache."""
    files = parquet_shards(photos)
    name = f"flipped-{bool(option)}-{strikes}"
    data = publish(hub, name, files) + option
    shard = "data/train-00002-of-00004.parquet"
    middle = files[shard].index(photos[12][0]) + len(photos[12][0]) // 2
    hub.fault("GET", "train-00002", flip_byte=middle, times=strikes)
    if strikes is None:
        with pytest.raises(HubError, match=f"hf:acme/{name}: {shard} was fetched twice and its bytes are not those"):
            opened(data, catalog)
        hub.clear_faults()
    digests = content_of(opened(data, catalog))
    assert digests == content_of(opened(publish(hub, f"{name}-sound", files) + option, catalog))


def test_tables_that_were_made_of_other_bytes_are_made_again(
    hub: TestHub, photos: list[Photo], catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen to fail: tables that another program had made, or that were changed later, were read as they were."""
    data = publish(hub, "changed", parquet_shards(photos))
    sound = content_of(opened(data, catalog))
    (table,) = (tmp_path / "hf" / "datasets").rglob("*.arrow")
    content = table.read_bytes()
    at = content.index(photos[7][0]) + len(photos[7][0]) // 2
    table.write_bytes(content[:at] + bytes([content[at] ^ 255]) + content[at + 1 :])
    (tmp_path / "hf" / "hub" / "datasets--acme--changed").rename(tmp_path / "gone")
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "new"))  # without the index of the first look
    assert content_of(opened(data, catalog)) == sound
