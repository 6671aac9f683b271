"""`zoo serve` under load, beside `zoo bench`: images a second, memory, malformed requests, a stop.

    python benchmarks/serve.py RUN IMAGES [--seconds 60] [--connections 64] [--requests 20000] [--small RUN]

RUN is a run directory, IMAGES a folder of JPEG files. Four measurements, each of a server process of its own:

    rate       so many connections ask for so many seconds, in turns with a process of `zoo bench` that computes the same run
               in its best batch: the median of the turns' ratios holds on a busy machine. Whoever asks takes time from the
               same cores: its share of the processor's time is told, and the rate that would be left to the server without
               it is not guessed
    memory     so many requests to a small run (--small); the resident memory after every tenth of them
    malformed  1,000 spoilt requests: none may be answered with a status from 500 on
    stop       SIGTERM under load: every request that was sent on an accepted connection must be answered
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import zoo_core
from measuring import environment
from zoo_core.benching.process import Asked, Worker
from zoo_core.devices.cores import WAITING

ZOO = [sys.executable, "-m", "zoo_core"]
TURNS = 8


class Server:
    """A server process."""

    def __init__(self, run: str) -> None:
        self.log = tempfile.NamedTemporaryFile("w+", suffix=".log")  # noqa: SIM115  # read until the end
        self.process = subprocess.Popen([*ZOO, "serve", run, "--port", "0"], stderr=self.log)
        while (found := re.search(r"127.0.0.1:(\d+)/predict", self.text())) is None:
            if self.process.poll() is not None:
                raise SystemExit(self.text())
            time.sleep(0.1)
        self.port = int(found[1])

    def text(self) -> str:
        return Path(self.log.name).read_text()

    def resident_mb(self) -> float:
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def seconds(self) -> float:
        """The processor's time that it has taken."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def request_of(body: bytes, headers: str = "", path: str = "/predict") -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: a\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def answer_of(reader: asyncio.StreamReader) -> tuple[int, bool, bytes]:
    """The status of an answer, whether the connection closes, and the body."""
    head = await reader.readuntil(b"\r\n\r\n")
    told = re.search(rb"content-length: (\d+)", head)
    body = await (reader.readexactly(int(told[1])) if told else reader.read())
    return int(head[9:12]), b"connection: close" in head, body


class Load:
    """Connections that ask one request after another."""

    def __init__(self, port: int, requests: list[bytes]) -> None:
        self.port, self.requests = port, requests
        self.statuses: Counter[Any] = Counter()
        self.times: list[float] = []
        self.left: float = 0

    async def run(self, connections: int, *, until: float = float("inf"), most: float = float("inf")) -> None:
        self.left = most
        await asyncio.gather(*(self._ask(number, until) for number in range(connections)))

    async def _ask(self, number: int, until: float) -> None:
        turn = number
        while time.perf_counter() < until and self.left > 0:
            try:
                async with connected(self.port) as (reader, writer):
                    closes = False
                    while not closes and time.perf_counter() < until and self.left > 0:
                        self.left -= 1
                        turn += 1
                        start = time.perf_counter()
                        writer.write(self.requests[turn % len(self.requests)])
                        try:
                            status, closes, _ = await answer_of(reader)
                        except (OSError, asyncio.IncompleteReadError) as error:
                            self.statuses[f"lost ({type(error).__name__})"] += 1
                            return
                        self.statuses[status] += 1
                        self.times.append(time.perf_counter() - start)
            except ConnectionRefusedError:
                self.statuses["refused"] += 1
                return


def best_batch(run: str, images: str) -> int:
    """The batch that `zoo bench` finds the fastest for the format torch."""
    with tempfile.TemporaryDirectory() as folder:
        command = [*ZOO, "bench", run, "--data", images, "--rounds", "3", "--json", "-o", f"{folder}/a.png"]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    batch: int = json.loads(done.stdout)["rows"][0]["batch"]
    return batch


@contextmanager
def bench_worker(run: str, paths: list[Path]) -> Iterator[Worker]:
    """A process of `zoo bench` that has the run open and the images of these files."""
    os.environ.update(WAITING)  # as `zoo` has it
    with tempfile.TemporaryDirectory() as folder:
        for number, path in enumerate(paths):
            (Path(folder) / f"{number:03}").write_bytes(path.read_bytes())
        how = zoo_core.load(run, device="cpu").preprocessing
        worker = Worker(Asked.of(run, "torch", "cpu", Path(folder), how, [], model=run), None)
        try:
            yield worker
        finally:
            worker.close()


def measure_rate(run: str, images: str, connections: int, seconds: float) -> dict[str, Any]:
    paths = sorted(Path(images).rglob("*.jpg"))[:256]
    batch, turns = best_batch(run, images), []
    with bench_worker(run, paths) as worker:
        server = Server(run)
        load = Load(server.port, [request_of(path.read_bytes()) for path in paths])
        asyncio.run(load.run(connections, most=4 * connections))  # one that does not count
        load.statuses.clear()
        worker.ask("throughput", batch=batch, seconds=seconds / TURNS)  # the same
        own, theirs, times = 0.0, 0.0, []
        for _ in range(TURNS):
            benched = worker.ask("throughput", batch=batch, seconds=seconds / TURNS)["rate"]
            load.times.clear()
            before, server_before, start = time.process_time(), server.seconds(), time.perf_counter()
            asyncio.run(load.run(connections, until=start + seconds / TURNS))
            turns.append((len(load.times) / (time.perf_counter() - start), benched))
            own, theirs = own + time.process_time() - before, theirs + server.seconds() - server_before
            times += load.times
        code = server.stop()
    return {
        "batch_of_bench": batch,
        "server": server.text().splitlines()[0],
        "served_and_benched": turns,
        "share_of_bench": statistics.median(served / benched for served, benched in turns),
        "core_ms_of_server": 1000 * theirs / len(times),
        "statuses": dict(load.statuses),
        "median_ms": 1000 * statistics.median(times),
        "p99_ms": 1000 * statistics.quantiles(times, n=100)[-1],
        "load_generator_cpu_share": own / (own + theirs),
        "exit_code": code,
    }


