"""Tool calls: all of a turn at once, each with a limit of time.

What goes wrong in a tool is a result for the model.
"""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import (
    AsyncGenerator,
    Callable,
    Collection,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter
from typing import Any

from cogent.content import read_all
from cogent.errors import ToolError
from cogent.json_values import Json
from cogent.messages import ToolCall, ToolResult
from cogent.run.approval import Tools, ask_for_approval, fits
from cogent.run.files import read_parts
from cogent.run.history import fit_name
from cogent.run.threads import ToolThreads
from cogent.run.watch import Watch
from cogent.tools import ArgumentsError, Tool
from cogent.tools.results import ToolOutput, to_output, to_text

AnyTool = Tool[..., Any]
Calls = Sequence[ToolCall]
Task = asyncio.Task[ToolResult]

MAX_CLEANUP_SECONDS = 5.0  # that a tool which was cancelled is waited for
MAX_ERROR_CHARS = 500  # of an exception's text that the model gets
# An absolute path, but no URL; the group is its last part.
PATH = re.compile(
    r"(?<![\w:/\\])(?:[A-Za-z]:)?(?:[/\\][^\s/\\:'\"]+)+[/\\]([^\s/\\:'\"]+)"
)


async def dispatch(
    calls: Calls,
    tools: Tools,
    context: object,
    limit: float | None,
    watch: Watch,
    approved: Collection[str] = (),
) -> AsyncGenerator[ToolResult, None]:
    """Run the calls, and yield each result as its tool ends; it is set on its call too.

    Calls run concurrently, but one of a `sequential` tool waits for those before it and
    runs alone. `limit` is for tools without a time-out of their own. `approved` are the
    ids of calls that nobody needs to approve of any more. Raises ToolError for a tool
    with `on_error="raise"`. What still runs when the generator is closed is
    cancelled.
    """
    caller = _Caller(tools, context, limit, ToolThreads(), approved, watch)
    for group in _groups(calls, tools.by_name):
        ended: asyncio.Queue[Task] = asyncio.Queue()
        tasks: list[Task] = []
        for call in group:
            task = asyncio.create_task(caller.answer(call), name=call.name)
            task.add_done_callback(ended.put_nowait)
            tasks.append(task)
        try:
            for _ in tasks:
                yield _result(await ended.get())
        finally:
            await _cancel(tasks)


def _groups(calls: Calls, tools: Mapping[str, AnyTool]) -> list[list[ToolCall]]:
    """The calls in groups: one group after the other, its calls at the same time."""
    groups: list[list[ToolCall]] = []
    was_sequential = True
    for call in calls:
        tool = tools.get(call.name)
        is_sequential = tool is not None and tool.sequential
        if is_sequential or was_sequential:
            groups.append([])
        groups[-1].append(call)
        was_sequential = is_sequential
    return groups


def _result(task: Task) -> ToolResult:
    """The result of a task that has ended.

    Raises ToolError for an exception that would end the task of the caller.
    """
    try:
        return task.result()
    except (asyncio.CancelledError, GeneratorExit) as error:
        raise ToolError(
            f"the tool {task.get_name()!r} raised {type(error).__name__}"
        ) from error


async def _cancel(tasks: list[Task]) -> None:
    """End those tasks that still run."""
    for task in tasks:
        task.cancel()
    ended, _ = await asyncio.wait(tasks, timeout=MAX_CLEANUP_SECONDS)
    for task in ended:
        if not task.cancelled():
            task.exception()  # or the event loop would log that nobody asked for it


class _Clock:
    """When a tool began, and the time-out that counts from then.

    A tool that waits for a thread has not begun.
    """

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds
        self.began = perf_counter()
        self.limit = asyncio.timeout(None)

    def start(self) -> None:
        """The tool begins."""
        self.began = perf_counter()
        if self.seconds is not None:
            now = asyncio.get_running_loop().time()
            self.limit.reschedule(now + self.seconds)

    def elapsed(self) -> float:
        """Seconds since the tool began."""
        return perf_counter() - self.began

    def describe(self, error: BaseException) -> str:
        """What the tool did that ended by this error."""
        if isinstance(error, TimeoutError) and self.limit.expired():
            return f"did not end within {self.seconds:g} seconds"
        return f"failed: {_error_text(error)}"


@dataclass(frozen=True, slots=True, repr=False)
class _Caller:
    """What the calls of one turn have in common."""

    tools: Tools
    context: object
    limit: float | None  # for tools without one
    threads: ToolThreads
    approved: Collection[str]
    watch: Watch

    async def answer(self, call: ToolCall) -> ToolResult:
        """Run the tool of the call, if it may run, and set the result on the call."""
        tool = self.tools.by_name.get(call.name)
        result = ToolResult(call.id, call.name, "", is_error=True)
        if tool is None:
            names = ", ".join(self.tools.by_name) or "none"
            name = fit_name(call.name)
            with self._watching(call, result):
                result.content = to_text(
                    f"There is no tool {name!r}. The tools are: {names}."
                )
        elif (refused := await self._refusal(tool, call)) is not None:
            result.content = to_text(refused)
        else:
            with self._watching(call, result):
                await self._run(tool, call, result)
        call.result = result
        return result

    @contextmanager
    def _watching(self, call: ToolCall, result: ToolResult) -> Iterator[None]:
        """Tell the observers that a tool begins and ends."""
        self.watch.tool_started(call)
        try:
            yield
            call.result = result
        except BaseException as error:
            self.watch.tool_failed(call, error)
            raise
        finally:
            self.watch.tool_ended(call)

    async def _refusal(self, tool: AnyTool, call: ToolCall) -> str | None:
        """What the model reads of a call that was not approved; None if it may run."""
        approve = self.tools.approve
        if not tool.approval or approve is None or call.id in self.approved:
            return None
        if not fits(tool, call, self.context):
            return None  # running it says what is wrong
        return await ask_for_approval(approve, call, self.context, self.threads)

    async def _run(self, tool: AnyTool, call: ToolCall, result: ToolResult) -> None:
        """Run the tool, and complete the result of its call."""
        clock = _Clock(self.limit if tool.timeout is None else tool.timeout)
        try:
            arguments = tool.bind(call.arguments, self.context)
            async with clock.limit:
                output = await self._call(tool, arguments, clock)
            result.content = output.text
            result.parts = output.parts
            result.is_error = output.is_error
        except ArgumentsError as error:
            self.watch.tool_failed(call, error)
            result.content = to_text(str(error))
        except (Exception, SystemExit) as error:
            # Whatever a tool raises is for the model, or by on_error for the caller.
            self.watch.tool_failed(call, error)
            failure = f"tool {call.name!r} {clock.describe(error)}"
            if tool.on_error == "raise":
                raise ToolError(f"the {failure}") from error
            result.content = to_text(f"The {failure}.")
        result.duration = clock.elapsed()

    async def _call(self, tool: AnyTool, arguments: Json, clock: _Clock) -> ToolOutput:
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
    """In a tool's thread: what the function returned, and what the model reads of it.

    The latter is None if the value is to be awaited in the loop.
    """
    value = function()
    if inspect.isawaitable(value):
        return value, None
    output = to_output(value)
    return value, replace(output, parts=read_all(output.parts))


def _error_text(error: BaseException) -> str:
    """An exception as the model reads it.

    That is without traceback and notes, and of a file's path only its last part.
    """
    try:
        text = str(error)
    except Exception:  # noqa: BLE001  # the user's own __str__
        text = ""
    text = PATH.sub(r"\1", text[:MAX_ERROR_CHARS])
    kind = type(error).__name__
    return f"{kind}: {text}" if text else kind
