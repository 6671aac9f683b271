"""The page of `zoo view`: the profile as data, one template, one script, and three.js.

Every name is escaped, and the page's own policy lets nothing run but the two scripts that it came
with, by their hashes.
"""

from __future__ import annotations

import base64
import hashlib
import io
from importlib.resources import files
from math import ceil, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from zoo_core import Profile, stages_svg

IMAGES = 1000  # that sizes and times are told for
STAGE = ("name", "channels", "height", "width", "params", "macs", "field", "box", "cached", "seconds")
"""The facts of a stage that the script reads."""


def render(made: Profile) -> str:
    """The page as text."""
    three, script = _resource("three.min.js"), _resource("view.js")
    environment = Environment(
        loader=PackageLoader("zoo_view", "resources"),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"count": _count, "bytes": _bytes}
    maps = [None if stage.maps is None else _png(_beside(stage.maps)) for stage in made.stages]
    text: str = environment.get_template("view.html.j2").render(
        made=made,
        images=IMAGES,
        maps=maps,
        picture=None if made.image is None else _png(made.image),
        twin=base64.b64encode(stages_svg(made).encode()).decode(),
        data=_data(made, maps),
        policy=" ".join(f"'sha256-{_digest(one)}'" for one in (three, script)),
        three=Markup(three),
        script=Markup(script),
        phases=_phases(made),
        timed=all(stage.seconds for stage in made.stages),
    )
    return text.encode("utf-8", "backslashreplace").decode() + "\n"


def _data(made: Profile, maps: list[str | None]) -> dict[str, Any]:
    """The facts that the script reads; numbers, and names that it shows as text."""
    return {
        "input": made.input,
        "image": made.image is not None,
        "images": IMAGES,
        "headParams": made.head_params or 0,
        "stages": [{name: getattr(stage, name) for name in STAGE} for stage in made.stages],
        "grids": [None if stage.maps is None else _grid(len(stage.maps)) for stage in made.stages],
        "maps": [None if stage.maps is None else len(stage.maps) for stage in made.stages],
        "phases": [
            {"trained": [name in made.plan.trainable(phase) for name in made.plan.stages]} for phase in made.plan.phases
        ],
    }


def _phases(made: Profile) -> list[str]:
    """Each phase in words."""
    told, first = [], 1
    for number, (phase, count) in enumerate(zip(made.plan.phases, made.trained, strict=True), 1):
        last = first + phase.epochs - 1
        epochs = f"epoch {first}" if first == last else f"epochs {first} to {last}"
        trained = f"{_count(count or 0)} parameters of the backbone and the head are"
        trained = "the parameters that the strategy adds and the head are" if count is None else trained
        trained = "only the head is" if count == 0 else trained
        told.append(f"Phase {number} of {len(made.plan.phases)}, {epochs}: {trained} trained.")
        first = last + 1
    return told


def _grid(count: int) -> tuple[int, int]:
    """The columns and rows of so many maps."""
    columns = ceil(sqrt(count))
    return columns, ceil(count / columns)


def _beside(maps_MHW: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Feature maps (M, H, W) in rows, as one picture."""
    count, height, width = maps_MHW.shape
    columns, rows = _grid(count)
    laid = np.zeros((rows * columns, height, width), np.uint8)
    laid[:count] = maps_MHW
    return laid.reshape(rows, columns, height, width).swapaxes(1, 2).reshape(rows * height, columns * width)


def _png(pixels: npt.NDArray[np.uint8]) -> str:
    """A picture as a base64 PNG."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", optimize=True)
    return base64.b64encode(stream.getvalue()).decode()


def _resource(name: str) -> str:
    text = (files("zoo_view") / "resources" / name).read_text(encoding="utf-8")
    if "</script" in text.lower() or "<!--" in text:
        raise ValueError(f"{name} would end the script that it stands in")
    return text


def _digest(script: str) -> str:
    """The hash by which the page's policy knows a script, of the text between its tags."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _count(number: int) -> str:
    """25557032 -> "25.6 M", as zoo's tables say it."""
    for divisor, unit in ((10**9, " G"), (10**6, " M"), (10**3, " k")):
        if number >= divisor:
            return f"{number / divisor:.1f}{unit}"
    return str(number)


def _bytes(number: int) -> str:
    return f"{number / 1e9:.1f} GB" if number >= 1e9 else f"{number / 1e6:.1f} MB"
