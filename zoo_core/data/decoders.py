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

COMMAND = [sys.executable, "-P", "-m", "zoo_core.data.decoding_process"]
IN_MEMORY = "/dev/shm"  # on Linux the files there are memory
MAX_RATIO = 4
"""How many times as long as wide a resized image may be that fits into the memory of a process."""


class Decoders:
    """So many processes, each started when it is first needed, that decode and resize images as this
    process would."""

    def __init__(self, preprocessing: Preprocessing, count: int) -> None:
        self._all = tuple(_Decoder(preprocessing) for _ in range(count))
        self._idle = deque(self._all)

    def resized(self, content: bytes) -> Pixels | None:
        """The resized image in the bytes of a file. None where the caller has to decode it: all
        processes are busy, this one has died, or the file is no image or a very long one."""
        try:
            decoder = self._idle.pop()
        except IndexError:
            return None
        try:
            return decoder.resized(content)
        finally:
            self._idle.append(decoder)

    def close(self) -> None:
        """End the processes."""
        for decoder in self._all:
            decoder.close()


class _Decoder:
    """One process, of which one thread at a time asks. Once it has died it decodes nothing more."""

    def __init__(self, preprocessing: Preprocessing) -> None:
        self._preprocessing = preprocessing
        self._process: subprocess.Popen[bytes] | None = None
        self._memory: mmap.mmap | None = None
        self._is_over = False

    def resized(self, content: bytes) -> Pixels | None:
        if self._is_over:
            return None
        try:
            if self._process is None:
                self._start()
            shape = self._shape_of(content)
        except (OSError, EOFError):
            self.close()
            return None
        if shape == NO_IMAGE or self._memory is None:
            return None
        return np.frombuffer(self._memory, np.uint8, math.prod(shape)).reshape(shape).copy()

    def _start(self) -> None:
        """Start the process with memory that it shares. Raises OSError where that cannot be."""
        if sys.platform == "win32":
            raise OSError("a process there inherits no file by its number")
        side, pipe = resized_side(self._preprocessing), subprocess.PIPE
        size = MAX_RATIO * side**2 * self._preprocessing.channels
        with TemporaryFile(dir=IN_MEMORY if os.path.isdir(IN_MEMORY) else None) as file:
            file.write(bytes(size))  # now: later, where there is no room, the processes would be killed
            file.flush()
            self._memory = mmap.mmap(file.fileno(), size)
            self._process = subprocess.Popen(
                COMMAND, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, pass_fds=[file.fileno()]
            )
            told = {**asdict(self._preprocessing), "file": file.fileno(), "bytes": size}
        self._files.write(json.dumps(told).encode() + b"\n")

    def _shape_of(self, content: bytes) -> tuple[int, ...]:
        """The shape of the resized image in memory. Raises OSError or EOFError of a dead process."""
        self._files.write(LENGTH.pack(len(content)))
        self._files.write(content)
        self._files.flush()
        assert self._process is not None
        assert self._process.stdout is not None
        answer = self._process.stdout.read(SHAPE.size)
        if len(answer) < SHAPE.size:
            raise EOFError
        return SHAPE.unpack(answer)

    @property
    def _files(self) -> IO[bytes]:
        assert self._process is not None
        assert self._process.stdin is not None
        return self._process.stdin

    def close(self) -> None:
        self._is_over = True
        if self._process is not None:
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    with suppress(OSError):  # what waits in it reaches nobody
                        pipe.close()
            self._process.kill()
            self._process.wait()
