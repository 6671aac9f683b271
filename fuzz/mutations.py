"""Ways to damage a file. All chance comes from the generator that is handed in, so a number names an input."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Sequence
from typing import Any
from zlib import crc32

INJECTION = "](//evil.example) <evil> <!--evil `x` **b** | y\r\n# evil\n---\nevil: 1\n---\n\u2028# evil"
"""A text that would be a link, a tag, a comment, a heading or the end of a header, if it stood in a card as it is."""
EDGES = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1]
ODD_VALUES: list[Any] = [
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 10**30, 0.5, -0.0, 1e308, float("nan"), float("inf")),
    *(
        "",
        "x",
        "\x00\x1b[2J",
        "\ud800",
        "../../etc/passwd",
        "os:system",
        INJECTION,
        "a" * 20_000,
        [],
        {},
        [[]],
        {"": None},
    ),
]
ODD_CELLS = [
    *(b"", b"../x", b"/etc/passwd", b'"', b'""', b"a\0b", b"nan", b"inf", b"1_0", b"9" * 400, b"-0", b"1e400", b"0x1"),
    *(b"|||", b"a|b", b"\xff", b"path", b"label", b"train", b"Val", b"x" * 140_000, b"C:\\x", b"a/../a/0.png", b"1,5"),
    *(b"a//0.png", b"./a/0.png", b"a\\0.png", b"a", b"a/0.png", b"a/1.png", b"\x1b[2J", b" cat", b"Cat", b"0", b"1"),
    *(
        b"caf\xc3\xa9",
        b"cafe\xcc\x81",
        b"True",
        b"2.5",
        b"1e3",
        b'"a\nb"',
        *map(str.encode, ("\u0663", "\u202e", "\ufeff")),
    ),
]
ODD_PIECES = [
    *(
        ":",
        ",",
        "=",
        "+",
        " ",
        "-1",
        "1e400",
        "nan",
        "inf",
        "9" * 5000,
        "\u0663",
        "_",
        "none",
        "None",
        "true",
        "..",
        "\0",
    ),
    *(
        "{0..99999999999}",
        "{9..0}",
        "\x1b[2J",
        "0x1",
        "1.",
        ".5",
        "+" * 3000,
        '"',
        "'",
        "{",
        "}",
        "*",
        "[",
        "]",
        "[[",
        "\n",
    ),
    *('"""', "#", "\\u0000", "1979-05-27", "0o7", "''", "= 1\n", "\r", "\ufffd"),
]
TAR_FIELDS = (0, 100, 108, 116, 124, 136, 156, 157, 257, 265, 345, 482, 483)  # where a header's fields begin
ODD_FIELDS = [
    *(b"\0", b"7" * 12, b"\x80" + b"\xff" * 11, b"-1", b"L", b"K", b"S", b"x", b"g", b" " * 8, b"99999999999", b"/.."),
]
MOST_STEPS = 4
DEEPEST = 12  # a run's facts are six deep

Mutation = Callable[[bytearray, random.Random], None]


def damaged(content: bytes, chance: random.Random) -> bytes:
    """One to four steps of damage."""
    data = bytearray(content)
    for _ in range(chance.randint(1, MOST_STEPS)):
        chance.choice(STEPS)(data, chance)
    return bytes(data)


def damaged_json(content: bytes, chance: random.Random) -> bytes:
    """Another value somewhere in it, or, one time in three, damaged bytes."""
    if chance.random() < 1 / 3:
        return damaged(content, chance)
    lines = [json.loads(line) for line in _documents(content)]
    for _ in range(chance.randint(1, MOST_STEPS)):
        holder, key = chance.choice(_places(lines))
        action = chance.random()
        if action < 0.2 and isinstance(holder, dict):
            holder.pop(key)
        elif action < 0.3 and isinstance(holder, dict):
            holder[str(chance.choice(ODD_VALUES))[:20]] = holder[key]
        else:
            holder[key] = _odd(chance)
        if not _places(lines):
            break
    return "\n".join(json.dumps(line) for line in lines).encode()


def damaged_png(content: bytes, chance: random.Random) -> bytes:
    """A PNG file of which one chunk is damaged and has a check sum that fits, or damaged anywhere."""
    if chance.random() < 1 / 3:
        return damaged(content, chance)
    chunks, position = [], 8
    while position < len(content):
        length = int.from_bytes(content[position : position + 4], "big")
        chunks.append((content[position + 4 : position + 8], content[position + 8 : position + 8 + length]))
        position += 12 + length
    chosen = chance.randrange(len(chunks))
    kind, data = chunks[chosen]
    chunks[chosen] = (kind, damaged(data, chance))
    written = (
        len(data).to_bytes(4, "big") + kind + data + crc32(kind + data).to_bytes(4, "big") for kind, data in chunks
    )
    return content[:8] + b"".join(written)


def damaged_header(content: bytes, chance: random.Random) -> bytes:
    """A safetensors file whose header is damaged and whose length still fits it, or damaged anywhere."""
    if chance.random() < 1 / 3:
        return damaged(content, chance)
    length = int.from_bytes(content[:8], "little")
    header = damaged_json(content[8 : 8 + length], chance)
    return len(header).to_bytes(8, "little") + header + content[8 + length :]


