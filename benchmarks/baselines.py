"""How others fine-tune: each function imports its library and returns a training by that library's usual recipe.

All get the same files, the same weights (a state dict under torchvision's key names), batches of 32, the centre of each
image (shorter side 256, then 224 x 224) and AdamW. Frozen is what the strategy says: TRAINABLE names what is not. A
network of timm's own, such as timm-vit_small_patch16_224, is for timm alone, with timm's weights' names and transform.
Each returns the accuracy and the loss on the validation images after the last epoch; every epoch
ends with an evaluation. Worker processes that decode: as many as there are cores.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measuring import has_bfloat16

BATCH, SIZE, SHORTER = 32, 224, 256
WORKERS = len(os.sched_getaffinity(0))


@dataclass(frozen=True)
class Task:
    """One fine-tune, for whoever does it."""

    photos: Path
    weights: Path
    backbone: str
    strategy: str
    epochs: int
    at_best: bool = False
    """Whether the plain loops compute channels last, and in bfloat16 where the CPU has units for it."""

    @property
    def lr(self) -> float:
        return 5e-3 if self.strategy == "head-only" else 5e-4


@dataclass(frozen=True)
class Outcome:
    """What a training came to, on the validation images."""

    accuracy: float
    loss: float


Train = Callable[[Task], Outcome]


TRAINABLE = {
    "resnet": {"head-only": ("fc",), "last:1": ("fc", "layer4")},
    "vit": {"head-only": ("head",), "last:2": ("head", "norm", "blocks.10", "blocks.11")},  # of twelve blocks
}
"""How the names of what learns begin, by the kind of network and the strategy."""


def learns(name: str, task: Task) -> bool:
    """Whether a parameter or a module of the task's network, by its name, learns."""
    kind = "vit" if "vit" in task.backbone else "resnet"
    return task.strategy == "full" or name.startswith(TRAINABLE[kind][task.strategy])


def freeze(network: Any, task: Task) -> None:
    """The tutorials' way: what is frozen wants no gradients."""
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(learns(name, task))


def torchvision_network(task: Task) -> Any:
    """torchvision's network with the task's weights, a new classifier, and frozen as the strategy says."""
    import torch
    from safetensors.torch import load_file
    from torchvision import models

    network = models.get_model(task.backbone)
    network.load_state_dict(load_file(task.weights))
    torch.manual_seed(0)
    network.fc = torch.nn.Linear(network.fc.in_features, 4)
    freeze(network, task)
    return network


def torchvision_folders(task: Task) -> tuple[Any, Any]:
    """torchvision's data sets of training and validation images."""
    from torchvision import datasets, transforms

    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    steps = [transforms.Resize(SHORTER), transforms.CenterCrop(SIZE), transforms.ToTensor()]
    transform = transforms.Compose([*steps, transforms.Normalize(mean, std)])
    train, val = (datasets.ImageFolder(str(task.photos / part), transform) for part in ("train", "val"))
    return train, val


def loaders(train: Any, val: Any) -> tuple[Any, Any]:
    from torch.utils.data import DataLoader

    shuffled = DataLoader(train, BATCH, shuffle=True, num_workers=WORKERS)
    return shuffled, DataLoader(val, BATCH, num_workers=WORKERS)


def plain_loop(network: Any, train: Iterable[Any], val: Iterable[Any], task: Task) -> Outcome:
    """The trainer of PyTorch's tutorial on transfer learning."""
    import torch
    from torch.nn import functional

    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=task.lr)
    if task.at_best:
        network.to(memory_format=torch.channels_last)
    mixed = torch.autocast("cpu", torch.bfloat16, enabled=task.at_best and has_bfloat16())
    for _ in range(task.epochs):
        network.train()
        for images_BCHW, labels_B in train:
            with mixed:
                loss = functional.cross_entropy(network(images_BCHW), labels_B)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        network.eval()
        right, total, count = 0, 0.0, 0
        with torch.no_grad(), mixed:
            for images_BCHW, labels_B in val:
                outputs_BK = network(images_BCHW)
                right += int((outputs_BK.argmax(1) == labels_B).sum())
                total += functional.cross_entropy(outputs_BK, labels_B, reduction="sum").item()
                count += len(labels_B)
        outcome = Outcome(right / count, total / count)
    return outcome


def by_torchvision() -> Train:
    import torchvision  # noqa: F401  imports do not count

    def train(task: Task) -> Outcome:
        network = torchvision_network(task)
        return plain_loop(network, *loaders(*torchvision_folders(task)), task)

    return train


def by_timm() -> Train:
    import timm
    import timm.data
    import torchvision  # noqa: F401
    from torchvision.datasets import ImageFolder

    def train(task: Task) -> Outcome:
        network = timm.create_model(task.backbone.removeprefix("timm-"), checkpoint_path=str(task.weights))
        network.reset_classifier(4)
        freeze(network, task)
        if task.backbone.startswith("timm-"):
            transform = timm.data.create_transform(**timm.data.resolve_model_data_config(network))
        else:
            transform = timm.data.create_transform((3, SIZE, SIZE), crop_pct=SIZE / SHORTER, interpolation="bilinear")
        folders = [ImageFolder(str(task.photos / part), transform) for part in ("train", "val")]
        return plain_loop(network, *loaders(*folders), task)

    return train


