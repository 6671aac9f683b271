"""Tries every architecture of timm: cuts it, proves it, finds its facts. Goes on where it was stopped.

python scripts/survey.py survey.jsonl [NAME...]
"""

import json
import sys
import time
import warnings
from pathlib import Path

import timm
import torch
from zoo_timm.reading import UncutError
from zoo_timm.survey import facts_of


def in_turns(names: list[str]) -> list[str]:
    """One architecture of each family, then the second of each, so that a part of the table covers every family."""
    seen: dict[str, int] = {}
    turns = []
    for name in names:
        family = timm.models.model_entrypoint(name).__module__
        seen[family] = seen.get(family, 0) + 1
        turns.append((seen[family], name))
    return [name for _, name in sorted(turns)]


def main(table: Path, names: list[str]) -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    done = {json.loads(line)["name"] for line in table.read_text().splitlines()} if table.exists() else set()
    with table.open("a") as file:
        for name in names or in_turns(timm.list_models()):
            if name in done:
                continue
            started = time.time()
            try:
                row = facts_of(name)
            except UncutError as error:
                row = {"name": name, "reason": str(error)}
            except Exception as error:
                row = {"name": name, "reason": f"{type(error).__name__}: {' '.join(str(error).split())[:150]}"}
            file.write(json.dumps({**row, "timm": timm.__version__, "seconds": round(time.time() - started, 1)}) + "\n")
            file.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
