"""Metrics in the text format of Prometheus, version 0.0.4."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from pathlib import Path

from zoo_serve.engine import Counts

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds


class Metrics:
    """The counters of a server."""

    def __init__(self, model: str, counts: Counts) -> None:
        self.model, self.counts = model, counts
        self.requests: Counter[tuple[str, int]] = Counter()
        self.below = [0] * len(BUCKETS)
        self.seconds, self.answered = 0.0, 0
        self.started = time.time()

    def add(self, path: str, status: int, seconds: float) -> None:
        """Count a request; its time counts where it was answered."""
        self.requests[path, status] += 1
        if status != 200:
            return
        self.answered += 1
        self.seconds += seconds
        for place, bound in enumerate(BUCKETS):
            self.below[place] += seconds <= bound

    def text(self) -> str:
        """All figures."""
        model = self.model.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
        lines = [
            "# TYPE zoo_model_info gauge",
            f'zoo_model_info{{model="{model}"}} 1',
            "# TYPE zoo_requests_total counter",
            *(
                f'zoo_requests_total{{path="{path}",status="{status}"}} {count}'
                for (path, status), count in sorted(self.requests.items())
            ),
            "# TYPE zoo_request_seconds histogram",
            *(
                f'zoo_request_seconds_bucket{{le="{bound:g}"}} {count}'
                for bound, count in zip(BUCKETS, self.below, strict=True)
            ),
            f'zoo_request_seconds_bucket{{le="+Inf"}} {self.answered}',
            f"zoo_request_seconds_sum {self.seconds:.6f}",
            f"zoo_request_seconds_count {self.answered}",
        ]
        figures = {
            ("zoo_images_total", "counter"): self.counts.images,
            ("zoo_batches_total", "counter"): self.counts.batches,
            ("zoo_images_waiting", "gauge"): self.counts.pending,
            ("process_start_time_seconds", "gauge"): round(self.started, 3),
            ("process_resident_memory_bytes", "gauge"): _resident_bytes(),
        }
        for (name, kind), value in figures.items():
            if value is not None:
                lines += [f"# TYPE {name} {kind}", f"{name} {value}"]
        return "\n".join(lines) + "\n"


def _resident_bytes() -> int | None:
    if not sys.platform.startswith("linux"):
        return None
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
