"""The facts about the strategy lora."""

from __future__ import annotations

from zoo_core import FreezeSpec, Paper, hookimpl
from zoo_lora.strategy import LoraOptions

HOOK_API = 2

PAPER = Paper(
    title="LoRA: Low-Rank Adaptation of Large Language Models",
    authors="Hu, Shen, Wallis, Allen-Zhu, Li, Wang, Wang, Chen",
    venue="ICLR",
    year=2022,
    arxiv="2106.09685",
)


@hookimpl
def zoo_strategies() -> list[FreezeSpec]:
    return [
        FreezeSpec(
            name="lora",
            plan="zoo_lora.strategy:lora",
            adapt="zoo_lora.adapters:adapt",
            options=LoraOptions,
            summary="low-rank adapters in the conv base, and the head (lora:rank=4,last=2)",
            paper=PAPER,
        )
    ]
