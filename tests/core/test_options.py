from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Optional, Union, get_type_hints

import pytest

from zoo_core.errors import UsageError
from zoo_core.options import NoOptions, describe_options, format_options, parse_options
from zoo_core.testing.fact_rules import _readable, other_values


@dataclass(frozen=True)
class Options:
    n: int = 1
    share: float = 0.5
    wide: bool = False
    kind: Literal["avg", "max"] = "avg"
    hidden: tuple[int, ...] = (512,)
    cut: int | None = None

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ValueError(f"n must be at least 1, got {self.n}")


@dataclass(frozen=True)
class Required:
    n: int


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Options()),
        ("2", Options(n=2)),
        ("n=2", Options(n=2)),
        ("3,share=0.1", Options(n=3, share=0.1)),
        ("wide=yes,kind=max", Options(wide=True, kind="max")),
        ("hidden=512+128", Options(hidden=(512, 128))),
        ("cut=4", Options(cut=4)),
        ("cut=none", Options(cut=None)),
    ],
)
def test_text_is_read_into_typed_options(text: str, expected: Options) -> None:
    assert parse_options("thing", Options, text) == expected


@pytest.mark.parametrize("options", [Options(), Options(n=3), Options(share=0.1, hidden=(8, 4), cut=2, wide=True)])
def test_what_is_written_reads_the_same_again(options: Options) -> None:
    text = format_options("thing", options)
    assert parse_options("thing", Options, text.partition(":")[2]) == options


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("shaer=1", "'thing' has no option 'shaer'. Did you mean 'share'?"),
        ("n=two", "n must be int, got 'two'"),
        ("n=1.5", "n must be int, got '1.5'"),
        ("kind=mean", "kind must be avg|max, got 'mean'"),
        ("wide=maybe", "wide must be bool, got 'maybe'"),
        ("hidden=5+", "hidden must be int+..., got '5+'"),
        ("n=1,n=2", "sets the option 'n' twice"),
        ("n=1,2", "'2' is not key=value"),
        ("n=0", "n must be at least 1, got 0"),
    ],
)
def test_wrong_text_is_answered_with_what_was_wrong_and_what_there_is(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_options("thing", Options, text)
    assert message in str(caught.value)


def test_a_required_option_is_asked_for() -> None:
    with pytest.raises(UsageError, match="'last' needs the option 'n'. Options of 'last': n=<int>."):
        parse_options("last", Required, "")


@dataclass(frozen=True)
class Factory:
    """Options whose defaults are made."""

    size: int = field(default_factory=lambda: 2)
    kind: Literal["avg", "max"] = field(default_factory=lambda: "avg")  # type: ignore[assignment]


@dataclass(frozen=True)
class Older:
    """Options in the older spelling of `int | None`, and with a default that is made."""

    width: Optional[int] = None  # noqa: UP045
    share: Union[float, None] = None  # noqa: UP007
    depth: int | Literal["auto"] = "auto"
    hidden: tuple[int, ...] = field(default_factory=lambda: (8, 4))


def test_an_option_may_be_written_with_optional_and_union() -> None:
    """Seen to fail: the kit passed such options, and no text could give them a value."""
    assert all(map(_readable, get_type_hints(Older).values()))
    assert parse_options("thing", Older, "5,share=0.5") == Older(5, 0.5)
    assert parse_options("thing", Older, "none") == parse_options("thing", Older, "depth=auto") == Older()
    assert parse_options("thing", Older, "depth=3") == Older(depth=3)
    with pytest.raises(UsageError, match=r"width must be int\|none, got 'wide'"):
        parse_options("thing", Older, "wide")


def test_a_default_that_is_made_is_shown_and_left_out_as_any_other() -> None:
    """Seen to fail: it was shown as the marker of dataclasses, and always written."""
    assert "hidden=<int+...> (default 8+4)" in describe_options("thing", Older)
    assert dict(other_values(Factory)) == {"size": "4", "kind": "max"}
    assert format_options("thing", Older()) == "thing"
    assert format_options("thing", Older(hidden=(2,))) == "thing:hidden=2"


def test_whatever_has_no_options_says_so() -> None:
    assert describe_options("head-only", NoOptions) == "'head-only' has no options."
    with pytest.raises(UsageError, match="'head-only' has no options"):
        parse_options("head-only", NoOptions, "2=3")


@pytest.mark.parametrize("text", ["+" * 40_000, f"{'a' * 40_000}=1", f"n={'9' * 40_000}", f"n=1,{'b' * 40_000}"])
def test_a_text_without_end_is_quoted_in_short(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_options("thing", Options, text)
    assert len(str(caught.value)) < 600
