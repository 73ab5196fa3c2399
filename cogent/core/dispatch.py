"""Tool calls: all of a turn at once, each timed, whatever goes wrong told to the model."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from threading import Thread
from time import perf_counter
from typing import Any

from cogent.errors import ToolError
from cogent.messages import ToolCall, ToolResult
from cogent.tools import ArgumentsError, Tool, to_text

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
            value = await _call(tool, arguments)
        return to_text(value), False
    except ArgumentsError as error:
        return str(error), True
    except (
        Exception,
        SystemExit,
    ) as error:  # whatever a tool raises is the model's to see, or by on_error the caller's
        if clock.expired() and isinstance(error, TimeoutError):
            text = f"did not end within {seconds:g} seconds"
        else:
            text = f"failed: {_told(error)}"
        if tool.on_error == "raise":
            raise ToolError(f"the tool {call.name!r} {text}") from error
        return f"The tool {call.name!r} {text}.", True


async def _call(tool: Tool[..., Any], arguments: dict[str, Any]) -> Any:
    function: Callable[..., Any] = tool.function
    is_async = any(map(inspect.iscoroutinefunction, (function, getattr(function, "__call__", None))))  # noqa: B004
    if tool.run_in_thread and not is_async:
        value = await _in_thread(partial(function, **arguments), tool.name)
    else:
        value = function(**arguments)
    while inspect.isawaitable(value):
        value = await value
    return value


async def _in_thread(function: Callable[[], Any], name: str) -> Any:
    """Call the function in a thread of its own, with the caller's context variables.

    The loop's threads are few, name resolution needs them, and the end of the loop waits for them: a tool that hangs
    would stop all of it. Nothing waits for a daemon thread.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Any] = loop.create_future()

    def settle(value: Any, error: BaseException | None) -> None:
        if answer.cancelled():  # nobody waits any more
            return
        if error is None:
            answer.set_result(value)
        else:
            answer.set_exception(error)

    def run() -> None:
        value: Any = None
        failure: BaseException | None = None
        try:
            value = function()
        except (StopIteration, GeneratorExit, KeyboardInterrupt) as error:  # these mean something else to a loop
            failure = RuntimeError(_told(error))
        except BaseException as error:  # noqa: BLE001  # handed over to the task that waits
            failure = error
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(settle, value, failure)

    Thread(target=copy_context().run, args=(run,), name=f"tool {name}", daemon=True).start()
    return await answer


def _told(error: BaseException) -> str:
    """An exception as the model reads it: no traceback, no notes, and of a file's path only its last part."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001  # the user's own __str__
        text = ""
    text = PATH.sub(r"\1", text[:LONGEST_ERROR])
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
