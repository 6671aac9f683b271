"""The words that settings choose from, and those of their groups."""

from __future__ import annotations

from typing import Literal

from zoo_core.settings.fields import Augmenting, Auto
from zoo_core.specs import TaskName
from zoo_core.weights_specs import Fit

Augment = Auto | str | Augmenting
FitChoice = Auto | Fit
Balance = Literal["none", "weights", "sampling"]
BestEpoch = Literal["steady", "highest"]
Optimizer = Literal["adamw", "sgd"]
CacheType = Literal["float16", "bfloat16", "float32"]
BadImages = Literal["fail", "skip"]
Precision = Literal["auto", "float32", "bfloat16"]
Compile = Literal["auto", "on", "off"]
TaskChoice = Auto | TaskName

NO_RUN = "none"
"""The setting `from_run` of a training that starts from no run."""

NO_TRACKERS = "none"
"""The setting `track` of a training that no tracker follows."""

DATA_HELP = (
    "Your images: a folder with one folder of images for each class, or train/val/[test] folders of such; a CSV file "
    "(column 'path' and targets); 'wds:SHARDS-{000..010}.tar' here or at an address; hf:OWNER/NAME[:streaming=yes] of the "
    "Hub; or a bundled data set."
)
TRACK_HELP = "Trackers that follow the training: tensorboard,mlflow:uri=... (`zoo list trackers`), or none."
LOSS_HELP = (
    "Loss of classes and labels: cross-entropy, or focal:gamma=2, in which images that are known well count less."
)

# The groups of settings, in the help and in docs/settings.md.
MOST_USED = "Most used"
DATA = "Data"
OPTIMISATION = "Optimisation"
REGULARISATION = "Regularisation"
CACHE = "Cached features"
COMPUTING = "Computing"
