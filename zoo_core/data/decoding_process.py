"""A process that decodes and resizes images for the threads of a run, which start it
(`zoo_core.data.decoders`).

It gets a line of JSON with the preprocessing, with the number and the size of an open file that
both processes have mapped into their memory, and with the number of a pipe for its answers; then one
image file after the other, each behind its length. It writes the resized image into that memory and
answers with its shape: (0, 0, 0) where the file is no image, or one that is too large for the
memory. It ends when nothing more can come.
"""

from __future__ import annotations

import json
import mmap
import os
import signal
import struct
import sys
from typing import Any, BinaryIO

import numpy as np

from zoo_core.data.decode import decode
from zoo_core.data.transforms import decoded_side, resized
from zoo_core.errors import DataError
from zoo_core.weights_specs import Preprocessing

LENGTH, SHAPE = struct.Struct("<Q"), struct.Struct("<3I")
NO_IMAGE = 0, 0, 0


def serve(files: BinaryIO) -> None:
    """Answer every file that comes."""
    told: dict[str, Any] = json.loads(files.readline())
    memory = np.frombuffer(mmap.mmap(told.pop("memory"), told.pop("bytes")), np.uint8)
    answers = os.fdopen(told.pop("answers"), "wb")
    preprocessing = Preprocessing(**{**told, "mean": tuple(told["mean"]), "std": tuple(told["std"])})
    while head := files.read(LENGTH.size):
        content = files.read(*LENGTH.unpack(head))
        shape = NO_IMAGE
        try:
            pixels = resized(decode(content, at_least=decoded_side(preprocessing)), preprocessing)
        except DataError:
            pass
        else:
            if pixels.size <= memory.size:
                memory[: pixels.size] = pixels.ravel()
                shape = pixels.shape
        answers.write(SHAPE.pack(*shape))
        answers.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is the run's, which ends this process
    serve(sys.stdin.buffer)
