"""The settings of one fine-tune, each declared once: frozen, checked at birth, JSON and back."""

from __future__ import annotations

from dataclasses import dataclass

from zoo_core.settings import words
from zoo_core.settings.fields import Auto, DataInMemory, check_settings, setting
from zoo_core.settings.needs import Need
from zoo_core.settings.plain import PlainData
from zoo_core.settings.words import CACHE, COMPUTING, DATA, MOST_USED, OPTIMISATION, REGULARISATION
from zoo_core.spec_checks import MAX_SIZE

MAX_SEED = 2**32 - 1  # the largest that numpy takes
MAX_EPOCHS = 10_000  # each is a line of 250 bytes in the metrics, of which zoo reads 16 MiB


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig(PlainData):
    """The settings of one fine-tune (docs/settings.md). Raises UsageError that names a wrong one.

    A setting at "auto" or None is decided before the training: `zoo_core.training.defaults`.
    """

    backbone: str = setting(group=MOST_USED, help="Pretrained network (`zoo list`); NAME:upto=STAGE ends it earlier.")
    data: str | DataInMemory = setting("fashion-small", group=MOST_USED, help=words.DATA_HELP)
    strategy: str = setting(
        "auto",
        group=MOST_USED,
        help="Stages that are trained: head-only, last:2, full ... (`zoo list strategies`).",
        chosen="head-only; last:2 from 1,100 images on, 110 a class; full with many or small images, and from scratch",
    )
    head: str = setting(
        "linear",
        group=MOST_USED,
        help="Layers that replace the classifier: a name from `zoo list heads`, with options (mlp:hidden=256+64).",
    )
    weights: str = setting(
        "default",
        group=MOST_USED,
        help="Initial weights: a tag from `zoo info`, none (from scratch), a .safetensors file or a run directory.",
    )
    epochs: int | None = setting(
        None,
        group=MOST_USED,
        help="Passes over the training images.",
        chosen="30 where an epoch costs next to nothing, else 10",
        at_least=1,
        at_most=MAX_EPOCHS,
        needs=(Need.STEPS,),
    )
    batch_size: int | Auto = setting(
        32,
        group=MOST_USED,
        help="Images per optimizer step.",
        chosen="the fastest that the GPU's memory holds, by trial; 32 on a CPU",
        at_least=1,
        needs=(Need.STEPS,),
    )
    lr: float | Auto | None = setting(
        None,
        group=MOST_USED,
        help="Peak learning rate of the head; auto finds it by a range test.",
        chosen="found by short trials where only the head learns, from cached features; else 0.01",
        above=0,
        at_most=100,
        needs=(Need.STEPS,),
    )
    size: int | None = setting(
        None,
        group=MOST_USED,
        help="Side of the square input images in pixels.",
        chosen="the size of the weights' own training",
        at_least=1,
        at_most=MAX_SIZE,
        option="image-size",
        old_options=("size",),
    )
    out: str | None = setting(
        None, group=MOST_USED, help="Run directory to create.", chosen="the next free one in ./runs", per_machine=True
    )
    task: words.TaskChoice = setting(
        "auto", group=DATA, help="Task of the head.", chosen="follows from the data's targets"
    )
    val_share: float = setting(
        0.2,
        group=DATA,
        help="Share of each class held out for validation where the data has no val part; 0 trains on everything, "
        "and nothing is measured.",
        at_least=0,
        at_most=0.9,
        needs=(Need.SPLIT,),
    )
    augment: words.Augment = setting(
        "auto",
        group=DATA,
        help="Random variation of training images: a chain such as crop+flip+color:strength=0.2+rotate "
        "(`zoo list augmentations`), or none.",
        chosen="crop-flip; flip where the images are smaller than the input",
        needs=(Need.VIEWS,),
    )
    fit: words.FitChoice = setting(
        "auto", group=DATA, help="An oblong image: crop cuts it, pad and squash show it all.", chosen="as the weights"
    )
    bad_images: words.BadImages = setting("fail", group=DATA, help="Unreadable images: fail stops, skip omits them.")
    fix_list: str = setting("none", group=DATA, help="Decisions on images: the CSV file of `zoo check`, filled in.")
    from_run: str = setting(
        words.NO_RUN,
        group=DATA,
        help="Finished run to start from: its backbone, its head with the rows of the classes that are known, its weights.",
        option="from",
    )
    train_share: float = setting(
        1.0,
        group=DATA,
        help="Share of each class's training images that is used, chosen by the seed; a smaller share is part of a larger.",
        above=0,
        at_most=1,
    )
    fold: str = setting(
        "none",
        group=DATA,
        help="Fold of the images that is held out as test part: 2/5 is the second of five, made by the seed.",
    )
    group_by: str = setting(
        "column",
        group=DATA,
        help="Images that stay in one part together: column is a CSV file's column 'group'; parent-folder; a regular "
        "expression, whose first group, or whole match, in an image's path names its group; or none.",
    )
    seed: int = setting(
        0, group=DATA, help="Seed of the split, the head's weights, the order and views.", at_least=0, at_most=MAX_SEED
    )
    base_lr: float | None = setting(
        None,
        group=OPTIMISATION,
        help="Learning rate of the backbone as a share of the head's.",
        chosen="0.1; 0.2 from scratch and with at least one image per 100 backbone parameters",
        above=0,
        at_most=100,
        needs=(Need.STEPS, Need.TRAINED_WEIGHTS),
    )
    optimizer: words.Optimizer = setting(
        "adamw", group=OPTIMISATION, help="Optimizer; sgd has Nesterov momentum 0.9.", needs=(Need.STEPS,)
    )
    weight_decay: float = setting(
        0.01,
        group=OPTIMISATION,
        help="Weight decay of all weights but norms and biases.",
        at_least=0,
        at_most=10,
        needs=(Need.STEPS,),
    )
    warmup: float = setting(
        0.1,
        group=OPTIMISATION,
        help="Share of all steps in which the learning rate rises to its peak.",
        at_least=0,
        at_most=1,
        needs=(Need.STEPS,),
    )
    metric: str = setting(
        "auto",
        group=OPTIMISATION,
        help="Figure that counts: it chooses the best epoch, ends a training early, orders runs and heads the result "
        "(`zoo list metrics`).",
        chosen="accuracy; mean average precision for labels, R2 for numbers",
        needs=(Need.MEASURED,),
    )
    best_epoch: words.BestEpoch = setting(
        "steady",
        group=OPTIMISATION,
        help="Epoch that is kept: steady is the latest whose score is within one standard error of the best.",
        needs=(Need.STEPS, Need.VALIDATION),
    )
    patience: int | None = setting(
        None,
        group=OPTIMISATION,
        help="Early stopping: epochs without a higher score or a lower loss after which a phase of the plan ends.",
        chosen="a third of the epochs, and at least 5; with the highest best epoch none",
        at_least=1,
        needs=(Need.STEPS, Need.VALIDATION),
    )
    balance: words.Balance = setting(
        "none",
        group=OPTIMISATION,
        help="Uneven classes: rare ones count more in the loss (weights), or their images are drawn more often (sampling).",
        requires=(Need.STEPS,),
    )
    loss: str = setting("cross-entropy", group=OPTIMISATION, help=words.LOSS_HELP, requires=(Need.STEPS,))
    label_smoothing: float = setting(
        0.0,
        group=REGULARISATION,
        help="Share of a label's weight that is spread over all classes.",
        at_least=0,
        at_most=0.99,
        requires=(Need.STEPS,),
    )
    mixup: float = setting(
        0.0,
        group=REGULARISATION,
        help="Mixup's alpha: pairs of images are blended (0: off).",
        at_least=0,
        at_most=100,
        requires=(Need.STEPS,),
    )
    cutmix: float = setting(
        0.0,
        group=REGULARISATION,
        help="CutMix's alpha: a box of one image is pasted into another (0: off).",
        at_least=0,
        at_most=100,
        needs=(Need.MAPS,),
        requires=(Need.STEPS,),
    )
    l2_sp: float = setting(
        0.0,
        group=REGULARISATION,
        help="L2-SP: strength of the pull of the backbone's weights to their first values, in place of weight decay (0: off).",
        at_least=0,
        at_most=100,
        needs=(Need.TRAINED_WEIGHTS,),
        requires=(Need.STEPS,),
    )
    ema: float = setting(
        0.0,
        group=REGULARISATION,
        help=words.EMA_HELP,
        at_least=0,
        at_most=0.999999,
        requires=(Need.STEPS,),
    )
    views: int | None = setting(
        None,
        group=CACHE,
        help=words.VIEWS_HELP,
        chosen="1 where only a head is trained, else 4",
        at_least=0,
        at_most=1000,
        option="cached-views",
        old_options=("views",),
        needs=(Need.CACHED_FEATURES,),
    )
    cache_gb: float = setting(
        10.0, group=CACHE, help=words.CACHE_GB_HELP, at_least=0, at_most=10**6, needs=(Need.CACHE,)
    )
    cache_dtype: words.CacheType = setting("float16", group=CACHE, help=words.DTYPE_HELP, needs=(Need.CACHED_FEATURES,))
    prefix_precision: words.PrefixPrecision = setting(
        "float32", group=CACHE, help=words.PREFIX_HELP, needs=(Need.CACHED_FEATURES,)
    )
    device: str = setting(
        "auto", group=COMPUTING, help="Device: auto, cpu, cuda, cuda:N, xpu or mps.", per_machine=True
    )
    precision: words.Precision = setting(
        "auto",
        group=COMPUTING,
        help="Number type of the forward pass in training steps.",
        chosen="bfloat16 on a GPU that supports it, float32 on a CPU",
        needs=(Need.STEPS,),
    )
    compile: words.Compile = setting(
        "auto",
        group=COMPUTING,
        help="Compile the trainable layers (torch.compile).",
        chosen="on where an estimate says that it saves time",
        needs=(Need.TRAINED_STAGES, Need.KEPT_ACTIVATIONS),
    )
    micro_batch: int | None = setting(
        None,
        group=COMPUTING,
        help="Images of a batch that go through the network together; fewer take less memory.",
        chosen="the whole batch",
        at_least=1,
        needs=(Need.STEPS,),
    )
    step_layout: words.StepLayout = setting(
        "auto",
        group=COMPUTING,
        help=words.LAYOUT_HELP,
        chosen="the fastest of a short trial on a CPU before a long training, else channels-last:8",
        needs=(Need.TRAINED_STAGES,),
    )
    tiles: words.Tiles = setting("auto", group=COMPUTING, help=words.TILES_HELP, chosen=words.TILES_RULE)
    threads: int | None = setting(None, group=COMPUTING, help=words.THREADS_HELP, chosen=words.THREADS_RULE, at_least=1)
    gradient_checkpointing: bool = setting(
        False, group=COMPUTING, help=words.RECOMPUTE_HELP, needs=(Need.TRAINED_STAGES,)
    )
    workers: int | None = setting(
        None, group=COMPUTING, help="Threads that decode images.", chosen="1 a core to 16", at_least=1, per_machine=True
    )
    decoding: words.Decoding = setting(
        "auto", group=COMPUTING, help=words.DECODING_HELP, chosen=words.DECODING_RULE, per_machine=True
    )
    save_every: float = setting(
        30.0, group=COMPUTING, help="Seconds between two checkpoints.", at_least=0, at_most=10**6, per_machine=True
    )
    track: str = setting(words.NO_TRACKERS, group=COMPUTING, help=words.TRACK_HELP, per_machine=True)

    def __post_init__(self) -> None:
        check_settings(self)
