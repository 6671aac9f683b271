"""How often Python looks for objects that nothing reaches.

torch and its dependencies make 400,000 objects that stay. By Python's own rule all of them are looked
through again and again while more is imported, and each look takes longer than the one before.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

EVERY = 50_000
"""Objects that are made before Python looks among the newest."""


@contextmanager
def rare_collections() -> Iterator[None]:
    """Python looks less often in this context, unless a program has asked for that, or for no look
    at all."""
    before = gc.get_threshold()
    if 0 < before[0] < EVERY:
        gc.set_threshold(EVERY, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
