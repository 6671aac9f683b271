"""The result of a check: the kinds of findings, and the suspects of each, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from zoo_core.data.fix_list import DROP, FixRow
from zoo_core.data.sources import PartName, Source

Severity = Literal["error", "warning", "note"]
"""An error makes a training stop or its score wrong; a warning names images to look at; a note is a
fact about the data as a whole."""


@dataclass(frozen=True)
class Kind:
    """One thing that a check looks for."""

    name: str
    severity: Severity
    meaning: str
    """A sentence on a suspect of this kind, and why it matters."""


UNREADABLE = Kind("unreadable", "error", "The file cannot be read, and a training stops at it.")
LEAK = Kind("leak", "error", "The same photo stands in two parts, so the score on one of them is too good.")
GROUP_LEAK = Kind(
    "group leak", "error", "Images of one group stand in two parts, so the score on one of them is too good."
)
TWO_CLASSES = Kind("two classes", "error", "The same photo stands under two classes, and one of them is wrong.")
DUPLICATE = Kind("duplicate", "warning", "The same file stands in a part more than once and counts as often.")
NEAR_DUPLICATE = Kind(
    "near-duplicate", "warning", "Another version of the same photo stands in the part: cropped, mirrored, brightened."
)
TWO_GROUPS = Kind(
    "two groups", "warning", "The same photo stands in two groups, which a split by group may put into two parts."
)
LABEL = Kind("label", "warning", "The image looks like another class than its own.")
BLURRED = Kind("blurred", "warning", "The image has no sharp edge, and the others have.")
BLANK = Kind("blank", "warning", "The image has one colour and shows nothing.")
DARK = Kind("dark", "warning", "All of the image is nearly black.")
BRIGHT = Kind("bright", "warning", "All of the image is nearly white.")
TINY = Kind("tiny", "warning", "The image is far smaller than the others.")
LONG = Kind("long", "warning", "The image is far longer than wide, or far taller.")
CUT_OFF = Kind("cut off", "warning", "The centre crop cuts off more than half of the longer side.")
CROP = Kind("crop", "note", "The centre crop decides how much of each image a network sees.")
IMBALANCE = Kind("imbalance", "note", "The accuracy says little of classes with few images.")
FEW = Kind("few images", "note", "So few images measure a class that its figure is mostly chance.")
IGNORED = Kind("ignored", "note", "Things beside the images, which zoo does not read.")
KINDS = (
    *(UNREADABLE, LEAK, GROUP_LEAK, TWO_CLASSES, TWO_GROUPS, LABEL, DUPLICATE, NEAR_DUPLICATE),
    *(BLURRED, BLANK, DARK, BRIGHT, TINY, LONG, CUT_OFF),
    *(CROP, IMBALANCE, FEW, IGNORED),
)
"""All kinds, in the order in which they are shown."""


@dataclass(frozen=True)
class Suspect:
    """An image with a finding, or a sentence about the data, which has no image."""

    detail: str
    """The reason, in a few words."""
    image: str = ""
    part: PartName | None = None
    label: str = ""
    """The class, the labels or the numbers of the image, in words."""
    index: int | None = None
    """The index of the image among all images, part after part; None where it cannot be read."""
    other: int | None = None
    """The index of the image that it is like."""
    score: float | None = None
    """The measure that decided, by which suspects of a kind are ordered."""
    suggestion: str = ""
    """A decision of a fix list (`zoo_core.data.fix_list`), where there is an obvious one."""


@dataclass(frozen=True)
class Finding:
    """All suspects of one kind, the worst first."""

    kind: Kind
    suspects: tuple[Suspect, ...]


@dataclass(frozen=True)
class Report:
    """Everything that was found about a data set; kinds without suspects have no finding."""

    source: Source
    """The images that can be read."""
    names: tuple[str, ...]
    """The name of each image, part after part."""
    labels: tuple[str, ...]
    """The class, the labels or the numbers of each image, in words."""
    findings: tuple[Finding, ...]
    backbone: str | None
    """The network whose features were compared; None without one."""
    left_out: tuple[str, ...]
    """Sentences on the checks that could not be made, with the reason."""
    num_computed: int = 0
    """The images that the network computed; the cache had all others."""
    is_run: bool = False
    """Whether the network is the base of a run, which may have been trained on these labels."""

    def count(self, severity: Severity) -> int:
        """The number of suspects of a severity."""
        return sum(len(one.suspects) for one in self.findings if one.kind.severity == severity)

    def fix_rows(self) -> list[FixRow]:
        """A row for each image to decide on, and one for the image that it is like. The first row
        of an image has its suggestion; of several it is to drop the image."""
        suspects = [(finding.kind.name, one) for finding in self.findings for one in finding.suspects if one.image]
        suggestions: dict[str, str] = {}
        for _, one in suspects:
            if one.suggestion == DROP or one.image not in suggestions:
                suggestions[one.image] = one.suggestion
        rows = []
        for kind, one in suspects:
            other = "" if one.other is None else self.names[one.other]
            rows.append(FixRow(one.image, one.label, kind, other, suggestions.pop(one.image, "")))
            if one.other is not None:
                rows.append(FixRow(other, self.labels[one.other], kind, one.image))
        return rows
