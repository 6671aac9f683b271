"""Processes that decode images for the threads of a run. Threads share one interpreter, which hands
out fewer images a second than a GPU may want."""

from __future__ import annotations

import json
import math
import mmap
import os
import subprocess
import sys
from collections import deque
from contextlib import suppress
from dataclasses import asdict
from tempfile import TemporaryFile
from typing import IO

import numpy as np

from zoo_core.data.decoding_process import LENGTH, NO_IMAGE, SHAPE
from zoo_core.data.transforms import Pixels, resized_side
from zoo_core.weights_specs import Preprocessing

COMMAND = [sys.executable or "python3", "-P", "-m", "zoo_core.data.decoding_process"]
HAS_DECODERS = sys.platform != "win32"
"""Whether processes inherit an open file by its number here."""
IN_MEMORY = "/dev/shm"  # on Linux the files there are memory
MAX_RATIO = 4
"""How many times as long as wide a resized image may be that fits into the memory of a process."""


class Decoders:
    """So many processes, each started when it is first needed, that decode and resize images as
    this process would."""

    def __init__(self, preprocessing: Preprocessing, count: int) -> None:
        self._all = tuple(_Decoder(preprocessing) for _ in range(count))
        self._idle = deque(self._all)

    def resized(self, content: bytes) -> Pixels | None:
        """The resized image in the bytes of a file. None where the caller has to decode it: all
        processes are busy or have died, or the file is no image or a very long one."""
        try:
            decoder = self._idle.pop()
        except IndexError:
            return None
        pixels = decoder.resized(content)  # interrupted, it stays away: its answer is yet to come
        if decoder.is_alive:
            self._idle.append(decoder)
        return pixels

    def close(self) -> None:
        """End the processes."""
        for decoder in self._all:
            decoder.close()


class _Decoder:
    """One process, of which one thread at a time asks. Once it has died it decodes nothing more."""

    def __init__(self, preprocessing: Preprocessing) -> None:
        self.is_alive = True
        self._preprocessing = preprocessing
        self._process: subprocess.Popen[bytes] | None = None
        self._answers: IO[bytes] | None = None

    def resized(self, content: bytes) -> Pixels | None:
        if not self.is_alive:
            return None
        try:
            if self._process is None:
                self._start()
            shape = self._shape_of(content)
        except (OSError, EOFError, ValueError):  # ValueError: `close` was quicker
            self.close()
            return None
        return None if shape == NO_IMAGE else self._pixels[: math.prod(shape)].reshape(shape).copy()

    def _start(self) -> None:
        """Start the process with memory that it shares. Raises OSError where that cannot be."""
        side = resized_side(self._preprocessing)
        size = MAX_RATIO * side**2 * self._preprocessing.channels
        with TemporaryFile(dir=IN_MEMORY if os.path.isdir(IN_MEMORY) else None) as file:
            file.write(bytes(size))  # now: without room for it a process would be killed later
            file.flush()
            self._pixels = np.frombuffer(mmap.mmap(file.fileno(), size), np.uint8)
            incoming, outgoing = os.pipe()  # of its own: whatever prints in the process is no answer
            self._answers = os.fdopen(incoming, "rb")
            try:
                self._process = subprocess.Popen(
                    COMMAND,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    pass_fds=[file.fileno(), outgoing],
                )
            finally:
                os.close(outgoing)
            told = {**asdict(self._preprocessing), "memory": file.fileno(), "bytes": size, "answers": outgoing}
        if not self.is_alive:  # it was closed meanwhile
            raise OSError("it is no longer needed")
        self._files.write(json.dumps(told).encode() + b"\n")

    def _shape_of(self, content: bytes) -> tuple[int, ...]:
        """The shape of the resized image in memory. Raises OSError or EOFError when the process has
        died."""
        self._files.write(LENGTH.pack(len(content)))
        self._files.write(content)
        self._files.flush()
        assert self._answers is not None
        answer = self._answers.read(SHAPE.size)
        if len(answer) < SHAPE.size:
            raise EOFError
        return SHAPE.unpack(answer)

    @property
    def _files(self) -> IO[bytes]:
        assert self._process is not None
        assert self._process.stdin is not None
        return self._process.stdin

    def close(self) -> None:
        self.is_alive = False
        process = self._process
        if process is not None:
            process.kill()  # first: nobody waits for it any more then
        for pipe in (None if process is None else process.stdin, self._answers):
            if pipe is not None:
                with suppress(OSError):  # what waits in it reaches nobody
                    pipe.close()
        if process is not None:
            process.wait()
