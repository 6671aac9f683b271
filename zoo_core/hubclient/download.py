"""The content of any http(s) address, by the Hub's guarded client; the token stays at home."""

from __future__ import annotations

from typing import Any

from zoo_core.errors import HubError
from zoo_core.hubclient.client import attempt, guarded_api, offline, scrubbed
from zoo_core.hubclient.guard import guarded_client, origin_of


def download(address: str, *, most: int) -> bytes:
    """The bytes at an address, after at most a few redirects. Raises HubError, also for more than
    `most` bytes."""
    subject = scrubbed(address)
    if offline():
        raise HubError(f"{subject}: HF_HUB_OFFLINE forbids the network.")
    guarded_api()  # the settings of the Hub's client
    with guarded_client() as client:
        try:
            place = origin_of(client.build_request("GET", address).url)
        except Exception as error:  # of the client's HTTP library, whose types differ by version
            raise HubError(f"{subject}: is no address ({error}).") from error

        def ask() -> bytes:
            answer: Any = client.get(address, follow_redirects=True)
            answer.raise_for_status()
            content: bytes = answer.content
            return content

        return attempt(subject, ask, place=place, most=most)
