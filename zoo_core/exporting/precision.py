"""The precision of an exported file: an option of the format, for which zoo has flags."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, get_args, get_type_hints

from zoo_core.catalog import Catalog, Choice
from zoo_core.errors import UsageError
from zoo_core.result_specs import ExporterSpec, Precision

OPTION = "precision"
"""The option of a format that `--fp16` and `--int8` set."""


def precisions(spec: ExporterSpec) -> tuple[str, ...]:
    """The precisions in which a format can be written."""
    if OPTION not in {one.name for one in fields(spec.options)}:
        return ("fp32",)
    return tuple(get_args(get_type_hints(spec.options)[OPTION])) or ("fp32",)


def precision_of(exporter: Choice[ExporterSpec]) -> Precision:
    """The precision of the file that will be written."""
    chosen: Any = getattr(exporter.options, OPTION, "fp32")
    return chosen if chosen in get_args(Precision) else "fp32"


def chosen_exporter(to: str, precision: Precision | None, catalog: Catalog) -> Choice[ExporterSpec]:
    """The format that a text names, in this precision.

    Raises UsageError for an unknown format, for a precision that it lacks, and for two of them.
    """
    exporter = catalog.exporter(to)
    if precision is None:
        return exporter
    if precision not in precisions(exporter.spec):
        having = [one.spec.name for one in catalog.entries(ExporterSpec) if precision in precisions(one.spec)]
        told = f"Formats that have it: {', '.join(having)}." if having else "No installed format has it."
        step = f"Ask for one: --to {having[0]} --{precision}." if having else "`zoo plugin search onnx` finds some."
        raise UsageError(f"{exporter.spec.name} has no {precision}. {told} {step}")
    given = precision_of(exporter)
    if given not in ("fp32", precision):
        raise UsageError(f"'{to}' asks for {given}, and --{precision} for {precision}. Leave one out.")
    return replace(exporter, options=replace(exporter.options, **{OPTION: precision}))
