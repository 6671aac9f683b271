"""Images that are the same photo: equal files, and other versions of a photo.

Two photos of one class may have nearly the same features, and two photos of one studio nearly the
same outline. So a pair of near-duplicates has to be near in the features of a network, its
thumbnails have to match in detail: closely, or less so where both images are nearer to each other
than to any third one; and unless they match almost exactly, they have to have the same colours.

Shapes: N images, F features, P pairs, S side of a thumbnail, T side of a template.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from zoo_core.checking.colours import DIFFER, colour_distance
from zoo_core.checking.pixels import PixelMeasures
from zoo_core.data.scan import Watch

NEIGHBOURS = 10
ROWS_AT_ONCE = 1024  # of the matrix of similarities: 400 MB for 100,000 images
PAIRED = 3
"""So many of the nearest neighbours of an image are compared with it pixel by pixel."""
COARSE_SIDE = 16  # 1 kB an image: 30,000 thumbnails of 64 x 64 as numbers would take 0.5 GB
PAIRS_AT_ONCE = 256
SCALES = (1.0, 0.9, 0.8, 0.7)
"""The sides of a crop, as shares of the photo's, that are looked for."""
OFFSETS = (-0.05, -0.025, 0.0, 0.025, 0.05)
"""The steps around the best of these scales: half a pixel of a template's border."""
TEMPLATE = 0.75
"""The share of a thumbnail's sides that has to match; the rest leaves room to move."""
COARSE_MATCH, MATCH = 0.5, 0.8
"""The correlation of details from which thumbnails of half the size are compared at their full
size, and from which these show the same photo. `benchmarks/check.py` counts the planted copies that
are found so, and the other pairs."""
EXACT_MATCH = 0.95
"""The correlation from which colours do not count: a photo has copies in black and white."""
LEAST_MATCH = 0.65
"""A lead, by which the cosine of a pair's features exceeds that of either with a third photo,
makes up for a correlation below MATCH, down to this one."""
LOOKED_AT = 0.2
"""The lead from which thumbnails are compared at their full size at once: the stripes of a cloth
are gone at half of it."""
LEAST_SIDE, CLEAR_LEAD = 40, 0.3
"""Pixels of the shorter side of images whose details are compared; smaller ones are where they lead
by so much. Of 1,500 clothes of 28 pixels 113 others would be named without such a lead, and no pair
has it; of 300 photos that were made as small as 40 pixels none would be."""
BLURRED_OVER = 7  # pixels: wider structures, such as outlines, are no details


@dataclass(frozen=True)
class Pair:
    """A pair of images of the same photo: their indices, and the correlation of their details,
    which is 1 for equal files."""

    first: int
    second: int
    match: float
    equal: bool


@dataclass(frozen=True)
class Neighbours:
    """The nearest neighbours of each image, the nearest first."""

    indices_NM: npt.NDArray[np.int64]
    cosines_NM: npt.NDArray[np.float32]


