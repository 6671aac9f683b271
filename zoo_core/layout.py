"""The layout of a backbone's features: a map or tokens. Standard library only.

Shapes: C channels, H height, W width, N tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isqrt
from typing import Literal

from zoo_core.spec_checks import require

MOST_PREFIX_TOKENS = 1024  # networks with class and register tokens have at most a few dozen


@dataclass(frozen=True)
class Layout:
    """The features of one image: a map (C, H, W), or tokens (N, C).

    The first `prefix` tokens stand for no patch of the image. `class_token` says whether the first
    of them is the class token rather than a register; by default it is where there are any.
    """

    kind: Literal["map", "tokens"] = "map"
    prefix: int = 0
    class_token: bool | None = None

    def __post_init__(self) -> None:
        require(self.kind in ("map", "tokens"), f"features are a 'map' or 'tokens', got {self.kind!r}")
        fits = isinstance(self.prefix, int) and 0 <= self.prefix <= MOST_PREFIX_TOKENS
        require(
            fits and (self.kind == "tokens" or self.prefix == 0),
            f"a {self.kind} cannot have {self.prefix!r} prefix tokens",
        )
        require(
            not self.class_token or self.prefix > 0, "a class token is one of the prefix tokens, and there are none"
        )
        if self.class_token is None:
            object.__setattr__(self, "class_token", self.prefix > 0)

    @property
    def has_class_token(self) -> bool:
        """The same as `class_token`, for plugins that were written when it was a property."""
        return bool(self.class_token)

    def __str__(self) -> str:
        if self.kind == "map":
            return "a feature map"
        before = f"tokens, {self.prefix} of them before the patches"
        if self.class_token:
            return before
        return f"{before}, none a class token" if self.prefix else "tokens without a class token"

    @property
    def before(self) -> Layout:
        """The layout of an earlier stage: a class token has not yet gathered the image there."""
        return replace(self, class_token=False)

    def of(self, shape: Sequence[int]) -> Layout:
        """This layout, or where features of this shape are the other kind, a plain one of that."""
        kind: Literal["map", "tokens"] = "map" if len(shape) == 3 else "tokens"
        return self if kind == self.kind else Layout(kind)

    def fits(self, shape: Sequence[int]) -> bool:
        """Whether features of one image may have this shape."""
        return len(shape) == (3 if self.kind == "map" else 2) and self.grid(shape) >= (1, 1)

    def channels(self, shape: Sequence[int]) -> int:
        """The channels of features of this shape."""
        return shape[0] if self.kind == "map" else shape[1]

    def grid(self, shape: Sequence[int]) -> tuple[int, int]:
        """Height and width in cells. Patches of a square image are a square; others count as one
        column."""
        if self.kind == "map":
            return shape[1], shape[2]
        patches = shape[0] - self.prefix
        side = isqrt(max(0, patches))
        return (side, side) if side * side == patches else (patches, 1)


FEATURE_MAP = Layout()
