"""Tries inputs in processes of their own, which are watched: a crash, a hang or a lack of memory ends one input."""

from __future__ import annotations

import json
import mmap
import multiprocessing
import os
import random
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
import warnings
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from fuzz.target import Case, Target
from zoo_core.errors import ZooError

FIRST_BLOCK, LARGEST_BLOCK = 25, 2000
"""Inputs of a target of weight 1 that one process tries: few at first, so that each target has its turn soon."""
HANG_SECONDS = 300  # without processor time, on a machine that is busy with other work
MAX_MESSAGE = 4000  # characters; a message that lists names may be long
PLACE = struct.Struct("q")
FORK = multiprocessing.get_context("fork")


class TooSlow(BaseException):
    """An input took more processor time than its target allows; no reader may catch this."""


@dataclass(frozen=True)
class Crash:
    """An input that was answered with neither a result nor a refusal, or wrongly."""

    target: str
    seed: int
    number: int
    error: str
    content: bytes | None = None
    """None where the process died: the input is made again from its number."""

    def save(self, folder: Path) -> Path:
        """Write the file that `--replay` takes."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"crash-{self.target.replace(' ', '-')}-{self.seed}-{self.number}.json"
        content = None if self.content is None else b64encode(self.content).decode()
        path.write_text(json.dumps({**vars(self), "content": content}, indent=1), encoding="utf-8", errors="replace")
        return path


@dataclass
class Tally:
    """The answers of one target."""

    inputs: int = 0
    accepted: int = 0
    crashes: list[Crash] = field(default_factory=list)
    seconds: float = 0.0
    slowest: float = 0.0
    mebibytes: float = 0.0

    def add(self, other: Tally) -> None:
        self.inputs += other.inputs
        self.accepted += other.accepted
        self.crashes += other.crashes
        self.seconds += other.seconds
        self.slowest = max(self.slowest, other.slowest)
        self.mebibytes = max(self.mebibytes, other.mebibytes)


@dataclass(frozen=True)
class Block:
    """The inputs `first` to `end` of a target."""

    target: Target
    seed: int
    first: int
    end: int


def blocks(targets: Sequence[Target], seed: int, inputs: int | None) -> Iterator[Block]:
    """The blocks of a run in turn, so that each target gets its share; without end where `inputs` is None."""
    total = sum(target.weight for target in targets)
    shares = {target.name: None if inputs is None else -(-inputs * target.weight // total) for target in targets}
    done = dict.fromkeys(shares, 0)
    size = FIRST_BLOCK
    while any(share is None or done[name] < share for name, share in shares.items()):
        for target in targets:
            first, share = done[target.name], shares[target.name]
            end = min(first + size * target.weight, first + size * target.weight if share is None else share)
            done[target.name] = end
            if end > first:
                yield Block(target, seed, first, end)
        size = min(2 * size, LARGEST_BLOCK)


def input_of(case: Case, target: str, seed: int, number: int) -> bytes:
    """The input of a number: the same on every machine."""
    chance = random.Random(f"{seed}/{target}/{number}")
    return case.damage(chance.choice(case.seeds), chance)


def run(
    work: Iterator[Block], *, jobs: int, until: float, tell: Callable[[dict[str, Tally]], None] = lambda tallies: None
) -> dict[str, Tally]:
    """Do the blocks, `jobs` at a time, until all are done or the clock (time.monotonic) says `until`."""
    tallies: dict[str, Tally] = {}
    children: list[Child] = []
    while True:
        while len(children) < jobs and time.monotonic() < until and (block := next(work, None)) is not None:
            children.append(Child(block))
        if not children:
            return tallies
        wait([child.answers for child in children], timeout=1)
        for child in list(children):
            tally = child.collect()
            if tally is None:
                continue
            children.remove(child)
            tallies.setdefault(child.block.target.name, Tally()).add(tally)
            if child.died_at is not None and child.died_at + 1 < child.block.end:
                rest = Block(child.block.target, child.block.seed, child.died_at + 1, child.block.end)
                children.append(Child(rest))
        tell(tallies)


class Child:
    """A process that does a block."""

    def __init__(self, block: Block) -> None:
        self.block = block
        self.died_at: int | None = None
        self._place = mmap.mmap(-1, PLACE.size)  # shared: the number of the input that is being tried
        PLACE.pack_into(self._place, 0, block.first)
        self._seen = (block.first, time.monotonic())
        self.answers, theirs = FORK.Pipe(duplex=False)
        self._process = FORK.Process(target=_work, args=(block, self._place, theirs))
        self._process.start()
        theirs.close()

    def collect(self) -> Tally | None:
        """The tally of a process that has ended, None while it works."""
        number = PLACE.unpack_from(self._place, 0)[0]
        if number != self._seen[0]:
            self._seen = (number, time.monotonic())
        if self.answers.poll():
            try:
                answer: Tally | str = self.answers.recv()
                self._process.join()
                if isinstance(answer, str):
                    raise RuntimeError(f"the target {self.block.target.name} cannot be opened: {answer}")
                return answer
            except EOFError:
                self._process.join()
                return self._died(number, f"the process ended with {_ending(self._process.exitcode)}")
        if time.monotonic() - self._seen[1] > HANG_SECONDS:
            self._process.kill()
            self._process.join()
            return self._died(number, f"hangs for {HANG_SECONDS} seconds")
        return None

    def _died(self, number: int, error: str) -> Tally:
        self.died_at = number
        crash = Crash(self.block.target.name, self.block.seed, number, error)
        return Tally(inputs=number + 1 - self.block.first, crashes=[crash])


def _ending(code: int | None) -> str:
    return signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"


def _work(block: Block, place: mmap.mmap, answers: Connection) -> None:
    """The main function of a child."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libraries in C complain there
    folder = Path(tempfile.mkdtemp(prefix="zoo-fuzz-"))
    try:
        tally = Tally()
        try:
            case = prepared(block.target, folder)
        except Exception:
            answers.send(traceback.format_exc())
            return
        before = _resident()
        for number in range(block.first, block.end):
            PLACE.pack_into(place, 0, number)
            content = input_of(case, block.target.name, block.seed, number)
            error = attempt(case, block.target, content, tally)
            if error is not None:
                tally.crashes.append(Crash(block.target.name, block.seed, number, error, content))
        tally.mebibytes = max(0.0, _most_resident() - before)
        answers.send(tally)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def warm_up(targets: Sequence[Target]) -> None:
    """Open each target once, so that processes find imported what it imports late."""
    for one in targets:
        with tempfile.TemporaryDirectory(prefix="zoo-fuzz-") as folder:
            _opened(one, Path(folder))


