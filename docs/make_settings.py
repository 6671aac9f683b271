"""Makes docs/settings.md from the declarations of the settings (zoo_core/settings/config.py).

    python docs/make_settings.py

A test compares the page with the declarations, and names this command where they differ.
"""

from __future__ import annotations

from pathlib import Path

from zoo_core.settings import FinetuneConfig
from zoo_core.settings.fields import Setting, settings_of

TARGET = Path(__file__).parent / "settings.md"
INTRODUCTION = """\
# Settings of a fine-tune

Every setting is an option of `zoo finetune`, a keyword of `zoo_core.FinetuneConfig` and a line of a
config file. Only the backbone has to be named. This page is made from the declarations in
zoo_core/settings/config.py by `python docs/make_settings.py`.

## Config files

`zoo finetune --config run.toml` reads the settings of a TOML file, and options on the command line
win over it:

```toml
backbone = "resnet50"
data = "photos/"
strategy = "last:2"
batch-size = 64
image-size = 224
```

A setting may be spelled as the option is (`batch-size`) or as the keyword is (`batch_size`). Paths
are relative to the folder in which zoo is called. The config.json of a run is a config file too, and
so is its directory: `zoo finetune --config runs/resnet50-last-photos-1 --seed 1` repeats that run with
another seed in a new directory.

## Settings that zoo decides

A setting that is `auto`, or was given no value where its default is a rule, is decided before the
training, from the images, the network, its weights and the machine. A run shows its decisions and
their reasons first; its config.json and its card hold them.

- The learning rate of a head that learns alone is found when the training starts: short trainings
  on four fifths of the cached features, at rates around 0.01, and the lowest loss on the other fifth
  decides. The rate stands in the result, and a run that is resumed has it in its
  checkpoint.
- The epoch that is kept is the latest whose validation score is within one standard error of the
  best. The highest of many scores on a few hundred images is often one that had luck, early,
  before the learning rate has fallen. `--best-epoch highest` keeps that one, as zoo 0.1 did. The
  standard error of accuracy and top:K is that of a proportion, that of other metrics (`--metric`) a
  bootstrap's; with fewer than ten validation images, or so many that it would take long, the highest
  of those is kept.
- A phase ends when for a third of the epochs, and at least 5, neither the score was higher nor the
  loss lower than ever before. `--patience` sets another number; with `--best-epoch highest` nothing
  ends early unless it is set.

The figures behind these rules: [benchmarks](../benchmarks/README.md#defaults).
"""
HEADER = "| option | values | default | meaning |\n|---|---|---|---|\n"


def page() -> str:
    """The whole page, with a table for each group of settings."""
    groups: dict[str, list[Setting]] = {}
    for one in settings_of(FinetuneConfig).values():
        groups.setdefault(one.group, []).append(one)
    tables = [f"\n## {group}\n\n{HEADER}" + "".join(map(_row, members)) for group, members in groups.items()]
    return INTRODUCTION + "".join(tables)


def _row(one: Setting) -> str:
    """A setting's row; its keyword is named where it is not the option's spelling."""
    keyword = "" if one.option == one.name.replace("_", "-") else f" (keyword `{one.name}`)"
    default = one.default_text if one.required or one.default is None else f"`{one.default_text}`"
    cells = (f"`--{one.option}`{keyword}", one.accepts, default, one.description)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


if __name__ == "__main__":
    TARGET.write_text(page(), encoding="utf-8")
