"""Tool calls: all of a turn at once, each timed, whatever goes wrong told to the model."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from time import perf_counter
from typing import Any

from cogent.errors import ToolError
from cogent.messages import ToolCall, ToolResult
from cogent.tools import ArgumentsError, Tool, to_text

Tools = Mapping[str, Tool[..., Any]]

LONGEST_ERROR = 500  # characters of an exception's text that the model gets


async def dispatch(
    calls: Sequence[ToolCall], tools: Tools, context: dict[str, Any], limit: float | None
) -> AsyncGenerator[tuple[ToolCall, ToolResult], None]:
    """Run the calls and yield each with its result as its tool ends; `limit` is the time-out of tools without one.

    Calls run concurrently, but one of a `sequential` tool waits for those before it and runs alone. Raises ToolError
    for a tool with `on_error="raise"`. What still runs when the generator is closed is cancelled.
    """
    for group in _groups(calls, tools):
        tasks = [asyncio.create_task(_answer(call, tools, context, limit), name=call.name) for call in group]
        running = set(tasks)
        try:
            while running:
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    yield task.result()
        finally:
            for task in running:
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


async def _answer(
    call: ToolCall, tools: Tools, context: dict[str, Any], limit: float | None
) -> tuple[ToolCall, ToolResult]:
    started = perf_counter()
    tool = tools.get(call.name)
    if tool is None:
        content, is_error = (
            f"There is no tool {call.name!r}. The tools are: {', '.join(tools) or 'none'}.",
            True,
        )
    else:
        seconds = limit if tool.timeout is None else tool.timeout
        content, is_error = await _run(tool, call, context, seconds)
    return call, ToolResult(call.id, call.name, content, is_error, perf_counter() - started)


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
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        # Nobody cancelled the run: the tool itself raised it, and passed on it would end the caller's own task.
        raise ToolError(f"the tool {call.name!r} raised CancelledError") from error
    except Exception as error:  # whatever a tool raises is the model's to see, or the caller's by on_error="raise"
        if clock.expired() and isinstance(error, TimeoutError):
            text = f"did not end within {seconds:g} seconds"
        else:
            text = f"failed: {_short(error)}"
        if tool.on_error == "raise":
            raise ToolError(f"the tool {call.name!r} {text}") from error
        return f"The tool {call.name!r} {text}.", True


def _short(error: Exception) -> str:
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return text if len(text) <= LONGEST_ERROR else text[:LONGEST_ERROR] + "…"
