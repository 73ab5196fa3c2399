"""Tool calls: all of a turn at once, each timed, whatever goes wrong told to the model."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from functools import partial
from time import perf_counter
from typing import Any

from cogent.errors import ToolError
from cogent.messages import ToolCall, ToolResult
from cogent.run.copies import copy_json
from cogent.run.history import fit_name
from cogent.run.threads import ToolThreads
from cogent.tools import ArgumentsError, Tool
from cogent.tools.results import to_text

Tools = Mapping[str, Tool[..., Any]]

LONGEST_CLEANUP = 5.0  # seconds that a tool which was cancelled is waited for
LONGEST_ERROR = 500  # characters of an exception's text that the model gets
PATH = re.compile(r"(?<![\w:/\\])(?:[A-Za-z]:)?(?:[/\\][^\s/\\:'\"]+)+[/\\]([^\s/\\:'\"]+)")  # absolute ones; no URL


async def dispatch(
    calls: Sequence[ToolCall], tools: Tools, context: dict[str, Any], limit: float | None
) -> AsyncGenerator[ToolResult, None]:
    """Run the calls and yield each result as its tool ends, set on its call too; `limit` is for tools without one.

    Calls run concurrently, but one of a `sequential` tool waits for those before it and runs alone. Raises ToolError
    for a tool with `on_error="raise"`. What still runs when the generator is closed is cancelled.
    """
    threads = ToolThreads()
    for group in _groups(calls, tools):
        ended: asyncio.Queue[asyncio.Task[ToolResult]] = asyncio.Queue()
        tasks = [asyncio.create_task(_answer(call, tools, context, limit, threads), name=call.name) for call in group]
        for task in tasks:
            task.add_done_callback(ended.put_nowait)
        try:
            for _ in tasks:
                task = await ended.get()
                try:
                    result = task.result()
                except (asyncio.CancelledError, GeneratorExit) as error:  # passed on, it would end the caller's task
                    name = type(error).__name__
                    raise ToolError(f"the tool {task.get_name()!r} raised {name}") from error
                yield result
        finally:
            for task in tasks:
                task.cancel()
            done, _ = await asyncio.wait(tasks, timeout=LONGEST_CLEANUP)
            for task in done:
                task.cancelled() or task.exception()  # which the loop would otherwise complain that nobody asked for


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


class _Clock:
    """When a tool began, and the time-out that counts from then; a tool that waits for a thread has not begun."""

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds
        self.began = perf_counter()
        self.limit = asyncio.timeout(None)

    def start(self) -> None:
        self.began = perf_counter()
        if self.seconds is not None:
            self.limit.reschedule(asyncio.get_running_loop().time() + self.seconds)


async def _answer(
    call: ToolCall, tools: Tools, context: dict[str, Any], limit: float | None, threads: ToolThreads
) -> ToolResult:
    tool = tools.get(call.name)
    clock = _Clock(limit if tool is None or tool.timeout is None else tool.timeout)
    if tool is None:
        content = to_text(f"There is no tool {fit_name(call.name)!r}. The tools are: {', '.join(tools) or 'none'}.")
        is_error = True
    else:
        content, is_error = await _run(tool, call, context, clock, threads)
    call.result = ToolResult(call.id, call.name, content, is_error, perf_counter() - clock.began)
    return call.result


async def _run(
    tool: Tool[..., Any], call: ToolCall, context: dict[str, Any], clock: _Clock, threads: ToolThreads
) -> tuple[str, bool]:
    """The text for the model, and whether it is an error."""
    try:
        arguments = tool.bind(copy_json(call.arguments), context)
        async with clock.limit:
            return await _call(tool, arguments, clock, threads), False
    except ArgumentsError as error:
        return to_text(str(error)), True
    except (
        Exception,
        SystemExit,
    ) as error:  # whatever a tool raises is the model's to see, or by on_error the caller's
        if clock.limit.expired() and isinstance(error, TimeoutError):
            text = f"did not end within {clock.seconds:g} seconds"
        else:
            text = f"failed: {_told(error)}"
        if tool.on_error == "raise":
            raise ToolError(f"the tool {call.name!r} {text}") from error
        return to_text(f"The tool {call.name!r} {text}."), True


async def _call(tool: Tool[..., Any], arguments: dict[str, Any], clock: _Clock, threads: ToolThreads) -> str:
    """Run the tool, and return the text of its result."""
    function: Callable[..., Any] = partial(tool.function, **arguments)
    if tool.run_in_thread and not _is_async(tool.function):
        value, text = await threads.call(partial(_call_to_text, function), tool.name, clock.start)
        if text is not None:
            return str(text)
    else:
        clock.start()
        value = function()
    while inspect.isawaitable(value):
        value = await value
    # In the loop's thread: another thread would hold the loop up just as long, since pydantic writes all of it in one
    # piece, and tasks of the loop might change the value meanwhile.
    return to_text(value)


def _is_async(function: Callable[..., Any]) -> bool:
    return any(map(inspect.iscoroutinefunction, (function, getattr(function, "__call__", None))))  # noqa: B004


def _call_to_text(function: Callable[[], Any]) -> tuple[Any, str | None]:
    """In a tool's thread: what the function returned, and its text unless it is to be awaited in the loop."""
    try:
        value = function()
        return value, None if inspect.isawaitable(value) else to_text(value)
    except (StopIteration, GeneratorExit, KeyboardInterrupt) as error:  # these mean something else to a loop
        raise RuntimeError(_told(error)) from None


def _told(error: BaseException) -> str:
    """An exception as the model reads it: no traceback, no notes, and of a file's path only its last part."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001  # the user's own __str__
        text = ""
    text = PATH.sub(r"\1", text[:LONGEST_ERROR])
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
