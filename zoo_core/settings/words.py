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
PrefixPrecision = Literal["float32", "bfloat16"]
Compile = Literal["auto", "on", "off"]
StepLayout = Literal["auto", "channels-last:8", "contiguous:8", "channels-last:whole", "contiguous:whole"]
Tiles = Literal["auto", "all", "frozen", "none"]
Decoding = Literal["auto", "threads", "processes"]
TaskChoice = Auto | TaskName

USUAL_LAYOUT: StepLayout = "channels-last:8"
"""The layout of a training step where no trial has found a faster one."""

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
LAYOUT_HELP = (
    "How the images of a training step lie in memory, and how many of them a CPU computes together where the result "
    "stays the same."
)
TILES_HELP = (
    "Which 3 x 3 convolutions of many channels a CPU computes from tiles, with a quarter of the products: those of training "
    "too (all), frozen ones, or none. The results differ by rounding."
)
TILES_RULE = "all where a short trial on a CPU finds training faster so, else frozen"
DECODING_HELP = "Whether the threads of --workers decode images themselves, or a process beside each of them."
DECODING_RULE = "processes for a GPU and many image files, else threads"
THREADS_HELP = "Threads that compute on a CPU."
THREADS_RULE = "torch's own number, or half of it where the trial of layouts finds that faster"
RECOMPUTE_HELP = "Compute activations a second time instead of storing them: less memory, more time, the same result."
CACHE_GB_HELP = "Gigabytes that features and resized images may take in the cache folder."
DTYPE_HELP = "Number type of cached features."
PREFIX_HELP = "Number type in which the frozen layers compute the cached features of training images."
EMA_HELP = (
    "Decay of the exponential moving average of the weights, which is then evaluated and saved in their place (0: off)."
)
VIEWS_HELP = (
    "Augmented views of each training image whose features are cached (0: no cache, a fresh view in every epoch)."
)
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
