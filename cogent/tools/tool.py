"""`Tool`, a function that a model may call, and the decorator that makes one."""

from __future__ import annotations

import functools
import inspect
import re
import sys
import types
from collections.abc import Callable, Iterable, Mapping
from typing import (
    TYPE_CHECKING,
    Any,
    Generic,
    Literal,
    ParamSpec,
    TypedDict,
    TypeVar,
    overload,
)

from cogent.errors import ConfigurationError
from cogent.json_values import Json
from cogent.reprs import cut
from cogent.tools.schema import (
    AnyFunction,
    Signature,
    ToolSchema,
    find_context_names,
    make_schema,
    read_schema,
    read_signature,
    underlying,
)
from cogent.validation import shown

if TYPE_CHECKING:
    from cogent.tools.docstring import Documentation

P = ParamSpec("P")
R = TypeVar("R")

OnError = Literal["return", "raise"]

NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")  # what every provider accepts


class SchemaToolOptions(TypedDict, total=False):
    """What `Tool.from_schema` takes besides: see `tool`."""

    timeout: float | None
    on_error: OnError
    sequential: bool
    run_in_thread: bool
    approval: bool


class ToolOptions(SchemaToolOptions, total=False):
    """What `tool` takes: see there."""

    name: str | None


class Tool(Generic[P, R]):
    """A function with its description and schema for a model; made by `tool`.

    Calling it calls the function.

    >>> Tool(divide, timeout=5).parameters["required"]
    ['a', 'b']
    """

    def __init__(
        self,
        function: Callable[P, R],
        *,
        name: str | None = None,
        timeout: float | None = None,
        on_error: OnError = "return",
        sequential: bool = False,
        run_in_thread: bool = True,
        approval: bool = False,
    ) -> None:
        _check_function(function)
        functools.update_wrapper(self, function, updated=())
        self.function = function
        self.name: str = name or _name_of(function)
        self.timeout = timeout
        self.on_error: OnError = on_error
        self.sequential = sequential
        self.run_in_thread = run_in_thread
        self.approval = approval
        self._options: ToolOptions = {
            "name": name,
            "timeout": timeout,
            "on_error": on_error,
            "sequential": sequential,
            "run_in_thread": run_in_thread,
            "approval": approval,
        }
        _check_tool(self)

    @staticmethod
    def from_schema(
        name: str,
        description: str,
        parameters: Mapping[str, Any],
        function: Callable[..., Any] | None,
        *,
        timeout: float | None = None,
        on_error: OnError = "return",
        sequential: bool = False,
        run_in_thread: bool = True,
        approval: bool = False,
    ) -> Tool[..., Any]:
        """A tool that has a JSON schema and no signature to read one from.

        `parameters` is the schema of an object. `function` gets the arguments by their
        names, as the model wrote them: that they are an object with all required names
        is checked, no types. It may have a parameter for the context besides. With
        `function=None` the tool runs elsewhere, in a browser say: its calls end the run
        and wait in `response.pending` for the `results=` of a later run. The options are
        those of `tool`. Raises ConfigurationError.
        """
        options: SchemaToolOptions = {
            "timeout": timeout,
            "on_error": on_error,
            "sequential": sequential,
            "run_in_thread": run_in_thread,
            "approval": approval,
        }
        return SchemaTool(name, description, parameters, function, options)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    def __get__(self, instance: object, owner: type | None = None) -> Tool[..., R]:
        if instance is None:
            return self
        return Tool(types.MethodType(self.function, instance), **self._options)

    def __repr__(self) -> str:
        summary = self.description.partition("\n")[0]
        names = ", ".join(self._parameter_names())
        return f"<Tool {self.name}({names}): {cut(summary)}>"

    def _parameter_names(self) -> Iterable[str]:
        return inspect.signature(self.function).parameters

    def __reduce__(self) -> str | tuple[object, ...]:
        found: object = sys.modules.get(self.function.__module__)
        path: str = getattr(self.function, "__qualname__", "")
        for name in path.split("."):
            found = getattr(found, name, None)
        if found is self:
            return path  # by reference, as the name means this tool
        return _rebuild, (self.function, self._options)

    @property
    def runs_elsewhere(self) -> bool:
        """Whether the tool has no function, so that its calls are left to the caller."""
        return False

    @property
    def description(self) -> str:
        """The docstring without its sections about parameters and results."""
        return self._documentation.description

    @property
    def parameters(self) -> Json:
        """The arguments as a JSON schema.

        Raises ConfigurationError for a parameter that cannot become one.
        """
        return self._schema.json_schema

    def bind(self, arguments: Json | str, context: object) -> Json:
        """The function's keyword arguments: checked, coerced, and with the context.

        Raises ArgumentsError.
        """
        values = self._schema.check_arguments(arguments)
        for name in self._signature.context_names:
            values[name] = context
        return values

    @functools.cached_property
    def _documentation(self) -> Documentation:
        from cogent.tools.docstring import read_docstring

        return read_docstring(inspect.getdoc(underlying(self.function)) or "")

    @functools.cached_property
    def _signature(self) -> Signature:
        return read_signature(self.function, self.name)

    @functools.cached_property
    def _schema(self) -> ToolSchema:
        return make_schema(
            self.name, self._signature.parameters, self._documentation.parameters
        )


