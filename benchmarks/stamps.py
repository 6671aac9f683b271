"""Makes folders of classes from the photographs in Debian's package tuxpaint-stamps-default.

    python benchmarks/stamps.py DEST              # fetches the package with apt-get
    python benchmarks/stamps.py DEST --deb FILE   # takes one that is there

The stamps are under the GPL, version 2: they may be used here, and no part of this project may carry them. They are cut
out, on a transparent ground, and are written as they are.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
from pathlib import Path

PACKAGE = "tuxpaint-stamps-default"
STAMPS = Path("usr/share/tuxpaint/stamps")

# Twelve classes of photographs: the package's own folders, as patterns under STAMPS. Drawn stamps, which have folders of
# their own (cartoon), stay out.
CLASSES: dict[str, list[str]] = {
    "birds": ["animals/birds/*.png"],
    "coins": ["symbols/money/*/coins/*.png", "symbols/money/japanese/*.png"],
    "fish": ["animals/fish/*.png", "animals/shellfish/*.png"],
    "flowers": ["plants/flowers/*.png"],
    "fruit": ["food/fruit/*.png"],
    "instruments": ["hobbies/music/*/*.png"],
    "mammals": ["animals/mammals/*.png", "animals/mammals/*/*.png", "animals/marsupials/*.png"],
    "planets": ["space/planets/*.png", "space/moon/*.png"],
    "road_signs": ["town/roadsigns/*.png"],
    "tools": ["household/tools/*.png"],
    "vegetables": ["food/vegetables/*.png"],
    "vehicles": ["vehicles/*/*.png", "vehicles/flight/planes/*.png", "military/vehicles/*.png"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=f"Make folders of classes from Debian's {PACKAGE}.")
    parser.add_argument("dest", type=Path, help="a new or empty folder for the classes")
    parser.add_argument("--deb", type=Path, help="the package, where it need not be fetched")
    arguments = parser.parse_args()
    if arguments.dest.exists() and (not arguments.dest.is_dir() or any(arguments.dest.iterdir())):
        raise SystemExit(f"{arguments.dest} is not an empty folder. Name another one, or empty it.")
    with tempfile.TemporaryDirectory() as folder:
        deb = arguments.deb or fetch(Path(folder))
        unpacked = Path(folder) / "unpacked"
        run("dpkg-deb", "-x", str(deb.resolve()), str(unpacked), cwd=Path(folder))
        counts = {name: write(name, patterns, unpacked / STAMPS, arguments.dest) for name, patterns in CLASSES.items()}
    for name, count in counts.items():
        print(f"{count:4d}  {name}")
    print(f"{sum(counts.values()):4d}  images in {len(counts)} classes")


def fetch(folder: Path) -> Path:
    """Fetch the package into a folder and return its file."""
    run("apt-get", "download", PACKAGE, cwd=folder)
    found = sorted(folder.glob("*.deb"))
    if not found:
        raise SystemExit(f"apt-get left no file of {PACKAGE}. Fetch it by hand and give it with --deb.")
    return found[0]


def run(*command: str, cwd: Path) -> None:
    try:
        subprocess.run(command, cwd=cwd, check=True)
    except FileNotFoundError:
        raise SystemExit(f"{command[0]} is not there. This script needs Debian, or a system made from it.") from None
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"`{' '.join(command)}` failed with exit code {error.returncode}.") from None


def write(name: str, patterns: list[str], stamps: Path, dest: Path) -> int:
    """Copy the stamps of one class to DEST/CLASS and return their number."""
    (dest / name).mkdir(parents=True)
    chosen: set[Path] = set()
    for pattern in patterns:
        # A `_mirror` is the same photograph again, turned round: it must not stand on both sides of a split.
        found = [
            path for path in stamps.glob(pattern) if not path.stem.endswith("_mirror") and "cartoon" not in path.parts
        ]
        if not found:
            raise SystemExit(f"the package has no stamp {pattern}: this version of it is laid out in another way.")
        chosen.update(found)
    for path in sorted(chosen):
        # Two currencies have a `001penny`, so the folders stay in the name.
        shutil.copyfile(path, dest / name / "-".join(path.relative_to(stamps).parts))
    return len(chosen)


if __name__ == "__main__":
    main()
