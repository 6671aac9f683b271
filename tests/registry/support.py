"""An entry of the registry, and indexes of entries."""

from __future__ import annotations

import json
from typing import Any

from zoo_core.registry.index import BUNDLED


def entry(distribution: str = "zoo-mini", **fields: Any) -> dict[str, Any]:
    """An entry with one version, which has `fields` besides its own."""
    version = {
        "version": "1.0",
        "zoo": ">=0.1",
        "hook_api": ">=1",
        "install": f"{distribution}==1.0",
        "backbones": [
            {
                **{"name": "mini", "family": "minis", "year": 2026, "params": 1000, "gmacs": 0.5, "size": 32},
                "features": "map",
                "weights": [{"tag": "a", "licence": "cc-by-nc-4.0", "top1": 71.5, "imagenet": True}],
            },
            "mini-plain",
        ],
        "verified": [{"zoo": "0.2", "date": "2026-11-26", "checks": 34, "failed": 0, "declared": 1}],
        **fields,
    }
    summary = {"summary": "a small network", "licence": "MIT", "links": {"source": "https://example.org/zoo-mini"}}
    return {"distribution": distribution, **summary, "versions": [version]}


def index_of(*entries: Any, date: str | None = None, shape: int = 2) -> bytes:
    """An index of the same day as zoo's own, which it then goes before."""
    date = date or json.loads(BUNDLED.read_text(encoding="utf-8"))["date"]
    return json.dumps({"version": shape, "date": date, "plugins": entries}).encode()