class SchemaTool(Tool[..., Any]):
    """A tool made by `Tool.from_schema`."""

    def __init__(
        self,
        name: str,
        description: str,
        parameters: Mapping[str, Any],
        function: Callable[..., Any] | None,
        options: SchemaToolOptions,
    ) -> None:
        if not isinstance(description, str):
            raise ConfigurationError(
                f"a tool's description is a string; got {shown(description)}"
            )
        has_function = function is not None
        if options.get("approval") and not has_function:
            raise ConfigurationError(
                f"the tool {name!r} runs elsewhere, and so asks for approval there: "
                "leave out approval=True"
            )
        super().__init__(
            _runs_elsewhere if function is None else function, name=name, **options
        )
        self._given = (name, description, parameters, function, options)
        self._own_schema = read_schema(name, parameters)
        self._has_function = has_function
        self._context_names: list[str] = []
        if function is not None:
            known = self._own_schema.names
            found = find_context_names(function, name)
            self._context_names = [given for given in found if given not in known]

    def __get__(self, instance: object, owner: type | None = None) -> Tool[..., Any]:
        return self

    def _parameter_names(self) -> Iterable[str]:
        return self._own_schema.names

    def __reduce__(self) -> str | tuple[object, ...]:
        return SchemaTool, self._given

    @property
    def runs_elsewhere(self) -> bool:
        """Whether the tool has no function, so that its calls are left to the caller."""
        return not self._has_function

    @property
    def description(self) -> str:
        """The description as it was given."""
        return self._given[1]

    @property
    def parameters(self) -> Json:
        """The arguments as a JSON schema, as it was given."""
        return self._own_schema.json_schema

    def bind(self, arguments: Json | str, context: object) -> Json:
        """The function's keyword arguments, with the context.

        Raises ArgumentsError.
        """
        values = self._own_schema.check_arguments(arguments)
        for name in self._context_names:
            values[name] = context
        return values


def _runs_elsewhere(**arguments: object) -> None:
    """Stands in for the function of a tool that runs elsewhere."""
    raise ConfigurationError("this tool has no function: it runs elsewhere")


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
    approval: bool = False,
) -> Callable[[Callable[P, R]], Tool[P, R]]: ...


def tool(
    function: Callable[P, R] | None = None,
    /,
    *,
    name: str | None = None,
    timeout: float | None = None,
    on_error: OnError = "return",
    sequential: bool = False,
    run_in_thread: bool = True,
    approval: bool = False,
) -> Tool[P, R] | Callable[[Callable[P, R]], Tool[P, R]]:
    """Make a function (sync, async, or a method) one that a model may call.

    The model reads the name, the docstring and the parameters with their types,
    defaults and descriptions (from `Field` or the docstring's `Args:`). When the
    function fails, the model reads the error, or, with `on_error="raise"`, the run ends
    with ToolError; the model always reads which arguments do not fit. `timeout` is in
    seconds. A `sequential` tool never runs beside another. A sync function runs in a
    worker thread unless `run_in_thread=False`. With `approval=True` a call runs only
    when somebody says yes to it: `Agent(approve=...)`, or, where the agent has none,
    the `approvals=` of a later run. Raises ConfigurationError.

    >>> @tool(timeout=5)
    ... def add(a: int, b: int) -> int:
    ...     "Add two numbers."
    ...     return a + b
    >>> agent = Agent("adder", ScriptedModel("It is 3."), tools=[add])
    """

    def decorate(decorated: Callable[P, R]) -> Tool[P, R]:
        return Tool(
            decorated,
            name=name,
            timeout=timeout,
            on_error=on_error,
            sequential=sequential,
            run_in_thread=run_in_thread,
            approval=approval,
        )

    return decorate if function is None else decorate(function)


def _rebuild(
    function: Tool[..., Any] | AnyFunction, options: ToolOptions
) -> Tool[..., Any]:
    """Unpickle a tool.

    A function that pickled by its name may be found as the tool that has this name now.
    """
    return function if isinstance(function, Tool) else Tool(function, **options)


def _name_of(function: AnyFunction) -> str:
    named = getattr(function, "func", function)  # the function in a partial
    kind = type(function).__name__
    return str(getattr(named, "__name__", kind))


def _check_function(function: object) -> None:
    is_other = isinstance(function, Tool) or inspect.isclass(function)
    if is_other or not callable(function):
        raise ConfigurationError(
            f"a tool is made from a function or method; {_describe_other(function)}"
        )


def _describe_other(given: object) -> str:
    """What was given instead of a function, and what to give."""
    if inspect.isclass(given):
        return f"got {shown(given)}: give a method of an object of it"
    if inspect.iscoroutine(given):
        given.close()  # it would complain that it was never awaited
        return f"got what {given.__name__}() gives: write {given.__name__} without ()"
    return f"got {shown(given)}"


def _check_tool(tool: Tool[..., Any]) -> None:
    if not NAME.fullmatch(tool.name):
        raise ConfigurationError(
            f"a tool's name has 1 to 64 letters, digits, _ and -; "
            f"got {tool.name!r}: give it one by tool(name=...)"
        )
    if tool.on_error not in ("return", "raise"):
        raise ConfigurationError(
            f'on_error is "return" or "raise"; got {tool.on_error!r}'
        )
    if tool.timeout is not None:
        _check_timeout(tool.timeout)
    if not isinstance(tool.approval, bool):
        raise ConfigurationError(
            f"approval is True or False; got {shown(tool.approval)}"
        )
    function = tool.function
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        raise ConfigurationError(
            f"the tool {tool.name!r} yields, "
            "and a model can only read a value that is returned"
        )


def _check_timeout(seconds: object) -> None:
    if not isinstance(seconds, int | float) or seconds <= 0:
        raise ConfigurationError(
            f"a tool's timeout is a number of seconds above 0; got {seconds!r}"
        )
