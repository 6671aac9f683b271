"""The files by which runs are compared: their answers, the record of their images, and the cells of a comparison."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import torch

from fuzz.mutations import damaged_header, damaged_json, damaged_table
from fuzz.target import Case, expect, fresh, target
from fuzz.targets.runs import RUN
from zoo_core.choosing.folder import CELLS, Folder
from zoo_core.runs.answers import Answer, read_answers, read_output_answers
from zoo_core.runs.directory import ANSWERS, IMAGES
from zoo_core.runs.images import BYTES, read_images
from zoo_core.runs.schema import parse_facts
from zoo_core.tensors import write_tensors

DIGESTS = {"train": "1" * 64, "val": "0" * 64}


@target("answers", weight=6)
def answers(folder: Path) -> Case:
    """Every row of answers.csv is an answer on its image."""
    rows = [f"{part}/{number}.png,cat,{'cat' if number else 'dog'}" for part in "ab" for number in range(3)]
    seeds = (
        "\n".join(["image,class,answer,digest", *(f"{row},{number:064x}" for number, row in enumerate(rows))]).encode(),
        "\r\n".join(["image,class,answer", *rows, '"a, ""b""\n.png",dog,dog']).encode(),
    )

    def check(content: bytes) -> None:
        fresh(folder / ANSWERS, content)
        found = read_answers(folder)
        _, *written = csv.reader(io.StringIO(content.decode("utf-8"), newline=""), strict=True)
        own = [Answer(image, true == answer, *digest) for image, true, answer, *digest in written]
        expect(found == own, f"{found} and not {own}")

    return Case(seeds, check, damaged_table)


@target("answers of labels or numbers", weight=4)
def output_answers(folder: Path) -> Case:
    """Every row is a target and an answer to each label or number of its image, all of them finite."""
    header = "image,target_a,target_b,answer_a,answer_b,digest"
    rows = [f"{number}.png,{number % 2},1.0,0.{number}5,-1e-9,{number:032x}" for number in range(4)]

    def check(content: bytes) -> None:
        fresh(folder / ANSWERS, content)
        found = read_output_answers(folder)
        _, *written = csv.reader(io.StringIO(content.decode("utf-8"), newline=""), strict=True)
        assert found is not None
        numbers = [[float(cell) for cell in row[1:-1]] for row in written]
        told = [[*target, *answer] for target, answer in zip(found.targets_NK, found.answers_NK, strict=True)]
        expect(told == numbers, f"{told} and not {numbers}")
        expect(list(found.images) == [row[0] for row in written], "images")

    return Case(("\n".join([header, *rows]).encode(),), check, damaged_table)


@target("images of a run", weight=4)
def images(folder: Path) -> Case:
    """A record of images holds beginnings of digests."""
    facts = parse_facts({**RUN, "data": {**RUN["data"], "digests": DIGESTS}}, "run")
    tensors = {
        digest: torch.arange(rows * BYTES, dtype=torch.uint8).reshape(rows, BYTES)
        for rows, digest in zip((8, 2), DIGESTS.values(), strict=True)
    }
    write_tensors(folder / IMAGES, tensors)

    def check(content: bytes) -> None:
        fresh(folder / IMAGES, content)
        found = read_images(folder, facts)
        expect(found is not None and set(found) == set(DIGESTS), "parts")
        expect(all(len(one) == BYTES for own in (found or {}).values() for one in own), "digests")

    return Case(((folder / IMAGES).read_bytes(),), check, damaged_header)


@target("cells", weight=4)
def cells(folder: Path) -> Case:
    """A folder of a comparison has the cells that its cells.json names, all of them in the folder."""
    known = {"settings": {"backbone": "net", "seed": 1, "lr": 0.1}, "trainable_parameters": 850, "notes": ["poor"]}
    made = {"format": "zoo-compare", "version": 1, "cells": {"net": known, "net-2": {"settings": {}}}}

    def check(content: bytes) -> None:
        fresh(folder / CELLS, content)
        found = Folder(folder).cells
        expect(found == json.loads(content)["cells"], "cells")
        expect(all((folder / name).parent == folder for name in found), "a place outside of the folder")

    return Case((json.dumps(made).encode(),), check, damaged_json)
