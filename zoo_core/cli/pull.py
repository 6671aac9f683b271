"""`zoo pull NAME...`: fetches weights and published models for work without a network."""

from __future__ import annotations

import click

from zoo_core.catalog import Catalog
from zoo_core.cli.common import BACKBONE, catalog_of, console, table
from zoo_core.cli.json_answers import json_option, print_json
from zoo_core.cli.options import Command, Option
from zoo_core.discovery import normalised
from zoo_core.errors import UsageError, WeightsError, ZooError, did_you_mean, printable
from zoo_core.specs import BackboneSpec
from zoo_core.weights_specs import WeightsRef


@click.command(cls=Command)
@click.argument("names", nargs=-1, type=BACKBONE, metavar="NAME[@TAG]...")
@click.option(
    "--plugin",
    "distribution",
    cls=Option,
    old=["all-of"],
    metavar="PLUGIN",
    help="All weights of all backbones of a plugin.",
)
@json_option
@click.pass_context
def pull(ctx: click.Context, names: tuple[str, ...], distribution: str | None, as_json: bool) -> None:
    """Fetch weights into the cache, so that later work needs no network.

    NAME is a backbone, with @TAG for weights other than its default, or a published model
    `owner/name[@revision]`.

    \b
    zoo pull resnet50 vgg16
    zoo pull resnet50@imagenet-v2
    zoo pull --plugin zoo-resnet
    """
    catalog = catalog_of(ctx)
    wanted = _wanted(catalog, names, distribution)
    published = [name for name in names if "/" in name]
    from zoo_core.hubclient.pull import parse_address

    for name in published:
        parse_address(name)
    if not wanted and not published:
        raise UsageError("nothing to pull: name a backbone (`zoo list weights` shows all) or give --plugin PLUGIN.")
    from zoo_core.weights.fetch import fetch

    rows = []
    failures: list[ZooError] = []
    for spec, ref in wanted:
        try:
            local = fetch(spec.name, ref)
        except WeightsError as error:
            failures.append(error)
            continue
        rows.append({"name": spec.name, "tag": ref.tag, "source": local.source, "path": str(local.path)})
    for name in published:
        from zoo_core.hub.load import pull_run

        try:
            rows.append({"name": name, "tag": "", "source": f"hf:{name}", "path": str(pull_run(name))})
        except ZooError as error:
            failures.append(error)
    if as_json:
        print_json({"pulled": rows})
    elif rows:
        made = table("name", "weights", "from", "on this machine")
        for row in rows:
            made.add_row(row["name"], row["tag"], row["source"], row["path"])
        console().print(made)
    if failures:
        raise WeightsError("\n".join(str(error) for error in failures))


def _wanted(
    catalog: Catalog, names: tuple[str, ...], distribution: str | None
) -> list[tuple[BackboneSpec, WeightsRef]]:
    wanted: list[tuple[BackboneSpec, WeightsRef]] = []
    for text in names:
        if "/" in text:
            continue
        name, _, tag = text.partition("@")
        spec = catalog.backbone(name).spec
        ref = spec.weights_named(tag) if tag else next(iter(spec.weights), None)
        if ref is None:
            tags = ", ".join(ref.tag for ref in spec.weights) or "none"
            raise UsageError(f"'{spec.name}' has no weights{f' {tag!r}' if tag else ''}. Its weights: {tags}.")
        wanted.append((spec, ref))
    if distribution is not None:
        wanted_name = normalised(distribution)
        entries = [one for one in catalog.entries(BackboneSpec) if normalised(one.distribution) == wanted_name]
        if not entries:
            near = did_you_mean(wanted_name, {one.distribution for one in catalog.entries(BackboneSpec)})
            raise UsageError(
                f"no backbones of a plugin '{printable(distribution)}'.{near} `zoo plugins` shows the plugins."
            )
        wanted += [(entry.spec, ref) for entry in entries for ref in entry.spec.weights]
    return wanted
