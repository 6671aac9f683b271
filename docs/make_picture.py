"""Makes docs/terminal.svg: what `zoo finetune --backbone lenet5 --strategy full` leaves on a terminal of 100 columns.

    python docs/make_picture.py

The real command runs in a terminal of its own (a pty) and an empty folder. What it drew over, such as the frames of
its progress bar, is gone from the picture as it is gone from a screen.
"""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import sys
import tempfile
import termios
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

COMMAND = ["finetune", "--backbone", "lenet5", "--strategy", "full"]
COLUMNS, LINES = 100, 50
TARGET = Path(__file__).parent / "terminal.svg"

# What a program may send: a control sequence (ESC [ numbers letter), another escape, or one character.
TOKEN = re.compile(r"\x1b\[(?P<numbers>[?\d;]*)(?P<letter>[A-Za-z])|\x1b[^\[]|(?P<character>.)", re.DOTALL)

# A piece of text that starts with spaces: some viewers leave those out, and the columns fall together.
SPACE_FIRST = re.compile(
    r'x="(?P<x>[\d.]+)" (?P<y>y="[\d.]+") textLength="(?P<length>[\d.]+)"(?P<rest>[^>]*>)(?P<spaces>(&#160;)+)(?=[^<])'
)
CHARACTER = 12.2  # the width of one in rich's pictures


def main() -> None:
    output = run()
    shown = Text.assemble((f"$ zoo {' '.join(COMMAND)}\n", "bold"), Text.from_ansi("\n".join(screen(output))))
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, legacy_windows=False)
    console.print(shown)
    # Without the web fonts that rich names: the picture asks nobody for anything, and any monospaced font will do.
    plain = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    console.save_svg(str(TARGET), title="zoo", code_format=plain, unique_id="zoo")
    text = SPACE_FIRST.sub(without_space_first, TARGET.read_text(encoding="utf-8"))
    text = text.replace("Fira Code, monospace", "ui-monospace, Menlo, Consolas, monospace")
    TARGET.write_text("\n".join(line.rstrip() for line in text.splitlines()) + "\n", encoding="utf-8")


def run() -> str:
    """Run the command in a terminal, in an empty folder; return all that it sent there."""
    with tempfile.TemporaryDirectory() as folder:
        child, terminal = pty.fork()
        if child == 0:
            os.chdir(folder)
            os.environ.update(TERM="xterm-256color", COLUMNS=str(COLUMNS), LINES=str(LINES))
            os.environ.pop("NO_COLOR", None)
            os.execv(sys.executable, [sys.executable, "-m", "zoo_core", *COMMAND])
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        sent = b""
        while True:
            try:
                block = os.read(terminal, 1 << 16)
            except OSError:  # how Linux says that the program has gone
                break
            if not block:
                break
            sent += block
        _, status = os.waitpid(child, 0)
    text = sent.decode()
    if status:
        sys.exit(f"zoo failed:\n{text}")
    return text


def screen(output: str) -> list[str]:
    """The lines that stand on the screen at the end, with their colours as escape sequences."""
    rows: list[dict[int, tuple[str, str]]] = [{}]  # column -> (style, character)
    row = column = 0
    style = ""
    for token in TOKEN.finditer(output):
        letter, numbers, character = token["letter"], token["numbers"] or "", token["character"]
        first = int(numbers) if numbers.isdigit() else None
        if letter == "m":
            style = "" if numbers in ("", "0") else style + token[0]
        elif letter == "A":
            row = max(0, row - (first or 1))
        elif letter == "B":
            row += first or 1
        elif letter == "K":
            gone = {0: range(column, COLUMNS), 1: range(column + 1), 2: range(COLUMNS)}[first or 0]
            rows[row] = {at: cell for at, cell in rows[row].items() if at not in gone}
        elif letter in ("h", "l"):  # the cursor is hidden or shown
            pass
        elif letter:
            raise SystemExit(f"the picture does not know the control sequence {token[0]!r}")
        elif character == "\r":
            column = 0
        elif character == "\n":
            row += 1
        elif character:
            rows[row][column] = (style, character)
            column += 1
        while len(rows) <= row:
            rows.append({})
    lines = [line_of(cells) for cells in rows]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def without_space_first(piece: re.Match[str]) -> str:
    """The same piece, starting further to the right."""
    width = CHARACTER * len(piece["spaces"]) / len("&#160;")
    x, length = float(piece["x"]) + width, float(piece["length"]) - width
    return f'x="{x:.1f}" {piece["y"]} textLength="{length:.1f}"{piece["rest"]}'


def line_of(cells: dict[int, tuple[str, str]]) -> str:
    written = [at for at, (_, character) in cells.items() if character != " "]
    line, current = "", ""
    for at in range(max(written, default=-1) + 1):
        style, character = cells.get(at, ("", " "))
        if style != current:
            line += "\x1b[0m" + style
            current = style
        line += character
    return line + ("\x1b[0m" if current else "")


if __name__ == "__main__":
    main()
