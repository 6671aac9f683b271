"""The command `zoo report RUN`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from zoo_core.cli.common import announce, catalog_of, progress_of, warn
from zoo_core.cli.left_out import bad_images_option
from zoo_core.errors import UsageError, printable
from zoo_core.paths import check_new_file, check_writable, write_text
from zoo_core.wording import duration, megabytes

if TYPE_CHECKING:
    from zoo_core.catalog import Catalog
    from zoo_core.reporting.gather import Measured
    from zoo_core.reporting.labels import Doubt
    from zoo_core.settings import BadImages

DEFAULT = "report.html"


@click.command()
@click.argument("run", type=click.Path())
@click.option("--data", help="Other labelled images to report on, as for finetune (the run's own held-out part).")
@bad_images_option
@click.option(
    "-o",
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help=f"HTML file to write ({DEFAULT} in the run directory, which is replaced).",
)
@click.option("--no-labels", is_flag=True, help="Leave out the doubtful labels, which need the features of all images.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N, xpu or mps.")
@click.pass_context
def report(
    ctx: click.Context,
    run: str,
    data: str | None,
    bad_images: BadImages | None,
    out: Path | None,
    no_labels: bool,
    device: str,
) -> None:
    """Write one page about a run: for those who have to trust it, and for those who want it better.

    The result with its interval and baseline, curves, confusions, the worst errors and the least
    sure right answers with heat maps, doubtful labels, the figures of each class, whether
    probabilities are honest, a map of the features, the frozen stages, and every setting. The page
    is one file: it holds small versions of some of your images, asks no network, and runs no
    script.

    \b
    zoo report runs/resnet18-head-only-photos-1
    zoo report runs/resnet18-head-only-photos-1 --data other-photos/ -o other.html
    """
    page, catalog = _target(run, out), catalog_of(ctx)
    write_page(run, page, catalog, data=data, bad_images=bad_images, with_labels=not no_labels, device=device)


def write_page(
    run: str | Path,
    page: Path,
    catalog: Catalog,
    *,
    data: str | None = None,
    bad_images: BadImages | None = None,
    with_labels: bool = True,
    device: str = "auto",
    err: bool = False,
) -> None:
    """Write the page about a run, and say where it is, on standard error with `err`."""
    started = time.perf_counter()
    measured = measured_run(run, catalog, data=data, device=device, bad_images=bad_images)
    from zoo_core.reporting.labels import doubtful_labels
    from zoo_core.reporting.page import render

    doubts: list[Doubt] | str | None = None
    if not measured.task.single_label:
        doubts = "only images with one class each have such labels."
    if with_labels and measured.task.single_label:
        with progress_of("computing features") as computing, progress_of("fitting labels") as fitting:
            doubts = doubtful_labels(measured, catalog, computing, fitting)
    with progress_of("drawing") as drawing:
        text = render(measured, doubts, catalog, drawing)
    write_text(page, text)
    size, took = megabytes(len(text.encode())), duration(time.perf_counter() - started)
    told = f"{printable(str(page))}: {measured.evaluation.images:,} images, {size}, {took}. Open it in a browser."
    click.echo(told, err=err)


def measured_run(
    run: str | Path,
    catalog: Catalog,
    *,
    data: str | None = None,
    device: str = "auto",
    bad_images: BadImages | None = None,
) -> Measured:
    """A run, measured once more for its page."""
    announce("loading the model")
    from zoo_core.reporting.gather import measure

    with progress_of("looking at the images") as scanning, progress_of("measuring") as watch:
        measured = measure(
            run, catalog, data=data, device=device, bad_images=bad_images, scanning=scanning, watch=watch
        )
    warn([measured.note] if measured.note else [])
    return measured


def _target(run: str, out: Path | None) -> Path:
    """The file to write. Raises UsageError for one that is no page or exists, and ZooError where it
    cannot be made."""
    if out is None:
        if not Path(run).is_dir():
            raise UsageError(
                f"there is no run directory '{printable(run)}' here to write the page into. `zoo runs` lists those below "
                f"./runs; of a published model, give the page's place with -o {DEFAULT}."
            )
        page = Path(run) / DEFAULT
        check_writable(page, "-o")
        return page
    if out.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"the page is an HTML file, and '{printable(out.name)}' does not end in .html.")
    check_new_file(out, "--out")
    return out
