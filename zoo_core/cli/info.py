"""`zoo info NAME`: the facts of one backbone, head or strategy."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click

from zoo_core.catalog import KINDS, Catalog, Choice
from zoo_core.cli.common import catalog_of, console, shown, table
from zoo_core.cli.json_answers import json_option, print_json
from zoo_core.errors import UsageError, did_you_mean, printable
from zoo_core.layout import Layout
from zoo_core.options import UPTO, describe_options
from zoo_core.paths import check_new_file, write_text
from zoo_core.specs import BackboneSpec, FreezeSpec, HeadSpec
from zoo_core.wording import human_count


@click.command()
@click.argument("name")
@click.option(
    "--picture",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Draw the stages of a backbone, to scale, to this SVG file.",
)
@json_option
@click.pass_context
def info(ctx: click.Context, name: str, picture: Path | None, as_json: bool) -> None:
    """Show one backbone, head or strategy: paper, stages, options, weights with their licences.

    \b
    zoo info resnet50
    zoo info last
    zoo info resnet50 --picture resnet50.svg
    """
    catalog = catalog_of(ctx)
    choice = _find(catalog, name)
    if picture is not None:
        _draw(picture, choice, name, catalog)
    facts = _backbone_facts(choice) if isinstance(choice.spec, BackboneSpec) else _other_facts(choice)
    if as_json:
        print_json(facts)
    else:
        _show(facts)


def _draw(picture: Path, choice: Choice[Any], name: str, catalog: Catalog) -> None:
    """Draw a backbone's stages. Raises UsageError for anything else, and for a file that exists."""
    if not isinstance(choice.spec, BackboneSpec):
        raise UsageError(f"'{printable(name)}' has no stages to draw: --picture is for backbones.")
    if picture.suffix.lower() != ".svg":
        raise UsageError(f"the picture is an SVG file, and '{printable(picture.name)}' does not end in .svg.")
    check_new_file(picture, "--picture")
    from zoo_core.profiling.picture import stages_svg
    from zoo_core.profiling.profile import profile

    write_text(picture, stages_svg(profile(name, catalog=catalog)))
    click.echo(printable(f"The picture is {picture}."), err=True)


SPEC_KINDS: tuple[type[Any], ...] = (BackboneSpec, HeadSpec, FreezeSpec)


def _find(catalog: Catalog, name: str) -> Choice[Any]:
    bare = name.rpartition(":")[2]
    for kind in SPEC_KINDS:
        found = [entry for entry in catalog.entries(kind) if bare in entry.names]
        if found:
            if ":" not in name and len(found) == 1:
                return Choice(found[0], None)  # required options need not be given here
            chosen = [entry for entry in found if name == f"{entry.distribution}:{bare}"]
            if chosen:
                return Choice(chosen[0], None)
            return catalog.choose(kind, name)
    try:
        return catalog.backbone(name)  # its error names the plugin, if one is known
    except UsageError as error:
        names = [entry.spec.name for kind in SPEC_KINDS for entry in catalog.entries(kind)]
        if not str(error).startswith("No backbone") or "provided by" in str(error):
            raise
        word = " or ".join(word for word, _ in list(KINDS.values())[:3])
        raise UsageError(f"No {word} is called '{name}'.{did_you_mean(name, names)} `zoo list` shows all.") from None


def _backbone_facts(choice: Choice[BackboneSpec]) -> dict[str, Any]:
    from zoo_core.model.assemble import build_network, count_parameters, split_base
    from zoo_core.model.shapes import stage_shapes
    from zoo_core.options import parse_options
    from zoo_core.weights.load import build_shapes

    spec = choice.spec
    size, channels = spec.preprocessing.size, spec.preprocessing.channels
    plain = replace(choice, options=parse_options(spec.name, spec.options, ""))
    network = build_shapes(lambda: build_network(plain))
    if choice.whole:
        network, _ = split_base(network, choice)
    shapes = stage_shapes(network, channels, size)
    return {
        "kind": "backbone",
        "name": spec.name,
        "plugin": choice.entry.distribution,
        "plugin_version": choice.entry.version,
        "paper": str(spec.paper) if spec.paper else None,
        "novelty": spec.novelty,
        "note": spec.note,
        "options": f"{describe_options(spec.name, spec.options)} {UPTO}=<stage> ends every backbone at an earlier stage.",
        "params": count_parameters(network) if choice.whole else spec.params,
        "gmacs": spec.gmacs,
        "smallest_image": spec.min_size,
        "image_sizes": spec.sizes,
        "features": asdict(spec.features),
        "input": [channels, size, size],
        "stages": [
            {"name": name, "output": list(shapes[name]), "params": count_parameters(stage)}
            for name, stage in network.named_children()
        ],
        "weights": [
            {
                "tag": ref.tag,
                "data": ref.data,
                "licence": ref.licence,
                "top1": ref.top1,
                "top5": ref.top5,
                "size": ref.preprocessing.size,
                "fit": ref.preprocessing.fit,
                "crop": ref.preprocessing.crop,
                "interpolation": ref.preprocessing.interpolation,
                "mean": ref.preprocessing.mean,
                "std": ref.preprocessing.std,
                "classifier": ref.has_classifier,
                "sources": [str(source) for source in ref.sources],
                "note": ref.note,
            }
            for ref in spec.weights
        ],
    }


def _other_facts(choice: Choice[Any]) -> dict[str, Any]:
    spec = choice.spec
    return {
        "kind": KINDS[type(spec)][0],
        "name": spec.name,
        "plugin": choice.entry.distribution,
        "plugin_version": choice.entry.version,
        "summary": spec.summary,
        "paper": str(spec.paper) if spec.paper else None,
        "options": describe_options(spec.name, spec.options),
    }


def _show(facts: dict[str, Any]) -> None:
    out = console()
    out.print(
        f"[bold]{shown(facts['name'])}[/bold], a {facts['kind']} of {shown(facts['plugin'])} {shown(facts['plugin_version'])}"
    )
    for key in ("summary", "paper", "novelty", "note", "options"):
        if facts.get(key):
            out.print(shown(facts[key]))
    if facts["kind"] != "backbone":
        return
    size = " x ".join(str(number) for number in facts["input"])
    out.print(
        f"{human_count(facts['params'])} parameters, {facts['gmacs'] or '-'} GMACs; images {size} by default, "
        f"{facts['image_sizes']}; the features are {Layout(**facts['features'])}"
    )
    stages = table("stage", "output", "params", right=("output", "params"))
    for stage in facts["stages"]:
        stages.add_row(
            stage["name"], " x ".join(str(number) for number in stage["output"]), human_count(stage["params"])
        )
    out.print(stages)
    if not facts["weights"]:
        out.print("No pretrained weights are known: training starts from scratch.")
        return
    weights = table(
        "weights", "top-1 %", "size", "trained on", "licence", "sources, in order", right=("top-1 %", "size")
    )
    for ref in facts["weights"]:
        top1 = "-" if ref["top1"] is None else f"{ref['top1']:.2f}"
        sources = "\n".join(ref["sources"]) + (f"\n{ref['note']}" if ref["note"] else "")
        weights.add_row(*(shown(v) for v in (ref["tag"], top1, ref["size"], ref["data"], ref["licence"], sources)))
    out.print(weights)
