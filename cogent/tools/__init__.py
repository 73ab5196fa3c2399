"""Functions that a model may call: the schema from the signature, the arguments checked by that same schema."""

from __future__ import annotations

import functools
import inspect
import json
import re
import sys
import types
import typing
from collections.abc import Callable
from typing import Any, Generic, Literal, NewType, ParamSpec, TypeVar, cast, overload

from cogent.errors import ConfigurationError
from cogent.validation import shown

if typing.TYPE_CHECKING:
    from pydantic import BaseModel

P = ParamSpec("P")
R = TypeVar("R")

RunContext = NewType("RunContext", dict[str, Any])
"""The dict given as `context=` to a run; a tool's parameter of this type receives it and the model never sees it."""

OnError = Literal["return", "raise"]

NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")  # what every provider accepts


class ArgumentsError(ValueError):
    """The model's arguments do not fit the tool; the text is written for the model."""


class Tool(Generic[P, R]):
    """A function and what a model is told about it; calling it calls the function. Made by `tool`."""

    def __init__(
        self,
        function: Callable[P, R],
        *,
        name: str | None = None,
        timeout: float | None = None,
        on_error: OnError = "return",
        sequential: bool = False,
        run_in_thread: bool = True,
    ) -> None:
        if isinstance(function, Tool) or not callable(function) or inspect.isclass(function):
            raise ConfigurationError(f"a tool is made from a function or method; {_instead(function)}")
        functools.update_wrapper(self, function, updated=())
        self.function = function
        own_name: str = getattr(getattr(function, "func", function), "__name__", type(function).__name__)
        self.name = name or own_name
        self.timeout = timeout
        self.on_error = on_error
        self.sequential = sequential
        self.run_in_thread = run_in_thread
        self._options = {
            "name": name,
            "timeout": timeout,
            "on_error": on_error,
            "sequential": sequential,
            "run_in_thread": run_in_thread,
        }
        if not NAME.fullmatch(self.name):
            raise ConfigurationError(
                f"a tool's name has 1 to 64 letters, digits, _ and -; got {self.name!r}: give it one by tool(name=...)"
            )
        if on_error not in ("return", "raise"):
            raise ConfigurationError(f'on_error is "return" or "raise"; got {on_error!r}')
        if timeout is not None and (not isinstance(timeout, int | float) or timeout <= 0):
            raise ConfigurationError(f"a tool's timeout is a number of seconds above 0; got {timeout!r}")
        if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
            raise ConfigurationError(
                f"the tool {self.name!r} yields, and a model can only read a value that is returned"
            )

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    def __get__(self, instance: object, owner: type | None = None) -> Tool[..., R]:
        if instance is None:
            return self
        return Tool(types.MethodType(self.function, instance), **cast(Any, self._options))

    def __repr__(self) -> str:
        return f"Tool({self.name!r})"

    def __reduce__(self) -> Any:
        found: Any = sys.modules.get(self.function.__module__)
        path: str = getattr(self.function, "__qualname__", "")
        for name in path.split("."):
            found = getattr(found, name, None)
        # By reference where the name means this tool; otherwise from the function, which pickles as it can.
        return path if found is self else (_rebuild, (self.function, self._options))

    @property
    def description(self) -> str:
        """The docstring without its `Args:` and other sections."""
        return self._documentation[0]

    @property
    def parameters(self) -> dict[str, Any]:
        """The arguments as a JSON schema. Raises ConfigurationError for a parameter that cannot become one."""
        return self._schema[1]

    def bind(self, arguments: dict[str, Any] | str, context: dict[str, Any]) -> dict[str, Any]:
        """The function's keyword arguments: checked, coerced, and with the context. Raises ArgumentsError."""
        from pydantic import ValidationError

        from cogent.tools.arguments import validate

        if isinstance(arguments, str):
            if arguments.strip() not in ("", "null"):
                raise ArgumentsError(f"The arguments are not a JSON object: {_json_error(arguments)}")
            arguments = {}
        try:
            values = validate(self._schema[0], arguments)
        except ValidationError as error:
            problems = error.errors(include_url=False, include_context=False, include_input=False)
            told = "; ".join(f"{'.'.join(map(str, p['loc'])) or 'arguments'}: {p['msg']}" for p in problems)
            raise ArgumentsError(f"The arguments do not fit: {told}.") from None
        parameters, takes_context = self._signature
        named = {
            parameter.name: getattr(values, f"p{place}")
            for place, parameter in enumerate(parameters)
            if f"p{place}" in values.model_fields_set or _is_field(parameter.default)
        }
        return named | dict.fromkeys(takes_context, context)

    @functools.cached_property
    def _documentation(self) -> tuple[str, dict[str, str]]:
        from docstring_parser import parse

        parsed = parse(inspect.getdoc(_behind(self.function)) or "")
        return (parsed.description or "").strip(), {p.arg_name: p.description for p in parsed.params if p.description}

    @functools.cached_property
    def _signature(self) -> tuple[list[inspect.Parameter], list[str]]:
        """The parameters that the model fills in, with real types, and the names of those that take the context."""
        try:
            parameters = inspect.signature(self.function).parameters.values()
            hints = _type_hints(self.function)
        except Exception as error:  # reading annotations runs whatever the user wrote there
            raise ConfigurationError(f"the signature of tool {self.name!r} cannot be read: {error}") from error
        given: list[inspect.Parameter] = []
        context: list[str] = []
        for parameter in parameters:
            annotation = hints.get(parameter.name, Any)
            if parameter.name == "self":
                raise ConfigurationError(f"tool {self.name!r} is a method: give the agent `instance.{self.name}`")
            if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                raise ConfigurationError(
                    f"tool {self.name!r}: a model gives arguments by name, so {parameter} cannot be a parameter"
                )
            if parameter.name == "context" or RunContext in (annotation, *typing.get_args(annotation)):
                context.append(parameter.name)
            else:
                given.append(parameter.replace(annotation=annotation))
        return given, context

    @functools.cached_property
    def _schema(self) -> tuple[type[BaseModel], dict[str, Any]]:
        described = self._documentation[1]
        parameters = self._signature[0]
        try:
            return _schema_of(self.name, parameters, described)
        except Exception as error:  # pydantic has no common base for what it raises here
            for parameter in parameters:
                try:
                    _schema_of(self.name, [parameter], described)
                except Exception as cause:  # noqa: BLE001  # the same, for the parameter that is to blame
                    reason = str(cause).partition(". Set `")[0].splitlines()[0]
                    raise ConfigurationError(
                        f"tool {self.name!r}: the parameter {parameter.name!r} cannot become a JSON schema: {reason}"
                    ) from error
            raise ConfigurationError(f"tool {self.name!r} cannot become a JSON schema: {error}") from error


