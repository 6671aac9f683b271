"""The command `zoo serve RUN|BACKBONE|FILE`."""

from __future__ import annotations

import gc
import os
import re
from pathlib import Path

import click
from click.core import ParameterSource

from zoo_core import Catalog, Predictor, UsageError, load, load_exported, open_catalog

LOCAL = ("127.0.0.1", "::1", "localhost")
OF_NO_CONTAINER = {
    "host": "the container listens on all of its addresses, and docker run -p says who reaches it",
    "port": "the container listens on 8000, and docker run -p publishes it at another",
    "token": "a token would stand in the image. README.txt gives it by ZOO_SERVE_TOKEN",
    "device": "the container computes on the CPU",
    "weights": "a run has weights of its own",
}


@click.command()
@click.argument("model", metavar="RUN|BACKBONE|FILE")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 is every one.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="0 takes any free one.")
@click.option(
    "--token", envvar="ZOO_SERVE_TOKEN", help="Token that requests must bring; better in ZOO_SERVE_TOKEN than here."
)
@click.option("--top", default=5, show_default=True, type=click.IntRange(min=1), help="Classes to name for an image.")
@click.option("--threshold", type=click.FloatRange(0, 1), help="Name only classes or labels above this probability.")
@click.option("--reject", is_flag=True, help="Give images unlike those of the training no answer: none of these.")
@click.option(
    "--max-batch",
    type=click.IntRange(min=1),
    help="Images of one pass (the fastest of 1 to 32, by a trial at the start).",
)
@click.option(
    "--max-waiting",
    default=256,
    show_default=True,
    type=click.IntRange(min=1),
    help="Images that may wait; more get 503.",
)
@click.option("--max-bytes", default=20_000_000, show_default=True, type=click.IntRange(min=1), help="Of a request.")
@click.option(
    "--max-pixels", default=80_000_000, show_default=True, type=click.IntRange(1, 80_000_000), help="Of an image."
)
@click.option("--max-images", default=32, show_default=True, type=click.IntRange(min=1), help="Of a request.")
@click.option(
    "--timeout",
    default=30.0,
    show_default=True,
    type=click.FloatRange(min=0.1),
    help="Seconds for a body, and for an answer.",
)
@click.option("--weights", default="default", help="Weights of a backbone (its first).")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N, xpu or mps.")
@click.option(
    "--dockerfile",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Start nothing: write a Dockerfile for this run, with all versions pinned, to a new folder.",
)
@click.pass_context
def serve(
    ctx: click.Context,
    model: str,
    host: str,
    port: int,
    token: str | None,
    top: int,
    threshold: float | None,
    reject: bool,
    max_batch: int | None,
    max_waiting: int,
    max_bytes: int,
    max_pixels: int,
    max_images: int,
    timeout: float,
    weights: str,
    device: str,
    dockerfile: Path | None,
) -> None:
    """Answer images over HTTP, with the answers of `zoo predict`; also by a FILE of `zoo export`.

    POST an image to /predict: the file itself, a form, or JSON with base64. The Open Inference
    Protocol v2 is beside it, and so are /health, /ready and /metrics. SIGTERM and Ctrl-C finish the
    requests that were accepted.

    \b
    zoo serve runs/first
    curl --data-binary @photo.jpg http://127.0.0.1:8000/predict
    zoo serve runs/first --dockerfile service/
    """
    if token is not None and not re.fullmatch(r"[!-~]+", token):
        raise UsageError("a token has letters, digits and signs, and no spaces.")
    catalog = open_catalog(with_plugins=(ctx.obj or {}).get("with_plugins", True))
    if dockerfile is not None:
        _write_container(ctx, dockerfile, model, catalog)
        return
    from zoo_serve.app import App
    from zoo_serve.engine import Engine, Wish
    from zoo_serve.limits import Limits
    from zoo_serve.logs import log
    from zoo_serve.metrics import Metrics
    from zoo_serve.protocol_v2 import ModelFacts
    from zoo_serve.server import bound, run
    from zoo_serve.trial import fastest_batch

    with bound(host, port) as taken:  # before the model is loaded and tried
        predictor = _loaded(model, weights, device, catalog)
        if reject:
            predictor.check_knows_strangers()
        if max_batch is None:
            max_batch = fastest_batch(predictor)
            click.echo(f"largest batch: {max_batch}, by a trial of the network on this machine", err=True)
        limits = Limits(max_bytes, max_pixels, max_images, max_waiting, max_batch, timeout)
        name = _name(model)
        wish = Wish(top, threshold, reject)
        engine = Engine(predictor, limits, workers=max(2, _cores()))
        app = App(predictor, engine, Metrics(name, engine.counts), ModelFacts.of(predictor, name), limits, wish, token)
        if host not in LOCAL and token is None:
            click.echo("warning: this server answers whoever reaches it. --token asks for a token.", err=True)
        gc.collect()
        gc.freeze()  # the model stays: it is not looked through again

        def started(port: int) -> None:
            shown = f"[{host}]" if ":" in host else host
            click.echo(f"{name} answers at http://{shown}:{port}/predict", err=True)
            log("listening", host=host, port=port, model=name)

        run(app, taken, started)
        engine.close()
        log("stopped", images=engine.counts.images, batches=engine.counts.batches)


def _write_container(ctx: click.Context, folder: Path, model: str, catalog: Catalog) -> None:
    """Write the folder of a container. Raises UsageError for options that it cannot have."""
    given = {name for name in ctx.params if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE}
    for name, reason in OF_NO_CONTAINER.items():
        if name in given:
            raise UsageError(f"--dockerfile takes no --{name}: {reason}. Leave it out.")
    if Path(model).is_file():
        raise UsageError(
            f"{model!r} is an exported file; a container is written for a run. Give the run that it came from."
        )
    predictor = _loaded(model, "default", "cpu", catalog)
    if ctx.params["reject"]:
        predictor.check_knows_strangers()
    from zoo_serve.docker import write_folder

    options: list[str] = []
    for one in ctx.command.params:
        if one.name in given and isinstance(one, click.Option) and one.name != "dockerfile":
            options += [one.opts[0]] if one.is_flag else [one.opts[0], f"{ctx.params[one.name]}"]
    for line in write_folder(folder, predictor, options):
        click.echo(line)


def _loaded(model: str, weights: str, device: str, catalog: Catalog) -> Predictor:
    """A run or backbone, or a file of `zoo export`."""
    if Path(model).is_file():
        if weights != "default" or device not in ("auto", "cpu"):
            raise UsageError("a file has weights of its own and answers on the CPU: leave out --weights and --device.")
        return load_exported(model, catalog=catalog)
    return load(model, weights=weights, device=device, catalog=catalog)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _name(model: str) -> str:
    """The last part of a model's name, with nothing that a path of an address could not have."""
    last = Path(model).resolve().name if Path(model).is_dir() else model.replace("\\", "/").rpartition("/")[2]
    return re.sub(r"[^A-Za-z0-9._-]", "-", last)[:80] or "model"
