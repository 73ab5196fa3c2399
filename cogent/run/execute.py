"""Tool calls: all of a turn at once, each timed; what goes wrong is a result for the
model.
"""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter
from typing import Any

from cogent.content import read_all
from cogent.errors import ToolError
from cogent.messages import ToolCall, ToolResult
from cogent.run.files import read_parts
from cogent.run.history import fit_name
from cogent.run.threads import ToolThreads
from cogent.tools import ArgumentsError, Tool
from cogent.tools.results import ToolOutput, to_output

Tools = Mapping[str, Tool[..., Any]]

MAX_CLEANUP_SECONDS = 5.0  # that a tool which was cancelled is waited for
MAX_ERROR_CHARS = 500  # of an exception's text that the model gets
PATH = re.compile(
    r"(?<![\w:/\\])(?:[A-Za-z]:)?(?:[/\\][^\s/\\:'\"]+)+[/\\]([^\s/\\:'\"]+)"
)  # absolute ones; no URL


async def dispatch(
    calls: Sequence[ToolCall],
    tools: Tools,
    context: dict[str, Any],
    limit: float | None,
) -> AsyncGenerator[ToolResult, None]:
    """Run the calls and yield each result as its tool ends, set on its call too;
    `limit` is for tools without one.

    Calls run concurrently, but one of a `sequential` tool waits for those before it and
    runs alone. Raises ToolError for a tool with `on_error="raise"`. What still runs
    when the generator is closed is cancelled.
    """
    caller = _Caller(tools, context, limit, ToolThreads())
    for group in _groups(calls, tools):
        ended: asyncio.Queue[asyncio.Task[ToolResult]] = asyncio.Queue()
        tasks = [
            asyncio.create_task(caller.answer(call), name=call.name) for call in group
        ]
        for task in tasks:
            task.add_done_callback(ended.put_nowait)
        try:
            for _ in tasks:
                yield _result(await ended.get())
        finally:
            await _cancel(tasks)


def _groups(calls: Sequence[ToolCall], tools: Tools) -> list[list[ToolCall]]:
    """The calls in groups that run one after the other, each with calls that run at the
    same time.
    """
    groups: list[list[ToolCall]] = []
    alone = True
    for call in calls:
        sequential = call.name in tools and tools[call.name].sequential
        if sequential or alone:
            groups.append([])
        groups[-1].append(call)
        alone = sequential
    return groups


def _result(task: asyncio.Task[ToolResult]) -> ToolResult:
    """The result of a task that has ended.

    Raises ToolError for what, passed on, would end the caller's task.
    """
    try:
        return task.result()
    except (asyncio.CancelledError, GeneratorExit) as error:
        raise ToolError(
            f"the tool {task.get_name()!r} raised {type(error).__name__}"
        ) from error


async def _cancel(tasks: Sequence[asyncio.Task[ToolResult]]) -> None:
    """End those tasks that still run."""
    for task in tasks:
        task.cancel()
    ended, _ = await asyncio.wait(tasks, timeout=MAX_CLEANUP_SECONDS)
    for task in ended:
        if not task.cancelled():
            task.exception()  # an error that nobody asked for would be logged by the event loop


class _Clock:
    """When a tool began, and the time-out that counts from then; a tool that waits for
    a thread has not begun.
    """

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds
        self.began = perf_counter()
        self.limit = asyncio.timeout(None)

    def start(self) -> None:
        """The tool begins."""
        self.began = perf_counter()
        if self.seconds is not None:
            self.limit.reschedule(asyncio.get_running_loop().time() + self.seconds)

    def has_ended(self, error: BaseException) -> bool:
        """Whether the error is that of the time-out."""
        return isinstance(error, TimeoutError) and self.limit.expired()


@dataclass(frozen=True, slots=True, repr=False)
class _Caller:
    """What the calls of one turn have in common."""

    tools: Tools
    context: dict[str, Any]
    limit: float | None  # for tools without one
    threads: ToolThreads

    async def answer(self, call: ToolCall) -> ToolResult:
        """Run the tool of the call, and set the result on the call."""
        tool = self.tools.get(call.name)
        if tool is None:
            clock = _Clock(None)
            names = ", ".join(self.tools) or "none"
            output = to_output(
                f"There is no tool {fit_name(call.name)!r}. The tools are: {names}."
            )
            is_error = True
        else:
            clock = _Clock(self.limit if tool.timeout is None else tool.timeout)
            output, is_error = await self._run(tool, call, clock)
        call.result = ToolResult(
            call.id,
            call.name,
            output.text,
            is_error,
            perf_counter() - clock.began,
            output.parts,
        )
        return call.result

    async def _run(
        self, tool: Tool[..., Any], call: ToolCall, clock: _Clock
    ) -> tuple[ToolOutput, bool]:
        """What the model reads, and whether it is an error."""
        try:
            arguments = tool.bind(call.arguments, self.context)
            async with clock.limit:
                return await self._call(tool, arguments, clock), False
        except ArgumentsError as error:
            return to_output(str(error)), True
        except (
            Exception,
            SystemExit,
        ) as error:  # whatever a tool raises is for the model, or by on_error the caller
            if clock.has_ended(error):
                text = f"did not end within {clock.seconds:g} seconds"
            else:
                text = f"failed: {_error_text(error)}"
            if tool.on_error == "raise":
                raise ToolError(f"the tool {call.name!r} {text}") from error
            return to_output(f"The tool {call.name!r} {text}."), True

    async def _call(
        self, tool: Tool[..., Any], arguments: dict[str, Any], clock: _Clock
    ) -> ToolOutput:
        """Run the tool, and return what the model reads of its result."""
        function = partial(tool.function, **arguments)
        output: ToolOutput | None
        if tool.run_in_thread and not _is_async(tool.function):
            value, output = await self.threads.call(
                partial(_call_in_thread, function), tool.name, clock.start
            )
            if output is not None:
                return output
        else:
            clock.start()
            value = function()
        while inspect.isawaitable(value):
            value = await value
        # In the loop's thread: another thread would hold the loop up just as long,
        # since pydantic writes all of it in one piece, and tasks of the loop might
        # change the value meanwhile.
        output = to_output(value)
        return replace(output, parts=await read_parts(output.parts))


def _is_async(function: Callable[..., object]) -> bool:
    call = getattr(function, "__call__", None)  # noqa: B004  # not whether, but what
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


def _call_in_thread(
    function: Callable[[], object],
) -> tuple[object, ToolOutput | None]:
    """In a tool's thread: what the function returned, and what the model reads of it,
    unless it is to be awaited in the loop.
    """
    try:
        value = function()
        if inspect.isawaitable(value):
            return value, None
        output = to_output(value)
        return value, replace(output, parts=read_all(output.parts))
    except (
        StopIteration,
        GeneratorExit,
        KeyboardInterrupt,
    ) as error:  # these mean something else to a loop
        raise RuntimeError(_error_text(error)) from None


def _error_text(error: BaseException) -> str:
    """An exception as the model reads it: no traceback, no notes, and of a file's path
    only its last part.
    """
    try:
        text = str(error)
    except Exception:  # noqa: BLE001  # the user's own __str__
        text = ""
    text = PATH.sub(r"\1", text[:MAX_ERROR_CHARS])
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
