"""The images in the body of a request: a file itself, a form with files, or JSON with base64."""

from __future__ import annotations

import base64
import binascii
import json
from email.message import Message
from email.utils import collapse_rfc2231_value
from typing import Any
from urllib.parse import unquote_to_bytes

from zoo_serve.limits import Limits, Refusal

KINDS = "an image file as it is, a form with files (multipart/form-data), or JSON with base64"
PLAIN = ("", "application/octet-stream", "application/x-www-form-urlencoded")  # of curl --data-binary


def images_in(content_type: str, body: bytes, limits: Limits) -> tuple[list[bytes], list[str]]:
    """The bytes of each image and its name. Raises Refusal."""
    kind, boundary = _kind(content_type)
    if kind == "multipart/form-data":
        images, names = _in_form(body, boundary)
    elif kind == "application/json":
        images, names = _in_json(parsed(body))
    elif kind.startswith("image/") or kind in PLAIN:
        images, names = [body], ["the image"]
    else:
        raise Refusal(415, f"'{printable(kind)}' is no type that is read here. Send {KINDS}.")
    check_count(len(images), limits)
    return images, names


def check_count(images: int, limits: Limits) -> None:
    """Raise Refusal unless a request has one image, or several and not too many."""
    if not images:
        raise Refusal(400, f"there is no image in the request. Send {KINDS}.")
    if images > limits.max_images:
        raise Refusal(413, f"the request has {images} images, and {limits.max_images} are the most.")


def parsed(body: bytes) -> Any:
    """The JSON value of a body. Raises Refusal."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        where = f" (line {error.lineno}, column {error.colno})" if isinstance(error, json.JSONDecodeError) else ""
        raise Refusal(400, f"the body is no JSON{where}.") from None


def from_base64(text: Any, name: str) -> bytes:
    """The bytes of an image as text, also of a data URL. Raises Refusal."""
    if not isinstance(text, str):
        raise Refusal(400, f"{name} is no text: give the bytes of an image file in base64.")
    if text.startswith("data:"):
        head, comma, text = text.partition(",")
        if not comma or not head.endswith(";base64"):
            return unquote_to_bytes(text) if comma else b""
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (ValueError, binascii.Error):
        raise Refusal(400, f"{name} is no base64.") from None


def printable(text: str) -> str:
    """A text of a stranger, short and without what could steer a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:100])


def _kind(content_type: str) -> tuple[str, str | None]:
    head = Message()
    head["Content-Type"] = content_type.replace("\n", " ").replace("\r", " ") or "application/octet-stream"
    boundary = head.get_boundary()
    return head.get_content_type() if "/" in content_type else "", boundary


def _in_json(value: Any) -> tuple[list[bytes], list[str]]:
    """{"image": base64}, {"images": [base64, ...]}."""
    if not isinstance(value, dict) or ("image" in value) == ("images" in value):
        raise Refusal(400, 'the JSON is {"image": BASE64} or {"images": [BASE64, ...]}.')
    if "image" in value:
        return [from_base64(value["image"], "the image")], ["the image"]
    if not isinstance(value["images"], list):
        raise Refusal(400, '"images" is no list of texts in base64.')
    names = [f"image {number}" for number in range(len(value["images"]))]
    return [from_base64(text, name) for text, name in zip(value["images"], names, strict=True)], names


def _in_form(body: bytes, boundary: str | None) -> tuple[list[bytes], list[str]]:
    """The files of a form, whatever their fields are called. Fields without a file are passed
    over."""
    if not boundary:
        raise Refusal(400, "the form has no boundary in its Content-Type.")
    pieces = (b"\r\n" + body).split(b"\r\n--" + boundary.encode("utf-8", "surrogateescape"))
    if len(pieces) < 2 or not pieces[-1].startswith(b"--"):
        raise Refusal(400, "the form is cut off: its last boundary is missing.")
    images, names = [], []
    for piece in pieces[1:-1]:
        head, gap, content = piece.partition(b"\r\n\r\n")
        if not gap:
            raise Refusal(400, "a part of the form has no end of its header.")
        name = _file_name(head)
        if name is not None:
            images.append(content)
            names.append(name)
    return images, names


def _file_name(head: bytes) -> str | None:
    """The name of the file that a part of a form holds, None of a plain field."""
    for line in head.decode("utf-8", "replace").split("\r\n"):
        if line.lower().startswith("content-disposition:"):
            fields = Message()
            fields["Content-Disposition"] = line.partition(":")[2].strip()
            given = fields.get_params([], header="Content-Disposition")
            names = [value for key, value in given if key.lower() == "filename"]
            if not names:
                return None
            told = next((one for one in names if isinstance(one, tuple)), names[0])  # one with a charset counts first
            return printable(collapse_rfc2231_value(told)) or "the image"
    return None
