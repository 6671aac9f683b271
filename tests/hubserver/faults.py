"""Faults that a test switches on: which requests they strike, how often, and what goes wrong then."""

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from .answers import Answer, json_answer


@dataclass
class Fault:
    """Strikes requests with something that goes wrong.

    It strikes those of a method ("" is any) in whose path and query the regex `path` is found. They are
    matched as they were sent, still quoted. The other fields say what goes wrong: one thing, or several.
    """

    method: str = ""
    path: str = ""
    times: int | None = None  # how often it strikes; None: always
    status: int | None = None  # answer with this status, and do nothing
    headers: Mapping[str, str | None] = field(default_factory=dict)  # replace the answer's; None: left out
    delay: float = 0.0  # wait so many seconds, then go on
    cut_after: int | None = None  # close the connection after so many bytes of the body
    drip: int | None = None  # send so many bytes of the body a second
    drip_head: int | None = None  # send so many bytes of the status line and the headers a second
    rewrite: Callable[[bytes], bytes] | None = None  # send another body
    endless: bool = False  # send no length, and zeros after the body until the client goes
    flip_byte: int | None = None  # flip the bits of the body's byte at this place; -1 is the last
    wrong_length: int = 0  # add this to Content-Length, and close the connection after the body
    drop_answer: bool = False  # do the work, then close the connection without an answer
    struck: int = field(default=0, init=False)  # how often it struck

    def __post_init__(self) -> None:
        re.compile(self.path)

    def strikes(self, method: str, target: str) -> bool:
        is_spent = self.times is not None and self.struck >= self.times
        return not is_spent and self.method in ("", method) and re.search(self.path, target) is not None

    @property
    def ends_connection(self) -> bool:
        return self.cut_after is not None or self.wrong_length != 0 or self.endless

    def refusal(self) -> Answer | None:
        """The answer in place of any work, None where the work is to be done."""
        return None if self.status is None else json_answer({"error": "a fault struck"}, self.status)

    def spoil(self, answer: Answer) -> Answer:
        """Returns the answer with its headers replaced, its body rewritten and its byte flipped."""
        replaced = {name.lower() for name in self.headers}
        headers = {name: value for name, value in answer.headers.items() if name.lower() not in replaced}
        headers |= {name: value for name, value in self.headers.items() if value is not None}
        body = bytearray(answer.body if self.rewrite is None else self.rewrite(answer.body))
        if self.flip_byte is not None and body:
            body[self.flip_byte % len(body)] ^= 0xFF
        return Answer(answer.status, bytes(body), headers)


NO_FAULT = Fault()


class Faults:
    """The faults that are switched on. Of several that match, the first that is not spent strikes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()

    def strike(self, method: str, target: str) -> Fault:
        """Returns the fault that strikes this request and counts it, NO_FAULT if none does."""
        with self._lock:
            for fault in self._faults:
                if fault.strikes(method, target):
                    fault.struck += 1
                    return fault
        return NO_FAULT
