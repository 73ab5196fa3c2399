"""The type that an answer has to be of: its schema, and reading an answer as a value.

What is sent to the providers is the schema of an object, as most of them take no other:
any other type comes as the `value` of one.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cogent.errors import ConfigurationError
from cogent.json_values import Json, UnsendableError, check_json
from cogent.validation import shown

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

WRAPPED = "value"  # the property that has what is no object
NAME_OF_OTHERS = "answer"  # the schema's name where the type has none
NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]")
MAX_NAME_CHARS = 64
MAX_PROBLEMS = 20  # that the model reads
# Models that write Markdown put their JSON into such a block.
FENCE_BEGIN = re.compile(r"\s*```[A-Za-z]*\s*")
FENCE_END = re.compile(r"\s*```\s*$")

ReadJson = Callable[[str], Any]


class UnfitOutputError(ValueError):
    """The answer is not of the type; `problems` are sentences for the model."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class OutputSchema:
    """The JSON schema of an answer, which is that of an object, and its name."""

    name: str
    schema: Json


@dataclass(frozen=True, slots=True, repr=False)
class OutputType:
    """A type that answers are read as; `make_output_type` makes one.

    `read_plain` reads JSON as the type, `read_wrapped` an object that has it as its
    `value`, where the schema is that of such an object.
    """

    schema: OutputSchema
    read_plain: ReadJson
    read_wrapped: ReadJson | None

    def read(self, text: str) -> Any:
        """The answer as a value of the type. Raises UnfitOutputError."""
        text = _without_fence(text)
        if not text.strip():
            raise UnfitOutputError(["the answer is empty"])
        if self.read_wrapped is None:
            return _read(self.read_plain, text)
        try:
            return _read(self.read_wrapped, text)
        except UnfitOutputError as error:
            try:
                return _read(self.read_plain, text)  # a model may leave the object out
            except UnfitOutputError:
                raise error from None

    def read_partial(self, text: str) -> Any:
        """What there is of an unfinished answer, as plain JSON values; None if nothing.

        The last string may be unfinished, and so may be the last number.
        """
        from pydantic_core import from_json

        text = _without_fence(text)
        if not text.lstrip().startswith(("{", "[")):
            return None
        try:
            value = from_json(text, allow_partial="trailing-strings")
        except ValueError:
            return None
        if self.read_wrapped is None or not isinstance(value, dict):
            return value
        return value.get(WRAPPED) if value.keys() <= {WRAPPED} else value


def make_output_type(given: object, tools: Container[str] = ()) -> OutputType:
    """The type as answers are read, beside tools of these names.

    Raises ConfigurationError for what cannot become a JSON schema, and for a name that
    a tool has, as the answer is a call of a tool where the provider cannot do otherwise.
    """
    _check_type(given)
    try:
        made = _make(given)
    except Exception as error:  # pydantic has no common base for what it raises here
        reason, *_ = str(error).partition(". Set `")[0].splitlines() or [""]
        raise ConfigurationError(
            f"output_type {_shown(given)} cannot become a JSON schema: {reason}"
        ) from error
    try:
        check_json(made.schema.schema)
    except UnsendableError as error:
        raise ConfigurationError(
            f"the schema of output_type {_shown(given)} cannot be sent: it{error.at('')}"
        ) from None
    name = made.schema.name
    if name in tools:
        raise ConfigurationError(
            f"a tool is named {name!r}, as the answer of output_type {_shown(given)} "
            "is: give the tool another name by tool(name=...)"
        )
    return made


def plain_json(output: object) -> Any:
    """The value as plain JSON values, as far as they can hold it."""
    from pydantic_core import to_jsonable_python

    return to_jsonable_python(output, fallback=str)


def _check_type(given: object) -> None:
    """Raise ConfigurationError for what is no type, though pydantic would take it."""
    if isinstance(given, str) or inspect.isroutine(given):
        raise ConfigurationError(
            "output_type is a type, such as a pydantic model, a dataclass or list[int]; "
            f"got {shown(given)}"
        )


def _make(given: Any) -> OutputType:
    from pydantic import TypeAdapter, create_model

    from cogent.tools.schema import untitled_generator

    adapter: TypeAdapter[Any] = TypeAdapter(given)
    generator = untitled_generator()
    schema = _without_root_reference(adapter.json_schema(schema_generator=generator))
    if schema.get("type") == "object":
        schema.pop("title", None)
        name = NOT_IN_NAMES.sub("_", _name_of(given))[:MAX_NAME_CHARS]
        return OutputType(OutputSchema(name, schema), adapter.validate_json, None)
    fields: Json = {WRAPPED: (given, ...)}
    model = create_model(NAME_OF_OTHERS, **fields)
    schema = model.model_json_schema(schema_generator=generator)
    schema.pop("title", None)

    def read_wrapped(text: str) -> Any:
        return getattr(model.model_validate_json(text), WRAPPED)

    sent = OutputSchema(NAME_OF_OTHERS, schema)
    return OutputType(sent, adapter.validate_json, read_wrapped)


def _without_root_reference(schema: Json) -> Json:
    """The schema with the type itself at its root, where a recursive one has a
    reference.
    """
    target = str(schema.get("$ref", "")).rpartition("/")[2]
    definitions = schema.get("$defs", {})
    if target not in definitions:
        return schema
    return {**definitions[target], "$defs": definitions}


def _name_of(given: object) -> str:
    return given.__name__ if isinstance(given, type) else NAME_OF_OTHERS


def _shown(given: object) -> str:
    return given.__name__ if isinstance(given, type) else shown(given)


def _without_fence(text: str) -> str:
    """The text without the marks of a Markdown block around it."""
    begin = FENCE_BEGIN.match(text)
    return text if begin is None else FENCE_END.sub("", text[begin.end() :])


def _read(read: ReadJson, text: str) -> Any:
    from pydantic import ValidationError

    try:
        return read(text)
    except ValidationError as error:
        raise UnfitOutputError(_problems(error)) from error
    except Exception as error:  # of validators, which are the user's own code
        raise UnfitOutputError([f"{type(error).__name__}: {error}"]) from error


def _problems(error: ValidationError) -> list[str]:
    """What is wrong, one sentence each, without what the answer holds there."""
    details = error.errors(include_url=False, include_context=False)
    problems = [_problem(detail) for detail in details[:MAX_PROBLEMS]]
    left_out = len(details) - MAX_PROBLEMS
    return [*problems, f"and {left_out} more"] if left_out > 0 else problems


def _problem(detail: ErrorDetails) -> str:
    place = ".".join(map(str, detail["loc"])) or "the answer"
    return f"{place}: {detail['msg']}"
