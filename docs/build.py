"""Builds the site of the documentation into site/html, without a network.

    python docs/build.py                 the whole site
    python docs/build.py --only data.md  these pages alone, for a quick look

The pages are plain Markdown and link each other as they lie in the repository. This script copies them into one folder,
turns links between them into links of the site, writes the reference pages from the installed plugins
(reference_pages.py), and calls Zensical. Open site/html/index.html.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import reference_pages

ROOT = Path(__file__).parents[1]
SETTINGS = Path(__file__).parent / "site"
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "docs/**/*.md",
    "benchmarks/README.md",
    "registry/README.md",
    "plugins/*/README.md",
    "plugins/*/ARCHITECTURES.md",
)
PART = re.compile(
    r"(?P<code>^```.*?^```$|`[^`]*`)|(?P<picture>!?)\[(?P<text>(?:`[^`]*`|[^\[\]`])*)\]\((?P<target>[^()\s]+)\)",
    re.MULTILINE | re.DOTALL,
)
"""Code, in which nothing is a link, or a link or picture."""
ENTRY = re.compile(r'^ *\{ ".*" = "(?P<page>[^"]+)" \},$')


def main() -> None:
    parser = argparse.ArgumentParser(description="Build the site of the documentation.")
    parser.add_argument("--into", type=Path, default=ROOT / "site", help="the folder for pages and site")
    parser.add_argument("--only", nargs="+", metavar="PAGE", help="pages of the site, by their names there")
    arguments = parser.parse_args()
    build(arguments.into, only=arguments.only)
    print(f"The site is {arguments.into / 'html' / 'index.html'}.")


def build(folder: Path, *, only: list[str] | None = None) -> None:
    """Replace the pages and the site in the folder. Raises SystemExit where Zensical fails or warns."""
    for name in ("pages", "html", "overrides", ".cache"):
        shutil.rmtree(folder / name, ignore_errors=True)
    pages = folder / "pages"
    sources = site_pages()
    for path, name in sources.items():
        if only is None or name in only:
            write(pages / name, rewritten(path, sources, pages))
    for name, text in reference_pages.all_pages().items():
        if only is None or name in only:
            write(pages / name, text)
    shutil.copytree(SETTINGS / "assets", pages / "assets", dirs_exist_ok=True)
    shutil.copytree(SETTINGS / "overrides", folder / "overrides")
    settings, absent = with_nav_of(pages)
    if absent and only is None:
        print(f"not there, and so not in the navigation: {', '.join(absent)}", file=sys.stderr)
    write(folder / "zensical.toml", settings)
    command = [sys.executable, "-m", "zensical", "build", "--clean"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"Zensical failed:\n{done.stdout}{done.stderr}")


def site_pages() -> dict[Path, str]:
    """The Markdown pages of the repository, and their names in the site."""
    return {path: site_name(path) for pattern in PAGES for path in sorted(ROOT.glob(pattern))}


def site_name(path: Path) -> str:
    """docs/data.md is data.md, README.md is index.md, and plugins/zoo-lora/README.md is plugins/zoo-lora.md."""
    inside = path.relative_to(ROOT)
    if inside == Path("README.md"):
        return "index.md"
    if inside.name == "README.md":
        inside = inside.parent.with_suffix(".md")
    return inside.as_posix().removeprefix("docs/")


def rewritten(path: Path, sources: dict[Path, str], pages: Path) -> str:
    """A page with the links of the site. A link that reads as its file's name gets the title of that page; a picture
    is copied; a link to a file that is no page becomes its text.

    GitHub wants a bar inside the code of a table to be escaped, and Python-Markdown shows the escape.
    """

    def link(part: re.Match[str]) -> str:
        target, mark, anchor = (part["target"] or "").partition("#")
        if part["code"]:
            return part[0].replace("\\|", "|") if not part[0].startswith("```") else part[0]
        if not target or re.match(r"\w+:", target):
            return part[0]
        file = (path.parent / target).resolve()
        file = file / "README.md" if file.is_dir() else file
        page, here = sources.get(file), Path(sources[path]).parent
        if page:
            text = title_of(file) if part["text"].endswith(".md") else part["text"]
            return f"[{text}]({os.path.relpath(page, here)}{mark}{anchor})"
        if part["picture"]:
            name = site_name(file)
            (pages / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, pages / name)
            return f"![{part['text']}]({os.path.relpath(name, here)})"
        return f"`{part['text']}`" if re.search(r"[_/]", part["text"]) and "`" not in part["text"] else part["text"]

    return PART.sub(link, path.read_text(encoding="utf-8"))


def title_of(path: Path) -> str:
    """The first heading of a page."""
    return next(line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("# ")).removeprefix(
        "# "
    )


def with_nav_of(pages: Path) -> tuple[str, list[str]]:
    """The settings without the entries of pages that are not there, and the names of these."""
    lines, absent = [], []
    for line in (SETTINGS / "zensical.toml").read_text(encoding="utf-8").splitlines():
        entry = ENTRY.match(line)
        if entry and not (pages / entry["page"]).exists():
            absent.append(entry["page"])
        else:
            lines.append(line)
    text = "\n".join(lines) + "\n"
    return re.sub(r'^ *\{ "[^"]*" = \[\n *\] \},\n', "", text, flags=re.MULTILINE), absent


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
