"""What the user answers and gets to know, in the form of the package `mcp`."""

from __future__ import annotations

import inspect
import json
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from cogent.run.watch import Reporter

if TYPE_CHECKING:
    from mcp import types
    from mcp.client.context import ClientRequestContext
    from mcp.client.session import ElicitationFnT, LoggingFnT, SamplingFnT
    from mcp.shared.dispatcher import ProgressFnT

Answer = Awaitable[Any] | Any
Sample = Callable[[Any], Answer]
"""`(params) -> text`; `params` is a `CreateMessageRequestParams` of `mcp`.

>>> MCP.stdio("python", "server.py", sampling=lambda params: "A short text.")
MCP('python')
"""
Elicit = Callable[[str, dict[str, Any]], Answer]
"""`(message, schema) -> dict | None`; None declines.

>>> MCP.stdio("python", "server.py", elicitation=lambda message, schema: None)
MCP('python')
"""
OnProgress = Callable[[str, float, float | None, str | None], Answer]
"""`(tool, progress, total, message)`; `total` and `message` may be None.

>>> def show(tool: str, progress: float, total: float | None, message: str | None):
...     print(tool, progress, total, message)
>>> server = MCP.stdio("python", "server.py", on_progress=show)
"""
OnLog = Callable[[str, str], Answer]
"""`(level, message)`; `level` is one of the protocol: "info", "warning", ...

>>> def show(level: str, message: str):
...     print(level, message)
>>> server = MCP.stdio("python", "server.py", on_log=show)
"""

LOG = logging.getLogger("cogent.mcp")
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "notice": logging.INFO}


async def settle(value: Answer) -> Any:
    """What a sync or async callback gave."""
    return await value if inspect.isawaitable(value) else value


def sampling_callback(sample: Sample | None) -> SamplingFnT | None:
    """The callback of `mcp` for requests that want a model; None without one."""
    if sample is None:
        return None
    answer = sample

    async def on_sampling(
        context: ClientRequestContext, params: types.CreateMessageRequestParams
    ) -> types.CreateMessageResult:
        from mcp import types

        result: str | types.CreateMessageResult = await settle(answer(params))
        if not isinstance(result, str):
            return result
        content = types.TextContent(type="text", text=result)
        return types.CreateMessageResult(
            role="assistant", content=content, model="unknown"
        )

    return on_sampling


def elicitation_callback(elicit: Elicit | None) -> ElicitationFnT | None:
    """The callback of `mcp` for requests that ask the user; None without one."""
    if elicit is None:
        return None
    answer = elicit

    async def on_elicitation(
        context: ClientRequestContext, params: types.ElicitRequestParams
    ) -> types.ElicitResult:
        from mcp import types

        schema = getattr(params, "requested_schema", None)
        if schema is None:  # it wants the user to visit a page
            return types.ElicitResult(action="decline")
        given = await settle(answer(params.message, schema))
        if given is None:
            return types.ElicitResult(action="decline")
        return types.ElicitResult(action="accept", content=given)

    return on_elicitation


def logging_callback(on_log: OnLog | None) -> LoggingFnT:
    """The callback of `mcp` for what a server logs."""

    async def on_message(params: types.LoggingMessageNotificationParams) -> None:
        data = params.data
        text = data if isinstance(data, str) else json.dumps(data, default=str)
        if on_log is not None:
            await settle(on_log(params.level, text))
        else:
            LOG.log(LEVELS.get(params.level, logging.WARNING), "%s", text)

    return on_message


def progress_callback(
    on_progress: OnProgress | None, report: Reporter | None, tool: str
) -> ProgressFnT | None:
    """The callback of `mcp` for the progress of one call; None where it is for nobody."""
    if on_progress is None and report is None:
        return None

    async def on_step(
        progress: float, total: float | None, message: str | None
    ) -> None:
        if report is not None:
            report(progress, total, message)
        if on_progress is not None:
            await settle(on_progress(tool, progress, total, message))

    return on_step