def by_trainer() -> Train:
    import torch
    from torch.nn import functional
    from transformers import Trainer, TrainingArguments

    class Network(torch.nn.Module):
        def __init__(self, network: torch.nn.Module) -> None:
            super().__init__()
            self.network = network

        def forward(self, pixel_values: Any, labels: Any) -> dict[str, Any]:
            logits_BK = self.network(pixel_values)
            return {"loss": functional.cross_entropy(logits_BK, labels), "logits": logits_BK}

    def together(rows: list[Any]) -> dict[str, Any]:
        return {
            "pixel_values": torch.stack([image for image, _ in rows]),
            "labels": torch.tensor([label for _, label in rows]),
        }

    def train(task: Task) -> Outcome:
        folders = torchvision_folders(task)
        settings = TrainingArguments(
            output_dir=str(task.weights.parent / "trainer"),
            num_train_epochs=task.epochs,
            per_device_train_batch_size=BATCH,
            per_device_eval_batch_size=BATCH,
            learning_rate=task.lr,
            eval_strategy="epoch",
            save_strategy="no",
            logging_strategy="no",
            report_to=[],
            dataloader_num_workers=WORKERS,
            use_cpu=True,
            disable_tqdm=True,
        )
        trainer = Trainer(
            model=Network(torchvision_network(task)),
            args=settings,
            data_collator=together,
            train_dataset=folders[0],
            eval_dataset=folders[1],
            compute_metrics=lambda found: {"accuracy": float((found.predictions.argmax(1) == found.label_ids).mean())},
        )
        trainer.train()
        last = [line for line in trainer.state.log_history if "eval_loss" in line][-1]
        return Outcome(last["eval_accuracy"], last["eval_loss"])

    return train


def by_fastai() -> Train:
    from fastai.vision import all as fastai
    from safetensors.torch import load_file
    from torchvision import models

    def parts(network: Any) -> list[Any]:
        """What freezes together: up to layer3, layer4, the head."""
        return [fastai.params(network[0][:7]), fastai.params(network[0][7:]), fastai.params(network[1])]

    def train(task: Task) -> Outcome:
        images = fastai.ImageDataLoaders.from_folder(
            task.photos,
            valid="val",
            bs=BATCH,
            item_tfms=fastai.Resize(SIZE),
            batch_tfms=fastai.Normalize.from_stats(*fastai.imagenet_stats),
            num_workers=WORKERS,
        )
        build = getattr(models, task.backbone)
        learner = fastai.vision_learner(images, build, pretrained=False, splitter=parts, metrics=fastai.accuracy)
        loaded = build()
        loaded.load_state_dict(load_file(task.weights))
        learner.model[0].load_state_dict(fastai.create_body(loaded, pretrained=False).state_dict())
        learner.freeze_to({"head-only": -1, "last:1": -2, "full": 0}[task.strategy])
        with learner.no_bar(), learner.no_logging():
            learner.fit_one_cycle(task.epochs, task.lr)
        _, loss, accuracy = learner.recorder.values[-1]
        return Outcome(float(accuracy), float(loss))

    return train


def by_lightning() -> Train:
    import logging

    import lightning
    import torch
    from torch.nn import functional

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    class Module(lightning.LightningModule):
        def __init__(self, task: Task) -> None:
            super().__init__()
            self.task = task
            self.network = torchvision_network(task)
            for name, part in self.network.named_children():  # as in Lightning's own guide to transfer learning
                part.train(learns(name, task))

        def training_step(self, batch: Any, _: int) -> Any:
            images_BCHW, labels_B = batch
            return functional.cross_entropy(self.network(images_BCHW), labels_B)

        def validation_step(self, batch: Any, _: int) -> None:
            images_BCHW, labels_B = batch
            outputs_BK = self.network(images_BCHW)
            self.log("loss", functional.cross_entropy(outputs_BK, labels_B), batch_size=len(labels_B))
            self.log("accuracy", (outputs_BK.argmax(1) == labels_B).float().mean(), batch_size=len(labels_B))

        def configure_optimizers(self) -> Any:
            learning = [parameter for parameter in self.parameters() if parameter.requires_grad]
            return torch.optim.AdamW(learning, lr=self.task.lr)

    def train(task: Task) -> Outcome:
        trainer = lightning.Trainer(
            accelerator="cpu",
            max_epochs=task.epochs,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        trainer.fit(Module(task), *loaders(*torchvision_folders(task)))
        return Outcome(float(trainer.callback_metrics["accuracy"]), float(trainer.callback_metrics["loss"]))

    return train


RIVALS: dict[str, tuple[str, Callable[[], Train]]] = {
    "torchvision": ("torchvision", by_torchvision),
    "timm": ("timm", by_timm),
    "Trainer": ("transformers", by_trainer),
    "fastai": ("fastai", by_fastai),
    "Lightning": ("lightning", by_lightning),
}
"""Each rival by its name: the package that it needs, and its training."""
