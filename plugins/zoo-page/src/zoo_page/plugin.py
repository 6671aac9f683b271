"""The facts about the format page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from zoo_core import ExporterSpec, hookimpl

HOOK_API = 2


@dataclass(frozen=True)
class PageOptions:
    """The numbers of the network in the page."""

    precision: Literal["fp32", "int8"] = "fp32"


@hookimpl
def zoo_exporters() -> list[ExporterSpec]:
    return [
        ExporterSpec(
            name="page",
            export="zoo_page.export:export",
            run="zoo_page.export:run",
            suffix=".html",
            options=PageOptions,
            calibrates=True,
            explains=True,
            summary="one web page that answers photos in the browser, without a server and without a network",
        )
    ]
