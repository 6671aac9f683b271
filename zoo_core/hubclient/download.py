"""The content of any http(s) address, by the Hub's guarded client; no token goes with it."""

from __future__ import annotations

import time
from typing import Any

from zoo_core.errors import HubError, SilentError
from zoo_core.hubclient.client import REMEMBER_SECONDS, attempt, guarded_api, offline, scrubbed
from zoo_core.hubclient.guard import guarded_client, origin_of

INSTEAD = "Or download it in another way and give the file."
_silent: dict[str, float] = {}
"""Servers that were silent, each with the time until which it is not asked again."""


def download(address: str, *, most: int) -> bytes:
    """The bytes at an address.

    Raises HubError with a next step, also for more than `most` bytes. A server that is silent is
    not asked again for a minute: a list may have hundreds of its addresses.
    """
    subject = scrubbed(address)
    if offline():
        raise HubError(f"{subject}: HF_HUB_OFFLINE forbids the network.")
    guarded_api()  # the settings of the Hub's client
    with guarded_client() as client:
        try:
            place = origin_of(client.build_request("GET", address).url)
        except Exception as error:  # of the client's HTTP library, whose types differ by version
            raise HubError(f"{subject}: this is not an address ({error}).") from error
        if time.monotonic() < _silent.get(place, 0):
            raise SilentError(f"{subject}: {place} did not answer a moment ago. {INSTEAD}")

        def ask() -> bytes:
            answer: Any = client.get(address, follow_redirects=True)
            answer.raise_for_status()
            content: bytes = answer.content
            return content

        try:
            return attempt(subject, ask, place=place, most=most)
        except HubError as error:
            if isinstance(error, SilentError):
                _silent[place] = time.monotonic() + REMEMBER_SECONDS
            raise type(error)(f"{error} {INSTEAD}") from None