def prepared(target: Target, folder: Path) -> Case:
    """Open a target's case, then set its bounds on memory and time for this process."""
    case = _opened(target, folder)
    for seed in case.seeds:
        case.check(seed)
    signal.signal(signal.SIGPROF, _too_slow)
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        bound = pages * resource.getpagesize() + target.mebibytes * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (bound, resource.getrlimit(resource.RLIMIT_AS)[1]))
    return case


def _opened(target: Target, folder: Path) -> Case:
    os.environ["ZOO_CACHE"] = str(folder / "cache")
    warnings.simplefilter("error")  # a warning on the screen is nothing that a user can act on
    (folder / "case").mkdir()
    return target.open(folder / "case")


def attempt(case: Case, target: Target, content: bytes, tally: Tally) -> str | None:
    """Try one input. Returns the error of a crash or of a wrong answer, else None."""
    error = None
    started = time.process_time()
    signal.setitimer(signal.ITIMER_PROF, target.seconds)
    try:
        try:
            case.check(content)
            tally.accepted += 1
        except ZooError as refusal:
            error = _fault_of_message(str(refusal))
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
    except TooSlow:
        error = f"takes more than {target.seconds} seconds of the processor"
    except Exception as fault:
        error = f"{type(fault).__name__}: {fault!s:.300} ({_line_of(fault)})"
    taken = time.process_time() - started
    tally.inputs += 1
    tally.seconds += taken
    tally.slowest = max(tally.slowest, taken)
    return error


def _fault_of_message(text: str) -> str | None:
    """The fault of a refusal's message: it must be there, and of some length only. The command line escapes it."""
    return None if 0 < len(text) <= MAX_MESSAGE else f"a message of {len(text)} characters"


def _line_of(fault: BaseException) -> str:
    """The place in zoo's code, or else in any, that the traceback leads to."""
    lines, step = [], fault.__traceback__
    while step is not None:
        lines.append(f"{step.tb_frame.f_code.co_filename}:{step.tb_lineno}")
        step = step.tb_next
    ours = [line for line in lines if "zoo_core" in line]
    return "/".join((ours or lines)[-1].split("/")[-3:])


def _too_slow(signum: int, frame: Any) -> None:
    raise TooSlow


def _resident() -> float:
    """The memory that this process holds, in MiB."""
    if sys.platform != "linux":
        return _most_resident()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def _most_resident() -> float:
    """The most memory that this process has held, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
