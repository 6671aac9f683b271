"""Rows of CSV are read back as they were written."""

from __future__ import annotations

import csv
import io

import pytest

from zoo_core.csv_rows import csv_writer


@pytest.mark.parametrize("cell", ["a", "", "a,b", 'a"b', "a\nb", "a\rb", "a\r\nb", "\r", "ä b"])
def test_a_cell_is_read_back_as_it_was_written(cell: str) -> None:
    """csv.writer alone leaves a bare carriage return unquoted where rows end with a line feed."""
    rows = [[cell, "2"], ["3", cell], [cell]]
    text = io.StringIO(newline="")
    csv_writer(text).writerows(rows)
    assert list(csv.reader(io.StringIO(text.getvalue(), newline=""), strict=True)) == rows


def test_plain_rows_end_with_a_line_feed_alone() -> None:
    text = io.StringIO(newline="")
    csv_writer(text).writerows([["a", 1], ["b c", 2.5]])
    assert text.getvalue() == "a,1\nb c,2.5\n"