def damaged_index(content: bytes, chance: random.Random) -> bytes:
    """An index of the cache (zoo_core/json_index.py), damaged anywhere, or with other entries and their checksum."""
    if chance.random() < 1 / 2:
        return damaged(content, chance)
    head, _, entries = content.partition(b"\n")
    other = damaged_json(entries, chance).replace(b"\n", b"")
    return json.dumps({**json.loads(head), "crc32": crc32(other)}).encode() + b"\n" + other


def damaged_table(content: bytes, chance: random.Random) -> bytes:
    """A table with other cells, rows, delimiters or a header in capitals, or, one time in four, damaged bytes."""
    if chance.random() < 1 / 4:
        return damaged(content, chance)
    lines = content.split(b"\n")
    for _ in range(chance.randint(0, MOST_STEPS)):
        row = chance.randrange(len(lines))
        cells = lines[row].split(b",")
        cells[chance.randrange(len(cells))] = chance.choice(ODD_CELLS)
        lines[row] = b",".join(cells)
        if chance.random() < 0.2:
            lines.insert(row, chance.choice(lines))
        if chance.random() < 0.1:
            chance.shuffle(lines)
    if chance.random() < 0.2:
        lines[0] = lines[0].upper()
    table = b"\n".join(lines)
    table = table.replace(b",", chance.choice([b",", b",", b",", b";", b"\t", b"|", b", "]))
    table = table.replace(b"\n", chance.choice([b"\n", b"\n", b"\r\n", b"\r", b"\n\n"]))
    return chance.choice([b"", b"", b"", b"\xef\xbb\xbf", b"sep=;\n"]) + table


def damaged_text(content: bytes, chance: random.Random) -> bytes:
    """A text with odd pieces in it, or damaged bytes."""
    if chance.random() < 1 / 5:
        return damaged(content, chance)
    text = content.decode(errors="replace")
    for _ in range(chance.randint(1, MOST_STEPS)):
        start = chance.randrange(len(text) + 1)
        text = text[:start] + chance.choice(ODD_PIECES) + text[start + chance.choice([0, 0, 1, 3]) :]
    return text.encode(errors="replace")


def damaged_tar(content: bytes, chance: random.Random) -> bytes:
    """A tar file with damaged headers whose check sums fit, or damaged anywhere."""
    data = bytearray(damaged(content, chance)) if chance.random() < 1 / 2 else bytearray(content)
    for _ in range(chance.randint(1, 3)):
        start = 512 * chance.randrange(max(1, len(data) // 512))
        header = data[start : start + 512]
        if len(header) == 512:
            place = chance.choice(TAR_FIELDS) + chance.randrange(8)
            header[place : place + chance.randint(1, 12)] = chance.choice(ODD_FIELDS)
            header = header[:512].ljust(512, b"\0")
            header[148:156] = b" " * 8
            header[148:156] = b"%06o\0 " % sum(header)
            data[start : start + 512] = header
    return bytes(data)


def _documents(content: bytes) -> Sequence[bytes]:
    """The lines of a JSON-lines file, or the one document of another."""
    lines = content.splitlines()
    return lines if all(line.startswith(b"{") and line.endswith(b"}") for line in lines) else [content]


def _places(value: Any, depth: int = 0) -> list[tuple[Any, Any]]:
    """Every place in a JSON value: what holds it, and under which key; not deeper than damage could follow."""
    if depth == DEEPEST:
        return []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, inner in items for place in [(value, key), *_places(inner, depth + 1)]]


def _odd(chance: random.Random) -> Any:
    value = copy.deepcopy(chance.choice(ODD_VALUES))
    for _ in range(chance.choice([0, 0, 0, 1, 2, 20, 200])):
        value = [value]
    return value


def _flip(data: bytearray, chance: random.Random) -> None:
    for _ in range(chance.randint(1, 8)):
        if data:
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _edge(data: bytearray, chance: random.Random) -> None:
    width, value = chance.choice([1, 2, 4, 8]), chance.choice(EDGES)
    start = chance.randrange(len(data) + 1)
    order = chance.choice(["little", "big"])
    data[start : start + width] = (value % 256**width).to_bytes(width, order)


def _remove(data: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(data) + 1)
    del data[start : start + chance.randint(1, 64)]


def _repeat(data: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(data) + 1)
    data[start:start] = data[start : start + chance.randint(1, 64)] * chance.choice([1, 2, 100])


def _insert(data: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(data) + 1)
    data[start:start] = chance.randbytes(chance.randint(1, 16))


def _move(data: bytearray, chance: random.Random) -> None:
    source, target, length = chance.randrange(len(data) + 1), chance.randrange(len(data) + 1), chance.randint(1, 64)
    data[target : target + length] = data[source : source + length]


def _cut(data: bytearray, chance: random.Random) -> None:
    del data[chance.randrange(len(data) + 1) :]


STEPS: list[Mutation] = [_flip, _flip, _edge, _edge, _remove, _repeat, _insert, _move, _cut]
