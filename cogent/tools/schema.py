"""From a signature to a JSON schema, and from a model's arguments to a function's."""

from __future__ import annotations

import functools
import inspect
import json
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from cogent.errors import ConfigurationError
from cogent.json_values import Json, copy_json
from cogent.tools.context import takes_context
from cogent.validation import shown

if typing.TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic_core import ErrorDetails

AnyFunction = Callable[..., object]


class ArgumentsError(ValueError):
    """The model's arguments do not fit the tool; the text is written for the model."""


@dataclass(frozen=True, slots=True)
class Signature:
    """The parameters of a function: those that the model fills in, with real types.

    `context_names` are those that take the context.
    """

    parameters: list[inspect.Parameter]
    context_names: list[str]


@dataclass(frozen=True, slots=True)
class ToolSchema:
    """What a model may give.

    `fields` are the parameters by the names that they have in the pydantic model.
    """

    model: type[BaseModel]
    fields: dict[str, inspect.Parameter]
    json_schema: Json

    def check_arguments(self, arguments: Json | str) -> Json:
        """The values for the function, of the types of its parameters.

        Raises ArgumentsError.
        """
        from pydantic import ValidationError

        from cogent.tools.arguments import validate

        try:
            values = validate(self.model, _require_object(arguments))
        except ValidationError as error:
            details = error.errors(include_url=False)
            problems = "; ".join(map(_problem, details))
            raise ArgumentsError(f"The arguments do not fit: {problems}.") from None
        given: Json = {}
        for field, parameter in self.fields.items():
            # A default is left to the function, unless it is in a `Field` that only
            # pydantic understands.
            if field in values.model_fields_set or _is_field(parameter.default):
                given[parameter.name] = getattr(values, field)
        return given


@dataclass(frozen=True, slots=True)
class GivenSchema:
    """A schema that the user wrote, of which only the names are checked here."""

    json_schema: Json
    names: frozenset[str]
    required: tuple[str, ...]
    takes_others: bool

    def check_arguments(self, arguments: Json | str) -> Json:
        """The arguments if they are an object with the names that the schema wants.

        Raises ArgumentsError.
        """
        values = dict(_require_object(arguments))
        problems = [f"{name}: missing" for name in self.required if name not in values]
        if not self.takes_others:
            others = [name for name in values if name not in self.names]
            problems += [f"{name}: there is no such argument" for name in others]
        if problems:
            raise ArgumentsError(f"The arguments do not fit: {'; '.join(problems)}.")
        return values


def read_schema(tool_name: str, schema: object) -> GivenSchema:
    """The schema that a user gave for a tool.

    Raises ConfigurationError if it is not the JSON schema of an object.
    """
    kind = schema.get("type", "object") if isinstance(schema, Mapping) else None
    if not isinstance(schema, Mapping) or kind != "object":
        raise ConfigurationError(
            f"the parameters of the tool {tool_name!r} are the JSON schema of an object"
            f', like {{"type": "object", "properties": {{...}}}}; got {shown(schema)}'
        )
    copied = copy_json({"type": "object", "properties": {}, **schema})
    properties, required = copied["properties"], copied.get("required", [])
    is_list = isinstance(required, list) and all(
        isinstance(one, str) for one in required
    )
    if not isinstance(properties, dict) or not is_list:
        raise ConfigurationError(
            f"the parameters of the tool {tool_name!r} have a dict of properties "
            "and a list of required names"
        )
    takes_others = copied.get("additionalProperties", True) is not False
    return GivenSchema(copied, frozenset(properties), tuple(required), takes_others)


def find_context_names(function: AnyFunction, tool_name: str) -> list[str]:
    """The parameters of a function that take the context.

    Raises ConfigurationError for a function without a signature.
    """
    parameters, hints = _read(function, tool_name)
    return [name for name in parameters if takes_context(name, hints.get(name, Any))]


def read_signature(function: AnyFunction, tool_name: str) -> Signature:
    """The parameters of a function.

    Raises ConfigurationError for one that no model can fill in by its name.
    """
    parameters, hints = _read(function, tool_name)
    signature = Signature([], [])
    for parameter in parameters.values():
        _check_parameter(parameter, tool_name)
        annotation = hints.get(parameter.name, Any)
        if takes_context(parameter.name, annotation):
            signature.context_names.append(parameter.name)
        else:
            signature.parameters.append(parameter.replace(annotation=annotation))
    return signature


def _read(
    function: AnyFunction, tool_name: str
) -> tuple[Mapping[str, inspect.Parameter], dict[str, object]]:
    """The parameters of a function, and their types by name."""
    try:
        return inspect.signature(function).parameters, _type_hints(function)
    except Exception as error:  # reading annotations runs whatever the user wrote there
        raise ConfigurationError(
            f"the signature of tool {tool_name!r} cannot be read: {error}"
        ) from error


