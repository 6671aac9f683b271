"""The page about a run as others may see it: without places on this machine and, unless it is asked
for, without images."""

from __future__ import annotations

from dataclasses import replace

from zoo_core.catalog import Catalog
from zoo_core.hub.bundle import without_local_paths
from zoo_core.reporting.gather import Measured
from zoo_core.reporting.page import Watch, render

LEFT_OUT = "a published page has none."


def render_public(
    measured: Measured, repo: str, catalog: Catalog, watch: Watch | None = None, *, with_images: bool = False
) -> str:
    """The page about a run that is published as the repository `repo`.

    Its commands name the repository, its facts are those of the published model. `with_images` it
    shows small versions of some held-out images, with their names.
    """
    public = replace(measured, repository=repo, facts=without_local_paths(measured.facts))
    return render(public, LEFT_OUT, catalog, watch, with_images=with_images)