def coarse(thumbnails_NSS: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """The means (N, COARSE_SIDE ** 2) of squares of thumbnails, which stand in for the features of
    a network."""
    count, side, _ = thumbnails_NSS.shape
    squares = thumbnails_NSS.reshape(count, COARSE_SIDE, side // COARSE_SIDE, COARSE_SIDE, side // COARSE_SIDE)
    means: npt.NDArray[np.float32] = squares.mean((2, 4), dtype=np.float32)
    return means.reshape(count, -1)


def nearest(vectors_NF: npt.NDArray[np.float32], watch: Watch | None = None) -> Neighbours:
    """The NEIGHBOURS of each image that are nearest by cosine, of fewer images all others.

    The mean of all images is subtracted first: features of a network have a common part, which
    makes any two of them similar. `watch` is told (images done, of how many).
    """
    vectors = torch.from_numpy(vectors_NF - vectors_NF.mean(0))
    vectors = functional.normalize(vectors, dim=1)
    count = min(NEIGHBOURS, len(vectors) - 1)
    indices, cosines = [], []
    for start in range(0, len(vectors), ROWS_AT_ONCE):
        rows = vectors[start : start + ROWS_AT_ONCE] @ vectors.T
        own = torch.arange(len(rows))
        rows[own, own + start] = -2  # no image is its own neighbour
        top = rows.topk(count, dim=1)
        indices.append(top.indices)
        cosines.append(top.values)
        if watch:
            watch(start + len(rows), len(vectors))
    return Neighbours(torch.cat(indices).numpy(), torch.cat(cosines).numpy())


def equal_files(digests: Sequence[bytes]) -> list[Pair]:
    """Each image whose content stands earlier in the list already, with the last one before it: if
    the first of every pair is left out, one copy remains."""
    latest: dict[bytes, int] = {}
    pairs = []
    for index, digest in enumerate(digests):
        if digest in latest:
            pairs.append(Pair(latest[digest], index, 1.0, True))
        latest[digest] = index
    return pairs


def near_duplicates(
    neighbours: Neighbours,
    measures: PixelMeasures,
    digests: Sequence[bytes],
    watch: Watch | None = None,
) -> list[Pair]:
    """The pairs of neighbours whose thumbnails match in detail, the best match first.

    Small images are compared only with a clear lead: two photos of 28 pixels show two trousers
    alike. Equal files are no such pair, and count as one neighbour. An image has one pair with each
    other photo at most.
    """
    paired = {
        (min(one, other), max(one, other))
        for one, near in enumerate(neighbours.indices_NM.tolist())
        for other in _of_other_contents(one, near, digests)
    }
    leading = {pair: max(0.0, _lead(*pair, neighbours, digests)) for pair in sorted(paired)}
    detailed = measures.shorter >= LEAST_SIDE
    leading = {pair: lead for pair, lead in leading.items() if detailed[list(pair)].all() or lead >= CLEAR_LEAD}
    pairs, leads = list(leading), list(leading.values())
    thumbnails, leading_P = torch.from_numpy(measures.thumbnails), torch.tensor(leads) >= LOOKED_AT
    matches: list[float] = []
    for start in range(0, len(pairs), PAIRS_AT_ONCE):
        rows = slice(start, start + PAIRS_AT_ONCE)
        one, other = torch.tensor(pairs[rows]).T
        matches += match(thumbnails[one], thumbnails[other], leading_P[rows]).tolist()
        if watch:
            watch(len(matches), len(pairs))
    found = [
        Pair(one, other, own, False)
        for (one, other), own, lead in zip(pairs, matches, leads, strict=True)
        if own >= LEAST_MATCH and own + lead >= MATCH
    ]
    one, other = ([getattr(pair, place) for pair in found] for place in ("first", "second"))
    apart = colour_distance(measures.colours[one], measures.colours[other])
    same = [pair for pair, own in zip(found, apart, strict=True) if own <= DIFFER or pair.match >= EXACT_MATCH]
    return sorted(same, key=lambda pair: -pair.match)


def _of_other_contents(index: int, near: Sequence[int], digests: Sequence[bytes]) -> list[int]:
    """The neighbours of an image that have one of the PAIRED nearest contents other than its
    own."""
    contents = dict.fromkeys(digests[one] for one in near if digests[one] != digests[index])
    chosen = set(islice(contents, PAIRED))
    return [one for one in near if digests[one] in chosen]


def _lead(one: int, other: int, neighbours: Neighbours, digests: Sequence[bytes]) -> float:
    """The cosine of two neighbours less the highest of either with a third content; -1 stands for a
    third one that is no neighbour."""
    own, pair, third = -1.0, {digests[one], digests[other]}, [-1.0]
    for image, partner in ((one, other), (other, one)):
        for near, cosine in zip(neighbours.indices_NM[image].tolist(), neighbours.cosines_NM[image], strict=True):
            if near == partner:
                own = float(cosine)
            elif digests[near] not in pair:
                third.append(float(cosine))
    return own - max(third)


def match(first_PSS: Tensor, second_PSS: Tensor, closely_P: Tensor | None = None) -> Tensor:
    """The correlation (P) of two images' details at the best of several placements.

    Each may be a crop of the other, of a side down to the smallest of SCALES, and mirrored. Pairs
    that do not match at half the size are 0, but for those to be looked at `closely`.
    """
    found_P, best_P = _best(*(functional.avg_pool2d(one.float()[:, None], 2)[:, 0] for one in (first_PSS, second_PSS)))
    close_P = found_P >= COARSE_MATCH
    if closely_P is not None and (late_P := closely_P & ~close_P).any():
        best_P[late_P] = _best(first_PSS[late_P], second_PSS[late_P])[1]
        close_P = close_P | late_P
    for place in sorted(set(best_P[close_P].tolist())):
        chosen = close_P & (best_P == place)
        placements = _placements(*(details_of(one[chosen]) for one in (first_PSS, second_PSS)))
        (crop, whole), scale = placements[place % len(placements)], SCALES[place // len(placements)]
        scales = [scale + offset for offset in OFFSETS if scale + offset <= 1]
        found_P[chosen] = torch.stack([_placed(crop, whole, one) for one in scales]).amax(0)
    return torch.where(close_P, found_P, torch.zeros(()))


def _best(first_PSS: Tensor, second_PSS: Tensor) -> tuple[Tensor, Tensor]:
    """The highest correlation (P) of details at all SCALES and placements, and its index (P)."""
    placements = _placements(details_of(first_PSS), details_of(second_PSS))
    best = torch.stack([_placed(crop, whole, scale) for scale in SCALES for crop, whole in placements]).max(0)
    return best.values, best.indices


def _placements(first_PSS: Tensor, second_PSS: Tensor) -> list[tuple[Tensor, Tensor]]:
    """The pairs (crop, whole): either may be the crop, and one mirrored."""
    mirrored_PSS = first_PSS.flip(-1)
    return [
        (first_PSS, second_PSS),
        (mirrored_PSS, second_PSS),
        (second_PSS, first_PSS),
        (second_PSS, mirrored_PSS),
    ]


def details_of(luma_PSS: Tensor) -> Tensor:
    """The luma (P, S, S) less a blurred copy of it, in steps of 8 bits.

    Outlines and light, which the photos of one series share, are gone; folds, prints and faces
    stay.
    """
    luma_PSS, border = luma_PSS.float(), BLURRED_OVER // 2
    padded = functional.pad(luma_PSS[:, None], (border,) * 4, mode="reflect")
    return luma_PSS - functional.avg_pool2d(padded, BLURRED_OVER, stride=1)[:, 0]


def _placed(crop_PSS: Tensor, whole_PSS: Tensor, scale: float) -> Tensor:
    """The highest normalised correlation (P) of the middle of a crop, resized to its scale, with
    any place of a whole image."""
    pairs, side = len(crop_PSS), crop_PSS.shape[-1]
    margin = round(side * (1 - TEMPLATE) / 2)
    middle = crop_PSS[:, margin : side - margin, margin : side - margin]
    size = max(2, round(middle.shape[-1] * scale))
    template_PTT = functional.interpolate(middle[:, None], size=(size, size), mode="bilinear", antialias=True)[:, 0]
    template_PTT = template_PTT - template_PTT.mean((1, 2), keepdim=True)
    energy_P = template_PTT.square().sum((1, 2))
    whole_1PSS = whole_PSS[None]
    products = functional.conv2d(whole_1PSS, template_PTT[:, None], groups=pairs)[0]
    ones = torch.ones(1, 1, size, size)
    sums = functional.conv2d(whole_PSS[:, None], ones)[:, 0]
    squares = functional.conv2d(whole_PSS[:, None].square(), ones)[:, 0]
    variances = (squares - sums.square() / size**2).clamp(min=0)
    scales = (energy_P[:, None, None] * variances).sqrt()
    plain = scales < size**2  # less than one step of luma: nothing in there could match
    return torch.where(plain, torch.zeros(()), products / scales.clamp(min=1e-6)).amax((1, 2))


def groups_of(count: int, pairs: Iterable[Pair]) -> npt.NDArray[np.int64]:
    """A number (N) for each image, the same for all versions of one photo."""
    parent = list(range(count))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    for pair in pairs:
        parent[root(pair.second)] = root(pair.first)
    return np.array([root(index) for index in range(count)], dtype=np.int64)
