"""Answers of the Hub, through its own client with zoo's guards; only the wire is the fuzzer's."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

from fuzz.mutations import damaged, damaged_json
from fuzz.target import Case, expect, target
from zoo_core.hub.publish import Place, _head, _holds
from zoo_core.hub.search import search
from zoo_core.hubclient import client
from zoo_core.hubclient.guard import COMMIT, SHA256
from zoo_core.hubclient.pull import _resolve

HEAD = "200\ncontent-type: application/json\nx-request-id: r"
MODEL: dict[str, Any] = {
    **{"id": "a/b", "tags": ["zoo"], "downloads": 3, "pipeline_tag": "image-classification", "private": False},
    "lastModified": "2026-01-01T00:00:00.000Z",
    "cardData": {
        **{"zoo": {"backbone": "net", "head": "linear"}, "license": "mit", "library_name": "zoo", "tags": ["zoo"]},
        "model-index": [
            {
                "name": "b",
                "results": [
                    {
                        "task": {"type": "image-classification"},
                        "dataset": {"name": "d", "type": "d"},
                        "metrics": [{"type": "accuracy", "value": 0.5}],
                    }
                ],
            }
        ],
    },
}
REPOSITORY: dict[str, Any] = {
    **{"id": "a/b", "sha": "0" * 40, "lastModified": "2026-01-01T00:00:00.000Z", "private": False, "disabled": False},
    "siblings": [
        {"rfilename": "config.json", "blobId": "1" * 40, "size": 3},
        {
            **{"rfilename": "model.safetensors", "blobId": "2" * 40, "size": 10},
            "lfs": {"sha256": "3" * 64, "size": 10, "pointerSize": 1},
        },
        {"rfilename": "README.md", "blobId": "4" * 40, "size": 3},
    ],
    **{"gated": False, "cardData": MODEL["cardData"], "safetensors": {"parameters": {"F32": 3}, "total": 3}},
    **{"config": {"model_type": "x"}, "transformersInfo": {"auto_model": "x"}, "spaces": ["a/c"], "tags": ["zoo"]},
}


def answering(answer: Callable[[], bytes]) -> None:
    """Let the Hub's client get this answer to every request: a status, headers, an empty line and a body."""
    import huggingface_hub
    from huggingface_hub.utils._http import get_session

    client.guarded_api()
    session = get_session()
    library = __import__(type(session).__module__.partition(".")[0])

    def respond(request: Any) -> Any:
        head, _, body = answer().partition(b"\n\n")
        status, *headers = head.split(b"\n")
        pairs = [line.partition(b":")[::2] for line in headers]
        try:
            return library.Response(
                int(status),
                headers=[(name.strip(), value.strip()) for name, value in pairs],
                stream=library.ByteStream(body),
            )
        except (ValueError, TypeError) as error:  # an answer that no HTTP library lets pass
            raise library.RemoteProtocolError(f"no answer: {error}", request=request) from None

    session._transport = library.MockTransport(respond)
    session._mounts = {}
    patch.object(huggingface_hub, "set_client_factory", lambda factory: None).start()
    patch.object(client, "PAUSES", (0, 0)).start()
    patch.object(client, "wait_asked", lambda response: 0).start()


def damaged_answer(content: bytes, chance: random.Random) -> bytes:
    """Other JSON in an answer, or, one time in four, a damaged head or a page that another follows."""
    head, _, body = content.partition(b"\n\n")
    if chance.random() < 3 / 4:
        return head + b"\n\n" + damaged_json(body, chance)
    if chance.random() < 1 / 3:
        link = b'\nlink: <http://127.0.0.1:9/api/models?cursor=x>; rel="next"'
        return head + link + b"\n\n" + chance.choice([body, b"[]", b"{}", damaged_json(body, chance)])
    status, newline, rest = head.partition(b"\n")
    return status + newline + damaged(rest, chance) + b"\n\n" + body


class _Wire:
    """The answer that comes next."""

    def __init__(self) -> None:
        self.content = b""
        answering(lambda: self.content)


@target("Hub search", weight=1)
def hub_search(folder: Path) -> Case:
    """One odd model spoils nothing: the others are listed as their cards describe them."""
    wire = _Wire()
    others = [{**MODEL, "id": f"a/other{number}"} for number in range(2)]

    def check(content: bytes) -> None:
        head, _, body = content.partition(b"\n\n")
        whole = body
        try:
            odd = json.loads(body)
            whole = json.dumps([others[0], odd, others[1]]).encode()
        except (ValueError, RecursionError):
            odd = None
        wire.content = head + b"\n\n" + whole
        found = {one.repo: one for one in search(None, limit=10)}
        if odd is not None and head == HEAD.encode():
            for other in others:
                one = found.get(other["id"])
                expect(
                    one is not None and (one.backbone, one.accuracy, one.downloads) == ("net", 0.5, 3),
                    "a model is lost",
                )
        for one in found.values():
            texts = (one.repo, one.backbone or "", one.task or "")
            expect(all(text.isprintable() for text in texts), f"a text that steers a terminal: {texts!a}")
            expect(one.accuracy is None or 0 <= one.accuracy <= 1, f"the accuracy {one.accuracy}")

    return Case(((HEAD + "\n\n" + json.dumps(MODEL)).encode(),), check, damaged_answer)


@target("Hub repository", weight=1)
def hub_repository(folder: Path) -> Case:
    """Commit, hashes and sizes are those of the answer, or the repository is not used."""
    wire = _Wire()
    (folder / "README.md").write_text("other")

    def check(content: bytes) -> None:
        wire.content = content
        client._unreachable.clear()
        commit, stated = _resolve("a/b", ["config.json", "model.safetensors"], ["README.md"], None, "hf:a/b")
        answer = json.loads(content.partition(b"\n\n")[2])
        expect(COMMIT.fullmatch(commit) is not None and commit == answer["sha"], "another commit")
        files = {str(one["rfilename"]): one for one in answer["siblings"]}
        for name, facts in stated.items():
            own, large = files[name], files[name].get("lfs")
            expect(facts.size == own["size"], f"another size of {name}")
            expect(facts.sha256 is None or SHA256.fullmatch(facts.sha256) is not None, f"no hash of {name}")
            expect(facts.sha256 == (large["sha256"] if large else None), f"another sha256 of {name}")
        place = Place("a/b", "a commit")
        head = _head(client.guarded_api(), place)
        expect(
            head is not None and not _holds(head, place, {"README.md": folder / "README.md"}),
            "a file that is not there",
        )

    return Case(((HEAD + "\n\n" + json.dumps(REPOSITORY)).encode(),), check, damaged_answer)
