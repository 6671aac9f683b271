"""How often Python looks for objects that nothing reaches.

torch and what it imports make 400,000 objects that stay. Looking through all of them takes a tenth
of a second or more, and by Python's own rule it is done again and again while more is imported.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

EVERY = 50_000
"""Objects that are made before Python looks among the newest; the number of 700 is its own."""


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
