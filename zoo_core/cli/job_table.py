"""A job on the screen, before its training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zoo_core.cli.common import ignored_in_words, shown, table
from zoo_core.wording import human_count, megabytes, percent

if TYPE_CHECKING:
    from rich.console import Console

    from zoo_core.frozen.caching import Caching
    from zoo_core.training.job import Job

MOST_CLASSES = 8  # names of classes, labels or numbers


def show_job(screen: Console, job: Job) -> None:
    """Show a job before its training."""
    from zoo_core.model.assemble import count_parameters
    from zoo_core.runs.card import decision_lines, plan_in_words

    parts = ", ".join(f"{len(part)} {name}" for name, part in job.source.parts.items())
    size, channels = job.preprocessing.size, job.preprocessing.channels
    start = f"{job.start.tag} ({job.start.local.source})" if job.start.local else "from scratch"
    rows = [
        ("backbone", f"{job.backbone} from {job.backbone.entry.distribution}, weights: {start}"),
        ("head", f"{job.head}, for {outputs_in_words(job)}"),
        ("strategy", f"{job.strategy}. " + " Then ".join(plan_in_words(job.plan.to_dict()))),
        ("parameters", _parameters(job, count_parameters(job.model))),
        ("images", f"{parts}; {size} x {size}, {'greyscale' if channels == 1 else 'RGB'}, from {job.source.title}"),
        ("cached", cached_in_words(job.caching, job.plan.stages)),
        ("device", str(job.device)),
    ]
    if job.trackers:
        rows.append(("tracked by", ", ".join(map(str, job.trackers))))
    if job.groups is not None:
        rows.append(("groups", job.groups))
    if job.balance is not None:
        rows.append(("balance", job.balance))
    if job.loss is not None:
        rows.append(("loss", job.loss))
    if job.start.preprocessing_origin:
        rows.insert(1, ("images as", job.start.preprocessing_origin))
    decisions = decision_lines(job.decisions)
    rows += [("" if place else "decided", line) for place, line in enumerate(decisions)]
    if job.backbone.whole:
        kept, stages = len(job.backbone.spec.stages), job.backbone.whole.stages
        rows.insert(1, ("ends at", f"{stages[kept - 1]}; left out: {', '.join(stages[kept:])}"))
    if job.dropped:
        rows.insert(1, ("left out", ", ".join(job.dropped) + " (replaced by the head)"))
    if job.source.ignored:
        rows.append(("ignored", ignored_in_words(job.source.ignored)))
    if job.source.skipped:
        rows.append(("skipped", f"{job.source.skipped} that cannot be read"))
    rows += [("note", finding) for finding in job.findings]
    made = table("", "")
    made.show_header = False
    for name, text in rows:
        made.add_row(f"[bold]{name}[/bold]", shown(text))
    screen.print(made)


def cached_in_words(caching: Caching, stages: tuple[str, ...]) -> str:
    """The features that are computed once, and their size, or else the cache of resized images."""
    splits = dict.fromkeys(split for split in caching.splits if split is not None)
    if splits:
        places = [f"{stages[split.stages - 1]}{', pooled' if split.pooled else ''}" for split in splits]
        views = "each image as it is" if caching.views == 1 else f"{caching.views} views of each image"
        text = f"{views} after {' and '.join(places)}, at most {megabytes(caching.total)} in the cache folder"
    elif caching.resized_bytes:
        text = f"resized images, about {megabytes(caching.resized_bytes)} in the cache folder; every epoch sees fresh views"
    else:
        text = "nothing; every epoch sees fresh views"
    return f"{text}. {caching.warning}" if caching.warning else text


def outputs_in_words(job: Job) -> str:
    """The number of classes, labels or numbers, and the first names."""
    from zoo_core.tasks import task_named

    names, rest = job.source.classes[:MOST_CLASSES], len(job.source.classes) - MOST_CLASSES
    more = f" and {rest} more" if rest > 0 else ""
    return f"{len(job.source.classes)} {task_named(job.source.task).outputs}: {', '.join(names)}{more}"


def _parameters(job: Job, total: int) -> str:
    counts = [job.trainable_count(phase) for phase in range(len(job.plan.phases))]
    shares = [f"{human_count(count)} ({percent(count / total)})" for count in counts]
    return f"{human_count(total)}, of which trained: {', then '.join(shares)}"
