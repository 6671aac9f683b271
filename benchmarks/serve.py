"""`zoo serve` under load, beside `zoo bench`: images a second, memory, malformed requests, a stop.

    python benchmarks/serve.py RUN IMAGES [--seconds 60] [--connections 64] [--requests 20000] [--small RUN]

RUN is a run directory, IMAGES a folder of JPEG files. Four measurements, each of a server process of its own:

    rate       so many connections ask for so many seconds; the images a second are compared with those that `zoo bench`
               measures for the same run before and after. Whoever asks takes time from the same cores: its share of the
               processor's time is told, and the rate that would be left to the server without it is not guessed. Beside
               it stands the processor's time of an image, which other programs on the machine hardly change
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
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from measuring import environment, in_child

ZOO = [sys.executable, "-m", "zoo_core"]
QUIETLY = {"OMP_WAIT_POLICY": "PASSIVE"}  # as `zoo` has it: threads that wait take no time


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


def benched(run: str, images: str) -> float:
    """Images a second of the format torch, by `zoo bench`."""
    with tempfile.TemporaryDirectory() as folder:
        command = [*ZOO, "bench", run, "--data", images, "--rounds", "5", "--json", "-o", f"{folder}/a.png"]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    rate: float = json.loads(done.stdout)["rows"][0]["images_per_second"]
    return rate


def core_seconds(run: str, images: str, seconds: float) -> float:
    """The processor's time of an image by `zoo bench`, which other programs on the machine hardly change."""
    return float(in_child(__file__, run, images, str(seconds), environment=QUIETLY)["core_seconds"])


def child(run: str, images: str, seconds: float) -> None:
    """Measure it in the way of a worker of `zoo bench`, in batches of 16."""
    from zoo_core import load
    from zoo_core.benching.worker import opened

    with tempfile.TemporaryDirectory() as folder:
        for number, path in enumerate(sorted(Path(images).rglob("*.jpg"))[:64]):
            (Path(folder) / f"{number:03}").write_bytes(path.read_bytes())
        how = asdict(load(run, device="cpu").preprocessing)
        model = opened({"images": folder, "preprocessing": how, "model": run, "device": "cpu"})
        model.batches(16, 2)
        before, start, rounds = time.process_time(), time.perf_counter(), 0
        while time.perf_counter() < start + seconds:
            model.batches(16, 20)
            rounds += 1
    print(json.dumps({"core_seconds": (time.process_time() - before) / (rounds * 320)}))


def measure_rate(run: str, images: str, connections: int, seconds: float) -> dict[str, Any]:
    requests = [request_of(path.read_bytes()) for path in sorted(Path(images).rglob("*.jpg"))[:256]]
    before, core_before = benched(run, images), core_seconds(run, images, 10)
    server = Server(run)
    load = Load(server.port, requests)
    asyncio.run(load.run(connections, most=4 * connections))  # one that does not count
    load.statuses.clear()
    load.times.clear()
    own, theirs, start = time.process_time(), server.seconds(), time.perf_counter()
    asyncio.run(load.run(connections, until=start + seconds))
    taken = time.perf_counter() - start
    own, theirs = time.process_time() - own, server.seconds() - theirs
    code = server.stop()
    after, core_after = benched(run, images), core_seconds(run, images, 10)
    core = statistics.mean((core_before, core_after))
    rate = len(load.times) / taken
    return {
        "bench_before": before,
        "bench_after": after,
        "served": rate,
        "share_of_bench": rate / statistics.mean((before, after)),
        "core_ms_of_bench": [1000 * core_before, 1000 * core_after],
        "core_ms_of_server": 1000 * theirs / len(load.times),
        "core_share_of_bench": core / (theirs / len(load.times)),
        "statuses": dict(load.statuses),
        "median_ms": 1000 * statistics.median(load.times),
        "p99_ms": 1000 * statistics.quantiles(load.times, n=100)[-1],
        "load_generator_cpu_share": own / (own + theirs),
        "cores_of_server": theirs / taken,
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
    return {
        "statuses": {str(name): count for name, count in statuses.items()},
        "tracebacks_in_log": server.text().count("Traceback"),
        "sound_request_after": dict(sound.statuses),
        "exit_code": code,
    }


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
    return {"statuses": {str(name): count for name, count in load.statuses.items()}, "exit_code": server.stop()}


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure `zoo serve` under load.")
    parser.add_argument("run")
    parser.add_argument("images")
    parser.add_argument("--seconds", type=float, default=60, help="of the load (default 60)")
    parser.add_argument("--connections", type=int, default=64, help="default 64")
    parser.add_argument("--requests", type=int, default=20_000, help="of the measurement of memory (default 20000)")
    parser.add_argument("--small", help="run for it (RUN)")
    parser.add_argument("--only", help="one of rate, stop, malformed, memory")
    if sys.argv[1:2] == ["--child"]:
        run, images, seconds = sys.argv[2:]
        child(run, images, float(seconds))
        return
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
        if arguments.only not in (None, name):
            continue
        print(json.dumps({name: work()}), flush=True)


if __name__ == "__main__":
    main()
