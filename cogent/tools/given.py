"""The tools that an agent is given, checked."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from cogent.errors import ConfigurationError
from cogent.json_values import UnsendableError, check_json
from cogent.tools import Tool
from cogent.validation import shown

AnyTool = Tool[..., Any]


def tools_by_name(
    given: Iterable[AnyTool | Callable[..., object]],
) -> dict[str, AnyTool]:
    """The tools that an agent is given, by their names; functions become tools.

    Raises ConfigurationError.
    """
    _check_iterable(given)
    tools: dict[str, AnyTool] = {}
    for entry in given:
        tool = _make_tool(entry)
        if tool.name in tools:
            raise ConfigurationError(
                f"two tools are named {tool.name!r}: "
                "give one another name by tool(name=...)"
            )
        _check_schema(tool)
        tools[tool.name] = tool
    return tools


def _check_iterable(tools: object) -> None:
    if isinstance(tools, Tool) or inspect.isroutine(tools):
        name = getattr(tools, "__name__", "my_function")
        raise ConfigurationError(
            f"tools is a list, also for one tool: write tools=[{name}]"
        )
    if isinstance(tools, str | bytes | Mapping) or not isinstance(tools, Iterable):
        raise ConfigurationError(
            f"tools is a list of functions, like tools=[search]; got {shown(tools)}"
        )


def _make_tool(given: AnyTool | Callable[..., object]) -> AnyTool:
    if isinstance(given, Tool):
        return given
    if isinstance(given, Mapping):
        raise ConfigurationError(
            "a tool is a function; one that the provider runs itself goes into "
            'Model(..., extra={"tools": [...]})'
        )
    return Tool(given)


def _check_schema(tool: AnyTool) -> None:
    """Build the schema now, where a bad signature is easy to see.

    A default, say, may be no value of JSON's.
    """
    try:
        check_json({"description": tool.description, "parameters": tool.parameters})
    except UnsendableError as error:
        raise ConfigurationError(
            f"the schema of the tool {tool.name!r} cannot be sent: it{error.at('')}"
        ) from None
