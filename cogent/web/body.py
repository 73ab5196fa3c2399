"""A request's body as a `Question`, in the form of each protocol.

The form of cogent's own pages is one object:

    {"message": "Hi", "history": HISTORY, "approvals": {ID: true}, "results": {ID: 42}}

`message` is a text, or a list of texts and parts (`{"type": "image", "data": BASE64}`,
`{"type": "file", ...}`); it may be left out where calls are answered. `history` is what
the event `done` said, as it was; or a list of messages and of such texts. `approvals`
hold true, false or a reason for each call, `results` what a call gave in the page.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Literal

from cogent.content import ContentPart
from cogent.content_json import read_parts
from cogent.errors import ConfigurationError
from cogent.json_values import Json
from cogent.messages import Message
from cogent.validation import shown
from cogent.web.bad_input import BadInput
from cogent.web.question import NEUTRAL_FIELDS, Question
from cogent.web.seal import Secret, check_secret, unseal

MAX_BODY_BYTES = 8 * 1024 * 1024
"""Of a request, unless `max_bytes` says otherwise.

>>> question = parse_question('{"message": "Hi"}', max_bytes=2 * MAX_BODY_BYTES)
"""

ROLES = ("user", "assistant", "tool")
NO_JSON = "the body is a JSON object, sent with Content-Type: application/json"

Form = Literal["sse", "vercel", "ag_ui"]
Read = Callable[[Json, bytes | None], Question]


def parse_question(
    body: bytes | str,
    *,
    form: Form = "sse",
    secret: Secret | None = None,
    max_bytes: int = MAX_BODY_BYTES,
) -> Question:
    """What a page asks, from the body of its request.

    `form` is the protocol: cogent's own (`sse`), Vercel's AI SDK or AG-UI. With a
    `secret` the conversation that a page keeps is signed, and calls may be approved of;
    take one for each user (your secret and the user's id), so that nobody uses what was
    signed for another. Raises BadInput for a body that is wrong.

    >>> question = parse_question('{"message": "Hi"}', secret=SECRET)
    >>> question.message
    'Hi'
    >>> stream = question.run_stream(agent)
    """
    key = None if secret is None else check_secret(secret)
    check_size(len(body), max_bytes)
    data = _read_json(body)
    try:
        question = _reader_of(form)(data, key)
    except BadInput:
        raise
    except ConfigurationError as error:
        raise BadInput(str(error)) from error
    question.data = data
    question.secret = key
    return question


def check_size(size: int, limit: int) -> None:
    """Raise BadInput for a body that is too large."""
    if size > limit:
        raise BadInput(f"the request is larger than {limit} bytes", 413)


def check_content_type(content_type: str) -> None:
    """Raise BadInput for another type than JSON.

    A browser asks before it sends JSON to another site, and does not for plain text:
    taking that would let any site ask in the name of its visitors.

    >>> check_content_type("application/json; charset=utf-8")
    >>> with pytest.raises(BadInput):
    ...     check_content_type("text/plain")
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        raise BadInput(NO_JSON, 415)


def _read_json(body: bytes | str) -> Json:
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):  # among them: bytes that are no text
        raise BadInput(NO_JSON) from None
    if not isinstance(data, dict):
        raise BadInput(NO_JSON)
    return data


def _reader_of(form: object) -> Read:
    # Here, as these modules take what this one has.
    from cogent.web.ag_ui_body import read_ag_ui
    from cogent.web.vercel_body import read_vercel

    readers: dict[object, Read] = {
        "sse": read_own,
        "vercel": read_vercel,
        "ag_ui": read_ag_ui,
    }
    if form not in readers:
        raise ConfigurationError(
            f'form is "sse", "vercel" or "ag_ui"; got {shown(form)}'
        )
    return readers[form]


def read_own(data: Json, secret: bytes | None) -> Question:
    """The form of cogent's own pages."""
    question = Question(message=_read_message(data.get("message")))
    history = data.get("history") or []
    entries = [history] if isinstance(history, str) else history
    if not isinstance(entries, list):
        raise BadInput("history is a list of messages, or what `done` said")
    for place, entry in enumerate(entries):
        add_entry(question, entry, secret, f"history[{place}]")
    question.approvals = read_answers(data, "approvals")
    question.results = read_answers(data, "results")
    return question


def _read_message(given: object) -> str | list[ContentPart] | None:
    if given is None or isinstance(given, str):
        return given
    if isinstance(given, list):
        return read_parts(given)
    raise BadInput(
        f"message is a text, or a list of texts, images and files; got {shown(given)}"
    )


def read_answers(data: Json, name: str) -> Json:
    """A dict from the id of a call to its answer."""
    answers = data.get(name)
    if answers is None:
        return {}
    if not isinstance(answers, dict):
        raise BadInput(f"{name} is an object from the id of a call to its answer")
    return answers


def add_entry(
    question: Question, entry: object, secret: bytes | None, path: str
) -> None:
    """Add to the history what a page sent: a message, or messages that were signed."""
    if isinstance(entry, str):
        add_signed(question, unseal(entry, secret).messages)
        return
    message = read_neutral(entry, path)
    if message.role == "tool":
        check_result(question, message.tool_call_id, path)
    question.history.append(message)


def add_signed(question: Question, messages: list[Message]) -> None:
    """Add messages that this server signed."""
    place = len(question.history)
    question.signed |= set(range(place, place + len(messages)))
    question.history += messages


def read_neutral(entry: object, path: str) -> Message:
    """A message that anybody may have written, as far as it is taken from anybody."""
    if not isinstance(entry, Mapping):
        raise BadInput(f"{path} is a message, an object; got {shown(entry)}")
    check_role(entry.get("role"), path)
    neutral = {key: entry[key] for key in NEUTRAL_FIELDS if key in entry}
    calls = neutral.get("tool_calls")
    if isinstance(calls, list):
        neutral["tool_calls"] = [_without_type(call) for call in calls]
    return Message.from_dict(neutral)


def check_role(role: object, path: str) -> None:
    """Raise BadInput for a role that a page has nothing to say in."""
    if role in ("system", "developer"):
        raise BadInput(f"{path} has the role {role}, which is the server's alone")
    if role not in ROLES:
        raise BadInput(
            f"{path} has the role user, assistant or tool; got {shown(role)}"
        )


def check_result(question: Question, call_id: object, path: str) -> None:
    """Raise BadInput for a result of a call that nobody made."""
    calls = {call.id for message in question.history for call in message.tool_calls}
    if call_id not in calls:
        raise BadInput(f"{path} is the result of a call that nobody made")


def _without_type(call: object) -> object:
    """A call of a function: others go back only as the provider's own items."""
    if not isinstance(call, Mapping):
        return call
    return {key: value for key, value in call.items() if key not in ("type", "result")}