def measure_memory(run: str, images: str, connections: int, count: int) -> dict[str, Any]:
    server = Server(run)
    requests = [request_of(path.read_bytes()) for path in sorted(Path(images).rglob("*.jpg"))[:64]]
    load, resident = Load(server.port, requests), []
    start = time.perf_counter()
    for _ in range(10):
        asyncio.run(load.run(connections, most=count // 10))
        resident.append(round(server.resident_mb(), 1))
    taken = time.perf_counter() - start
    return {"statuses": dict(load.statuses), "resident_mb": resident, "seconds": taken, "exit_code": server.stop()}


def spoilt(images: str, count: int) -> list[bytes]:
    """Requests of which none is sound."""
    chance = random.Random(0)
    photos = [path.read_bytes() for path in sorted(Path(images).rglob("*.jpg"))[:20]]
    found = []
    for number in range(count):
        photo = chance.choice(photos)
        noise = chance.randbytes(chance.randrange(1, 2000))
        match number % 8:
            case 0:
                found.append(request_of(photo[: chance.randrange(1, len(photo) // 2)]))
            case 1:
                found.append(request_of(noise))
            case 2:
                found.append(request_of(noise, "Content-Type: application/json\r\n"))
            case 3:
                found.append(request_of(noise, "Content-Type: multipart/form-data; boundary=a\r\n"))
            case 4:
                found.append(
                    request_of(b'{"image": "%s"}' % noise.hex()[:99].encode(), "Content-Type: application/json\r\n")
                )
            case 5:
                found.append(request_of(photo, "Content-Type: text/x-" + noise.hex()[:30] + "\r\n"))
            case 6:
                found.append(request_of(photo, path="/" + noise.hex()[:200]))
            case 7:
                found.append(noise + b"\r\n\r\n")
    return found


async def _spoil(port: int, requests: list[bytes]) -> Counter[Any]:
    statuses: Counter[Any] = Counter()
    for content in requests:
        async with connected(port) as (reader, writer):
            writer.write(content)
            if not content.startswith(b"POST"):
                writer.write_eof()  # it would be waited for
            try:
                status, _, body = await answer_of(reader)
                statuses[status] += 1
                statuses["traceback"] += b"Traceback" in body
            except (OSError, asyncio.IncompleteReadError):
                statuses["closed"] += 1
    return statuses


def measure_malformed(run: str, images: str) -> dict[str, Any]:
    server = Server(run)
    statuses = asyncio.run(_spoil(server.port, spoilt(images, 1000)))
    sound = Load(server.port, [request_of(next(Path(images).rglob("*.jpg")).read_bytes())])
    asyncio.run(sound.run(1, most=1))
    code = server.stop()
    after = {"tracebacks_in_log": server.text().count("Traceback"), "sound_request_after": dict(sound.statuses)}
    return {"statuses": dict(statuses), **after, "exit_code": code}


def measure_stop(run: str, images: str, connections: int) -> dict[str, Any]:
    server = Server(run)
    requests = [request_of(path.read_bytes()) for path in sorted(Path(images).rglob("*.jpg"))[:64]]
    load = Load(server.port, requests)

    async def stopped() -> None:
        work = asyncio.create_task(load.run(connections))
        await asyncio.sleep(3)
        server.process.send_signal(signal.SIGTERM)
        await work

    asyncio.run(stopped())
    return {"statuses": dict(load.statuses), "exit_code": server.stop()}


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure `zoo serve` under load.")
    parser.add_argument("run")
    parser.add_argument("images")
    parser.add_argument("--seconds", type=float, default=60, help="of the load (default 60)")
    parser.add_argument("--connections", type=int, default=64, help="default 64")
    parser.add_argument("--requests", type=int, default=20_000, help="of the measurement of memory (default 20000)")
    parser.add_argument("--small", help="run for it (RUN)")
    parser.add_argument("--only", help="one of rate, stop, malformed, memory")
    arguments = parser.parse_args()
    print(environment("torch", "uvicorn", "pillow"), flush=True)
    run, images, connections = arguments.run, arguments.images, arguments.connections
    works: dict[str, Callable[[], dict[str, Any]]] = {
        "rate": lambda: measure_rate(run, images, connections, arguments.seconds),
        "stop": lambda: measure_stop(run, images, connections),
        "malformed": lambda: measure_malformed(run, images),
        "memory": lambda: measure_memory(arguments.small or run, images, connections, arguments.requests),
    }
    for name, work in works.items():
        if arguments.only in (None, name):
            print(json.dumps({name: work()}), flush=True)


if __name__ == "__main__":
    main()
