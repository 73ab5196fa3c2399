"""Tool calls: all of a turn at once, each timed, whatever goes wrong told to the model."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from time import perf_counter
from traceback import format_exception_only
from typing import Any

from cogent.errors import ToolError
from cogent.messages import ToolCall, ToolResult
from cogent.tools import ArgumentsError, Tool, to_text

Tools = Mapping[str, Tool[..., Any]]

LONGEST_ERROR = 500  # characters of an exception's text that the model gets


async def dispatch(
    calls: Sequence[ToolCall], tools: Tools, context: dict[str, Any], limit: float | None
) -> AsyncGenerator[ToolResult, None]:
    """Run the calls and yield each result as its tool ends, set on its call too; `limit` is for tools without one.

    Calls run concurrently, but one of a `sequential` tool waits for those before it and runs alone. Raises ToolError
    for a tool with `on_error="raise"`. What still runs when the generator is closed is cancelled.
    """
    for group in _groups(calls, tools):
        ended: asyncio.Queue[asyncio.Task[ToolResult]] = asyncio.Queue()
        tasks = [asyncio.create_task(_answer(call, tools, context, limit), name=call.name) for call in group]
        for task in tasks:
            task.add_done_callback(ended.put_nowait)
        try:
            for _ in tasks:
                task = await ended.get()
                try:
                    result = task.result()
                except asyncio.CancelledError as error:  # the tool's own; passed on, it would end the caller's task
                    raise ToolError(f"the tool {task.get_name()!r} raised CancelledError") from error
                yield result
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def _groups(calls: Sequence[ToolCall], tools: Tools) -> list[list[ToolCall]]:
    groups: list[list[ToolCall]] = []
    alone = True
    for call in calls:
        sequential = call.name in tools and tools[call.name].sequential
        if sequential or alone:
            groups.append([])
        groups[-1].append(call)
        alone = sequential
    return groups


async def _answer(call: ToolCall, tools: Tools, context: dict[str, Any], limit: float | None) -> ToolResult:
    started = perf_counter()
    tool = tools.get(call.name)
    if tool is None:
        content, is_error = f"There is no tool {call.name!r}. The tools are: {', '.join(tools) or 'none'}.", True
    else:
        seconds = limit if tool.timeout is None else tool.timeout
        content, is_error = await _run(tool, call, context, seconds)
    call.result = ToolResult(call.id, call.name, to_text(content), is_error, perf_counter() - started)
    return call.result


async def _run(
    tool: Tool[..., Any], call: ToolCall, context: dict[str, Any], seconds: float | None
) -> tuple[str, bool]:
    clock = asyncio.timeout(seconds)
    try:
        arguments = tool.bind(call.arguments, context)
        async with clock:
            value = await tool.call(arguments)
        return to_text(value), False
    except ArgumentsError as error:
        return str(error), True
    except Exception as error:  # whatever a tool raises is the model's to see, or the caller's by on_error="raise"
        if clock.expired() and isinstance(error, TimeoutError):
            text = f"did not end within {seconds:g} seconds"
        else:
            text = f"failed: {format_exception_only(error)[-1].strip()[:LONGEST_ERROR]}"
        if tool.on_error == "raise":
            raise ToolError(f"the tool {call.name!r} {text}") from error
        return f"The tool {call.name!r} {text}.", True
