"""The report of a check as one page of HTML: thumbnails inside, no script, and nothing from a
network."""

from __future__ import annotations

import base64
import io
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from zoo_core.checking.images import ImageList
from zoo_core.checking.report import Finding, Report, Suspect
from zoo_core.data.scan import Watch
from zoo_core.errors import DataError, printable
from zoo_core.html_tables import on_page

MOST_SHOWN = 60  # suspects of a kind: with two thumbnails of 5 kB each a kind takes 0.6 MB
THUMBNAIL = 160  # pixels of the longer side
READ_AT = 320  # pixels that a reduced decoding keeps: twice the thumbnail's


def render_page(report: Report, summary: str, watch: Watch | None = None) -> str:
    """The page of a report. Names are escaped, and each thumbnail has a text beside it.

    `watch` is told (kinds done, of how many).
    """
    images = ImageList(report.source)
    sections = []
    for number, finding in enumerate(report.findings, 1):
        sections.append(_section(finding, images))
        if watch:
            watch(number, len(report.findings))
    page = Environment(
        loader=PackageLoader("zoo_core", "resources"),
        undefined=StrictUndefined,
        autoescape=True,
        finalize=on_page,
        trim_blocks=True,
    ).get_template("check.html.j2")
    text: str = page.render(
        title=printable(report.source.title), summary=summary, left_out=report.left_out, sections=sections
    )
    return text.encode("utf-8", "backslashreplace").decode() + "\n"


def _section(finding: Finding, images: ImageList) -> dict[str, Any]:
    kind, suspects = finding.kind, finding.suspects
    return {
        "name": kind.name,
        "anchor": kind.name.replace(" ", "-"),
        "severity": kind.severity,
        "meaning": kind.meaning,
        "count": len(suspects),
        "more": len(suspects) > MOST_SHOWN,
        "suspects": [_suspect(one, images) for one in suspects[:MOST_SHOWN]],
    }


def _suspect(suspect: Suspect, images: ImageList) -> dict[str, Any]:
    indices = [index for index in (suspect.index, suspect.other) if index is not None]
    where = ", ".join(filter(None, (suspect.part, printable(suspect.label))))
    return {
        "name": printable(suspect.image),
        "where": where,
        "detail": suspect.detail,
        "images": [made for index in indices if (made := _thumbnail(index, images))],
    }


def _thumbnail(index: int, images: ImageList) -> dict[str, str] | None:
    """A small JPEG as text, and the words for those who do not see it; None for a file that is
    gone."""
    try:
        image = images.read(index, READ_AT).convert("RGB")
    except DataError:
        return None
    image.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.BICUBIC)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=80)
    label = f", {images.labels[index]}" if images.labels[index] else ""
    return {
        "data": base64.b64encode(stream.getvalue()).decode(),
        "alt": printable(f"{images.names[index]}{label}"),
    }
