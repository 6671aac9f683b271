"""CSV files with an odd or empty cell, an open quote or a column too many: an error that names the line, and no lost column."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from zoo_core.data.tables import read_table
from zoo_core.errors import DataError

Write = Callable[..., Path]
GOOD = "a/0.jpg,x"


@pytest.mark.parametrize(("yes", "no"), [("1", "0"), ("1.0", "0.0"), ("True", "False"), ("0", "0")])
@pytest.mark.parametrize("columns", ["path,bright", "path,label,note"])
def test_one_column_of_zero_and_one_may_be_one_label(write: Write, yes: str, no: str, columns: str) -> None:
    """Seen to fail: its labels were '0' and '1'."""
    note = ",dark one" if "note" in columns else ""
    source = read_table(write(columns, f"a/0.jpg,{yes}{note}", f"b/0.jpg,{no}{note}"), "multilabel")
    assert source.classes == (columns.split(",")[1],)
    assert source.parts["train"].targets.tolist() == [[float(yes in ("1", "1.0", "True"))], [0]]
    with pytest.raises(DataError, match=f"line 3: the label '{source.classes[0]}' must be 0 or 1, got ''"):
        read_table(write(columns, f"a/0.jpg,{yes}{note}", f"b/0.jpg,{note}"), "multilabel")


def test_labels_that_are_numbers_are_labels_still(write: Write) -> None:
    assert read_table(write("path,digits", "a/0.jpg,0", "b/0.jpg,1", "a/1.png,1|7"), "multilabel").classes == (
        "0",
        "1",
        "7",
    )
    assert read_table(write("path,digits", "a/0.jpg,0", "b/0.jpg,1", "a/1.png,2"), "multilabel").classes == (
        "0",
        "1",
        "2",
    )
    assert read_table(write("path,digits", "a/0.jpg,0|1", "b/0.jpg,1"), "multilabel").classes == ("0", "1")


@pytest.mark.parametrize(
    ("lines", "first", "last"),
    [
        (["path,kind", GOOD, '"b/0.jpg,y', "", "a/1.png,x", "b/1.png,y"], 3, 6),
        (["path,kind", GOOD, "", 'b/0.jpg,"y'], 4, 4),
        (["path,kind", GOOD, 'b/0.jpg,"y', 'a/1.png,"x"'], 3, 4),
        (['path,"kind', GOOD, "b/0.jpg,y"], 1, 3),
        (["path,kind", GOOD, 'b/0.jpg,"y', *["a/1.png,x"] * 20_000], 3, None),
    ],
)
def test_a_quote_that_is_not_closed_is_named_with_the_line_where_its_row_began(
    write: Write, lines: list[str], first: int, last: int | None
) -> None:
    """Seen to fail: the error named the last line that was read."""
    found = f"line {first}: in the row that begins here a quote is not closed .line {last or '[0-9]+'}: .*. Close it; a quote"
    with pytest.raises(DataError, match=found):
        read_table(write(*lines))


@pytest.mark.parametrize(("row", "message"), [("b/0.jpg", "line 4: 1 cells"), ('b/0.jpg;"y', "line 4: in the row")])
def test_a_line_that_names_the_delimiter_counts_as_a_line(write: Write, row: str, message: str) -> None:
    """Seen to fail: an error named the line before."""
    with pytest.raises(DataError, match=message):
        read_table(write("sep=;", "path;kind", "a/0.jpg;x", row))


@pytest.mark.parametrize("name", ["split", "Part", "subset"])
@pytest.mark.parametrize("cell", ["", "extra"])
@pytest.mark.parametrize("target", ["label", "kind"])
def test_an_odd_cell_among_parts_loses_no_split(write: Write, name: str, cell: str, target: str) -> None:
    """Seen to fail: with one such cell the column was passed over, and test images were trained on."""
    rows = ("a/0.jpg,train,x", "b/0.jpg,test,y", f"a/1.png,{cell},x", "b/1.png,train,y")
    message = f"line 4: the part must be train, val or test, got '{cell}'. Correct it, or give the column '{name}'"
    with pytest.raises(DataError, match=re.escape(message)):
        read_table(write(f"path,{name},{target}", *rows))


def test_test_rows_alone_are_a_split_as_well(write: Write) -> None:
    """Seen to fail: where only the test images were marked, they were trained on."""
    rows = ("a/0.jpg,,x", "b/0.jpg,test,y", "a/1.png,,x", "b/1.png,,y")
    with pytest.raises(DataError, match="line 2: the part must be train, val or test, got ''"):
        read_table(write("path,split,label", *rows))


@pytest.mark.parametrize("cells", [("", "", "", ""), ("spring", "test", "autumn", "winter")])
def test_a_column_called_set_without_parts_is_passed_over(write: Write, cells: tuple[str, ...]) -> None:
    images = ("a/0.jpg,x", "b/0.jpg,y", "a/1.png,x", "b/1.png,y")
    source = read_table(
        write("path,label,set", *(f"{image},{cell}" for image, cell in zip(images, cells, strict=True)))
    )
    assert (source.classes, source.ignored) == (("x", "y"), {"column set": 1})
    assert list(source.parts) == ["train"]


@pytest.mark.parametrize("names", [("split", "subset"), ("part", "Part"), ("part", "split")])
def test_two_columns_of_parts_must_agree(write: Write, names: tuple[str, str]) -> None:
    """Seen to fail: one of two splits was passed over."""
    header = f"path,{','.join(names)},label"
    same = read_table(write(header, "a/0.jpg,train,Train,x", "b/0.jpg,train,training,y", "a/1.png,val,dev,x"))
    assert {name: len(part) for name, part in same.parts.items()} == {"train": 2, "val": 1}
    with pytest.raises(
        DataError, match=f"has the columns '{names[0]}', '{names[1]}', which name different parts. Keep one"
    ):
        read_table(write(header, "a/0.jpg,train,train,x", "b/0.jpg,train,test,y", "a/1.png,val,val,x"))


@pytest.mark.parametrize("header", ["path,Group,group,label", "path,kind,group,GROUP"])
def test_two_columns_of_groups_are_one_too_many(write: Write, header: str) -> None:
    """Seen to fail: both were passed over, and groups were parted."""
    with pytest.raises(
        DataError, match="has the columns '(G|g)roup', '(group|GROUP)', which name groups. Keep one of them"
    ):
        read_table(write(header, "a/0.jpg,p1,q1,x", "b/0.jpg,p2,q2,y"))


@pytest.mark.parametrize(("name", "cells"), [("split", ("train", "test")), ("Part", ("test", ""))])
def test_a_column_of_parts_alone_beside_the_path_is_a_target(write: Write, name: str, cells: tuple[str, str]) -> None:
    source = read_table(write(f"path,{name}", f"a/0.jpg,{cells[0]}", f"b/0.jpg,{cells[1] or 'other'}"))
    assert source.classes == tuple(sorted((cells[0], cells[1] or "other")))


@pytest.mark.parametrize(
    ("lines", "task", "message"),
    [
        (
            ["path,target,width", "a/0.jpg,1.5,3", "b/0.jpg,2,4", "a/1.png,3,"],
            "auto",
            "line 4: the column 'width' holds numbers",
        ),
        (
            ["path,target,width", "a/0.jpg,1.5,3", "b/0.jpg,,4"],
            "auto",
            "line 3: the column 'target' holds numbers, and here ''",
        ),
        (
            ["path,age,width", "a/0.jpg,1.5,3", "b/0.jpg,2,4", "a/1.png,3,?"],
            "auto",
            "line 4: the column 'width' holds numbers",
        ),
        (
            ["path,target,width", "a/0.jpg,1.5,3", "b/0.jpg,2,"],
            "regression",
            "line 3: the column 'width' holds numbers",
        ),
        (["path,sun,sea", "a/0.jpg,1,0", "b/0.jpg,1,"], "auto", "line 3: the column 'sea' holds 0 and 1, and here ''"),
        (
            ["path,sun,sea", "a/0.jpg,True,False", "b/0.jpg,True,2"],
            "auto",
            "line 3: the column 'sea' holds 0 and 1, and here '2'",
        ),
        (
            ["path,label,sea", "a/0.jpg,1,0", "b/0.jpg,1,x"],
            "auto",
            "line 3: the column 'sea' holds 0 and 1, and here 'x'",
        ),
        (["path,label,sea", "a/0.jpg,1,0", "b/0.jpg,1,x"], "multilabel", "line 3: the column 'sea' holds 0 and 1"),
        (
            ["path,sun,n", "a/0.jpg,1,0", "b/0.jpg,1,2", "a/1.png,0,"],
            "auto",
            "line 4: the column 'n' holds numbers, and here ''",
        ),
    ],
)
def test_an_odd_cell_loses_no_column_of_numbers(write: Write, lines: list[str], task: str, message: str) -> None:
    """Seen to fail: the column was passed over, or the error named no line."""
    with pytest.raises(DataError) as caught:
        read_table(write(*lines), task)  # type: ignore[arg-type]
    assert message in str(caught.value)
    assert "Correct it, or remove the column if it is not to be predicted" in str(caught.value)


def test_the_next_steps_of_an_odd_cell_work(write: Write) -> None:
    with pytest.raises(DataError, match="line 4: .*'age'.*, or give --task classification to predict 'target' alone"):
        read_table(write("path,target,age", "a/0.jpg,1,30", "b/0.jpg,0,40", "a/1.png,0,"))
    file = write("path,target,age", "a/0.jpg,1,30", "b/0.jpg,0,40", "a/1.png,0,")
    assert read_table(file, "classification").ignored == {"column age": 1}
    assert read_table(write("path,target", "a/0.jpg,1", "b/0.jpg,0", "a/1.png,0"), "classification").classes == (
        "0",
        "1",
    )


@pytest.mark.parametrize("notes", [("", "", "7"), ("dark", "12", "nice"), ("", "blurred", "")])
@pytest.mark.parametrize("ages", [(30, 40, 50), (30, 40, "")])
def test_a_column_of_notes_is_passed_over_whatever_is_beside_it(write: Write, notes: tuple[str, ...], ages) -> None:
    images = ("a/0.jpg,1.5", "b/0.jpg,2.5", "a/1.png,3.5")
    rows = (f"{image},{age},{note}" for image, age, note in zip(images, ages, notes, strict=True))
    source = read_table(write("path,target,age,notes", *rows))
    assert (source.task, source.classes) == ("regression", ("target",))
    assert source.ignored == {"column age": 1, "column notes": 1}


def test_a_column_of_classes_beside_numbers_with_a_gap_is_the_target(write: Write) -> None:
    source = read_table(write("path,label,age", "a/0.jpg,x,30", "b/0.jpg,y,40", "a/1.png,y,"))
    assert (source.classes, source.ignored) == (("x", "y"), {"column age": 1})