@overload
def tool(function: Callable[P, R], /) -> Tool[P, R]: ...


@overload
def tool(
    *,
    name: str | None = None,
    timeout: float | None = None,
    on_error: OnError = "return",
    sequential: bool = False,
    run_in_thread: bool = True,
) -> Callable[[Callable[P, R]], Tool[P, R]]: ...


def tool(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a function (sync, async, or a method) one that a model may call.

    The model is told the name, the docstring and the parameters with their types, defaults and descriptions (from
    `Field` or the docstring's `Args:`). When the function fails, the model is told, or, with `on_error="raise"`, the
    run ends with ToolError; arguments that do not fit are always told. `timeout` is in seconds. A `sequential` tool
    never runs beside another. A sync function runs in a worker thread unless `run_in_thread=False`. Raises
    ConfigurationError.
    """
    if function is not None:
        return Tool(function, **options)
    return lambda decorated: Tool(decorated, **options)


def _schema_of(
    name: str, parameters: list[inspect.Parameter], described: dict[str, str]
) -> tuple[type[BaseModel], dict[str, Any]]:
    from pydantic import ConfigDict, Field, create_model
    from pydantic.json_schema import GenerateJsonSchema

    class Untitled(GenerateJsonSchema):
        ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012  # pydantic's own name

        def field_title_should_be_set(self, schema: object) -> bool:
            return False

    fields: dict[str, Any] = {}
    # The fields have made-up names, so that a parameter may be called anything: `schema`, `copy`, `_x`.
    for place, parameter in enumerate(parameters):
        own = [*typing.get_args(parameter.annotation), parameter.default]
        more = {"alias": parameter.name}
        if parameter.name in described and not any(_is_field(part) and part.description for part in own):
            more["description"] = described[parameter.name]
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[f"p{place}"] = (typing.Annotated[parameter.annotation, Field(**cast(Any, more))], default)
    model = create_model(name, __config__=ConfigDict(extra="forbid"), **fields)
    schema = model.model_json_schema(schema_generator=Untitled)
    schema.pop("title", None)
    return model, schema


def _instead(given: object) -> str:
    """What was given instead of a function, and what to give."""
    if inspect.isclass(given):
        return f"got {shown(given)}: give a method of an object of it"
    if inspect.iscoroutine(given):
        given.close()  # it would complain that it was never awaited
        return f"got what {given.__name__}() gives: write {given.__name__} without ()"
    return f"got {shown(given)}"


def _rebuild(function: Any, options: dict[str, Any]) -> Tool[..., Any]:
    return function if isinstance(function, Tool) else Tool(function, **options)


def _is_field(value: object) -> bool:
    from pydantic.fields import FieldInfo

    return isinstance(value, FieldInfo)


def _behind(function: Callable[..., Any]) -> Any:
    """The plain function behind a partial, a wrapper or an object with `__call__`."""
    target = inspect.unwrap(getattr(function, "func", function))
    return target if hasattr(target, "__name__") else type(target).__call__


def _type_hints(function: Callable[..., Any]) -> dict[str, Any]:
    """The parameters' types; the return type is left alone, as it may be known to type checkers only."""
    target = _behind(function)
    annotations = {name: hint for name, hint in inspect.get_annotations(target).items() if name != "return"}
    holder = types.SimpleNamespace(__annotations__=annotations)
    return typing.get_type_hints(holder, globalns=getattr(target, "__globals__", {}), include_extras=True)


def _json_error(text: str) -> str:
    try:
        return f"it is {type(json.loads(text)).__name__}"
    except (ValueError, RecursionError) as error:
        return str(error)
