"""`zoo publish RUN owner/name`: put a run on the Hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from zoo_core.cli.common import announce, catalog_of, console, progress_of, table
from zoo_core.cli.json_answers import json_option, print_json
from zoo_core.cli.options import Command
from zoo_core.cli.report import measured_run
from zoo_core.errors import UsageError
from zoo_core.installing import install_command
from zoo_core.wording import quoted

if TYPE_CHECKING:
    from zoo_core.catalog import Catalog
    from zoo_core.hub.publish import PublishResult

FORMAT = "page"
"""The format of a Space, which zoo-page brings."""


@click.command(cls=Command)
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("repo", metavar="OWNER/NAME")
@click.option("--private", is_flag=True, help="Make a new repository private.")
@click.option("--update", is_flag=True, help="Replace what an existing repository holds.")
@click.option("--pr", "pull_request", is_flag=True, help="Propose the change as a pull request.")
@click.option("--dry-run", is_flag=True, help="Show the files and the card; send nothing.")
@click.option("--timm", is_flag=True, help="Also write the files that timm opens.")
@click.option("--also", type=click.Choice(["timm"]), hidden=True)  # the spelling of --timm in zoo 0.1
@click.option("--report", "with_report", is_flag=True, help="Also a page about the run, without images.")
@click.option(
    "--with-images", is_flag=True, help="With --report: show some held-out images, and their names, on the page."
)
@click.option("--space", is_flag=True, help="Publish a page to try it instead (zoo-page), as a static Space.")
@click.option("--licence", "--license", help="Licence of the model; default: that of the initial weights.")
@click.option("--dataset", metavar="OWNER/NAME", help="The data set's id on the Hub, where it has one.")
@json_option
@click.pass_context
def publish(
    ctx: click.Context,
    run: Path,
    repo: str,
    private: bool,
    update: bool,
    pull_request: bool,
    dry_run: bool,
    timm: bool,
    also: str | None,
    with_report: bool,
    with_images: bool,
    space: bool,
    licence: str | None,
    dataset: str | None,
    as_json: bool,
) -> None:
    """Publish a run on the Hugging Face Hub: weights, config and card, in one commit.

    With --space it publishes a page that answers photos in the visitor's own browser, as a static
    Space: a repository of its own, whose name may be that of the model.

    The token comes from `hf auth login` or the environment variable HF_TOKEN.

    \b
    zoo publish runs/resnet50-head-only-photos-1 alice/my-pets --dry-run
    zoo publish runs/resnet50-head-only-photos-1 alice/my-pets --private
    zoo publish runs/resnet50-last-photos-2 alice/my-pets --update --timm --report
    zoo publish runs/resnet50-head-only-photos-1 alice/my-pets --space
    """
    catalog = catalog_of(ctx)
    also_timm = timm or also == "timm"
    if with_images and not with_report:
        raise UsageError("--with-images shows images on the page about the run: give --report, too.")
    sending = {"private": private, "update": update, "pull_request": pull_request, "dry_run": dry_run}
    if space:
        if also_timm or with_report or dataset:
            raise UsageError("--space publishes a page alone: leave out --timm, --report and --dataset.")
        done = _publish_space(run, repo, catalog, licence=licence, **sending)
    else:
        page = _page(run, repo, catalog, with_images=with_images) if with_report else None
        announce("preparing" if dry_run else "publishing")
        from zoo_core.hub import bundle
        from zoo_core.hub import publish as hub

        options = bundle.PublishOptions(licence=licence, dataset=dataset, also_timm=also_timm, page=page)
        done = hub.publish(run, repo, catalog=catalog, options=options, **sending)
    if as_json:
        print_json(
            {
                "repo": done.repo,
                "url": done.url,
                "commit": done.commit,
                "files": done.files,
                "proposal": done.proposal,
            }
        )
        return
    out = console()
    if dry_run:
        out.print(done.card, markup=False)
    made = table("file", "bytes", right=("bytes",))
    for name, size in done.files.items():
        made.add_row(name, f"{size:,}")
    out.print(made)
    if dry_run:
        out.print(f"Nothing was sent. Without --dry-run this becomes {done.url}")
    else:
        out.print(_outcome(done, private=private, space=space))


def _outcome(done: PublishResult, *, private: bool, space: bool) -> str:
    """The sentences at the end: where the files are now, and who can use them how."""
    address = done.repo if done.proposal is None else f"{done.repo}@{done.proposal}"
    if done.already_there:
        return f"{done.page} holds exactly this already; nothing was sent."
    if done.proposal is not None:
        use = "" if space else f" Until then: zoo predict {address} IMAGE..."
        return f"Proposed at {done.page}: nothing has changed before it is merged there.{use}"
    published = f"Published as {done.page} in the commit {str(done.commit)[:12]}."
    if space:
        who = "Whoever may see it can try it there." if private else "Anyone with a browser can try it there."
        return f"{published}\n{who}"
    who = "Whoever may see it and has the plugin" if private else "Anyone with the plugin"
    return f"{published}\n{who} can now: zoo predict {address} IMAGE..."


def _publish_space(
    run: Path, repo: str, catalog: Catalog, *, licence: str | None, dry_run: bool, **sending: bool
) -> PublishResult:
    """Write the page of a run, which checks it on the held-out images, and publish it."""
    from zoo_core.result_specs import ExporterSpec

    if FORMAT not in {entry.spec.name for entry in catalog.entries(ExporterSpec)}:
        raise UsageError(
            f"a Space shows the page of the plugin zoo-page, which is not installed: "
            f"`{install_command('zoo-onnx', 'zoo-page')}`."
        )
    announce("writing the page")
    from zoo_core.exporting.export import export_run
    from zoo_core.hub.publish import publish_folder
    from zoo_core.hub.space import PAGE, check_space, publish_space

    changes = {name: sending[name] for name in ("update", "pull_request")}
    check_space(repo, dry_run=dry_run, **changes)
    with publish_folder() as folder, progress_of("looking at the images") as scanning:
        with progress_of("checking the page") as watch:
            made = export_run(run, FORMAT, out=folder / PAGE, catalog=catalog, scanning=scanning, watch=watch)
        announce("preparing" if dry_run else "publishing")
        return publish_space(run, repo, made.path, licence=licence, dry_run=dry_run, **sending)


def _page(run: Path, repo: str, catalog: Catalog, *, with_images: bool) -> str:
    """The page about the run, as others may see it. Raises UsageError for one that held no images
    out."""
    from zoo_core.runs.directory import read_result, read_run

    if read_result(read_run(run))["part"] is None:
        raise UsageError(
            "--report shows the errors on held-out images, and this run was trained on all of them: leave --report out. "
            f"`zoo report {quoted(run)} --data FOLDER` writes a page about it on other images."
        )
    measured = measured_run(run, catalog)
    from zoo_core.reporting.public import render_public

    with progress_of("drawing") as drawing:
        return render_public(measured, repo, catalog, drawing, with_images=with_images)
