"""Rules for data sets: each loads the images that its spec counts, the same ones each time."""

from __future__ import annotations

import functools

from zoo_core.data.sources import Source
from zoo_core.specs import DatasetSpec, resolve
from zoo_core.testing.check import rule
from zoo_core.testing.fact_rules import has_a_name_of_its_own

READ = 8  # images of each part: a large set would take minutes


@rule("Return zoo_core.Source, and give the spec the numbers of its images and classes.")
def loads_the_images_of_its_spec(spec: DatasetSpec) -> None:
    """`zoo list datasets` shows these numbers."""
    source = _loaded(spec)
    images = sum(len(part) for part in source.parts.values())
    found = (images, len(source.classes))
    assert found == (spec.images, spec.classes), f"it has {found} images and classes, and its spec says otherwise"
    for name, part in source.parts.items():
        assert len(part.images) == len(part), f"the part '{name}' has {len(part.images)} images and {len(part)} targets"


@rule("Let every target be the position of a class, and use each class.")
def has_targets_among_its_classes(spec: DatasetSpec) -> None:
    """A target names one of the classes, and each class has an image."""
    source = _loaded(spec)
    found = {int(target) for part in source.parts.values() for target in part.targets}
    assert found == set(range(len(source.classes))), (
        f"the targets {sorted(found)[:9]} are not the positions of the classes"
    )


@rule("Read the same image under the same number each time, and seed random images.")
def reads_the_same_images_each_time(spec: DatasetSpec) -> None:
    """A resumed run and a cache find the images that they knew."""
    first, second = _loaded(spec), _load(spec)
    for name, part in first.parts.items():
        for index in range(min(READ, len(part))):
            image = part.images.read(index)
            assert image.mode in ("RGB", "L"), f"image {index} of '{name}' has the mode {image.mode}"
            same = part.images.digest(index) == second.parts[name].images.digest(index)
            assert same, f"image {index} of '{name}' is another one when the data set is loaded again"


DATASET_RULES = (
    has_a_name_of_its_own,
    loads_the_images_of_its_spec,
    has_targets_among_its_classes,
    reads_the_same_images_each_time,
)


def _load(spec: DatasetSpec) -> Source:
    source = resolve(spec.load)()
    assert isinstance(source, Source), f"it gives a {type(source).__name__}, not a zoo_core.Source"
    return source


@functools.lru_cache(maxsize=1)  # the checks of one spec share it
def _loaded(spec: DatasetSpec) -> Source:
    return _load(spec)