def make_schema(
    tool_name: str, parameters: list[inspect.Parameter], descriptions: Mapping[str, str]
) -> ToolSchema:
    """The schema of these parameters.

    Raises ConfigurationError, which names the parameter that cannot become one.
    """
    try:
        return _make_schema(tool_name, parameters, descriptions)
    except Exception as error:  # pydantic has no common base for what it raises here
        for parameter in parameters:
            _check_schema(tool_name, parameter)
        raise ConfigurationError(
            f"tool {tool_name!r} cannot become a JSON schema: {error}"
        ) from error


def underlying(function: AnyFunction) -> AnyFunction:
    """The plain function behind a partial, a wrapper or an object with `__call__`."""
    target: AnyFunction = inspect.unwrap(getattr(function, "func", function))
    if hasattr(target, "__name__"):
        return target
    return type(target).__call__


def _type_hints(function: AnyFunction) -> dict[str, object]:
    """The parameters' types.

    The return type is left alone, as it may be known to type checkers only.
    """
    target = underlying(function)
    annotations = dict(inspect.get_annotations(target))
    annotations.pop("return", None)
    holder = types.SimpleNamespace(__annotations__=annotations)
    return typing.get_type_hints(
        holder, globalns=getattr(target, "__globals__", {}), include_extras=True
    )


def _check_parameter(parameter: inspect.Parameter, tool_name: str) -> None:
    if parameter.name == "self":
        raise ConfigurationError(
            f"tool {tool_name!r} is a method: give the agent `instance.{tool_name}`"
        )
    if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
        raise ConfigurationError(
            f"tool {tool_name!r}: a model gives arguments by name, "
            f"so {parameter} cannot be a parameter"
        )


def _check_schema(tool_name: str, parameter: inspect.Parameter) -> None:
    try:
        _make_schema(tool_name, [parameter], {})
    except Exception as error:  # as above
        reason, _, _ = str(error).partition(". Set `")
        reason, *_ = reason.splitlines()
        raise ConfigurationError(
            f"tool {tool_name!r}: the parameter {parameter.name!r} "
            f"cannot become a JSON schema: {reason}"
        ) from error


def _make_schema(
    tool_name: str,
    parameters: Iterable[inspect.Parameter],
    descriptions: Mapping[str, str],
) -> ToolSchema:
    from pydantic import ConfigDict, create_model

    # The fields have made-up names, so that a parameter may be called anything:
    # `schema`, `copy`, `_x`.
    fields = {f"p{place}": parameter for place, parameter in enumerate(parameters)}
    definitions: Json = {
        field: _field_definition(parameter, descriptions.get(parameter.name))
        for field, parameter in fields.items()
    }
    model = create_model(
        tool_name, __config__=ConfigDict(extra="forbid"), **definitions
    )
    json_schema = model.model_json_schema(schema_generator=untitled_generator())
    json_schema.pop("title", None)
    return ToolSchema(model, fields, json_schema)


def _field_definition(
    parameter: inspect.Parameter, description: str | None
) -> tuple[object, object]:
    """The annotation and the default that `create_model` takes."""
    from pydantic import Field

    annotation = parameter.annotation
    if description and not _has_description(parameter):
        annotation = Annotated[annotation, Field(description=description)]
    annotation = Annotated[annotation, Field(alias=parameter.name)]
    if parameter.default is parameter.empty:
        return annotation, ...
    return annotation, parameter.default


def _has_description(parameter: inspect.Parameter) -> bool:
    """Whether a `Field` describes the parameter, which wins over the docstring."""
    declared = [*typing.get_args(parameter.annotation), parameter.default]
    return any(_is_field(value) and value.description for value in declared)


@functools.cache
def untitled_generator() -> Any:
    """A maker of schemas whose properties have no titles, which models do not need."""
    from pydantic.json_schema import GenerateJsonSchema

    class Untitled(GenerateJsonSchema):
        ignored_warning_kinds = {  # noqa: RUF012  # pydantic's own name
            "skipped-choice",
            "non-serializable-default",
        }

        def field_title_should_be_set(self, schema: object) -> bool:
            return False

    return Untitled


def _is_field(value: object) -> bool:
    from pydantic.fields import FieldInfo

    return isinstance(value, FieldInfo)


def _require_object(arguments: Json | str) -> Json:
    """The arguments; a string is what the model wrote where that was no JSON object."""
    if not isinstance(arguments, str):
        return arguments
    if arguments.strip() in ("", "null"):
        return {}
    try:
        problem = f"it is {type(json.loads(arguments)).__name__}"
    except (ValueError, RecursionError) as error:
        problem = str(error)
    raise ArgumentsError(f"The arguments are not a JSON object: {problem}")


def _problem(error: ErrorDetails) -> str:
    steps = map(str, error["loc"])
    place = ".".join(steps) or "arguments"
    return f"{place}: {error['msg']}"
