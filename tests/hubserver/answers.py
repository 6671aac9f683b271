"""What the server sends back: an answer, or a refusal that the client knows by its X-Error-Code."""

import json
from dataclasses import dataclass, field

Headers = dict[str, str]


@dataclass
class Answer:
    """A status, headers and a body. The length is added when it is sent."""

    status: int = 200
    body: bytes = b""
    headers: Headers = field(default_factory=dict)


def json_answer(value: object, status: int = 200, headers: Headers | None = None) -> Answer:
    """Answers with JSON; values that JSON lacks (a date in a card) become text."""
    body = json.dumps(value, default=str).encode()
    return Answer(status, body, {"Content-Type": "application/json; charset=utf-8", **(headers or {})})


class HubError(Exception):
    """A refusal: status, message, and the error code that the client turns into an exception class."""

    def __init__(self, status: int, message: str, code: str = "", headers: Headers | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = {"X-Error-Message": message, **(headers or {})}
        if code:
            self.headers["X-Error-Code"] = code

    def answer(self, **extra: object) -> Answer:
        """The refusal as it is sent; `extra` goes into its JSON body."""
        return json_answer({"error": self.message, **extra}, self.status, self.headers)
