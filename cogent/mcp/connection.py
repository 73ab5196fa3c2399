"""One connection to a server, in a task of its own.

The package `mcp` opens and closes a client in one task; calls may come from others. So
a task opens it, lists the tools, waits for the end, and closes it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cogent.errors import ConfigurationError
from cogent.mcp.callbacks import (
    elicitation_callback,
    logging_callback,
    progress_callback,
    sampling_callback,
)
from cogent.mcp.servers import Messages, Server, without_secrets
from cogent.run.watch import progress_reporter

if TYPE_CHECKING:
    from mcp import Client, types

MAX_PAGES = 1_000  # of a list of tools
LOG = logging.getLogger("cogent.mcp")


class ServerFailedError(Exception):
    """The connection does not work; its text is for people and models."""


class Connection:
    """A connection that is opened once, by `open`, and closed once, by `close`."""

    def __init__(self, server: Server, options: Mapping[str, Any]) -> None:
        self._server = server
        self._options = options
        self._messages = Messages()
        self._wrote_no_json = False
        self._is_closed = False
        self._is_doubted = False  # a call was cancelled or late: it may hang
        self._client: Client  # once it is open
        self._ending = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.tools: list[types.Tool] = []

    async def open(self, seconds: float) -> None:
        """Connect and list the tools, in so many seconds.

        Raises ServerFailedError, or ConfigurationError for what is missing here.
        """
        _require_package()
        ready = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._live(ready, seconds))
        try:
            await asyncio.wait([ready, self._task], return_when="FIRST_COMPLETED")
        except asyncio.CancelledError:
            await self.close()
            raise
        if ready.done():
            return
        error = _first(self._task.exception())
        if isinstance(error, OSError) and self._server.is_program:
            raise ConfigurationError(
                f"the MCP server's command {self._server.name!r} cannot be run: "
                f"{error.strerror or error}"
            ) from error
        raise ServerFailedError(self._describe(error, seconds)) from error

    async def close(self) -> None:
        """Close the connection; a program is ended."""
        self._is_closed = True
        self._ending.set()
        if self._task is not None:
            await asyncio.wait([self._task])
            if not self._task.cancelled() and self._task.exception() is not None:
                LOG.debug("an MCP server ended badly", exc_info=self._task.exception())

    async def works(self, seconds: float) -> bool:
        """Whether calls can be made; a server in doubt is asked something first."""
        if self._is_closed:
            return False
        if not self._is_doubted:
            return True
        try:
            async with asyncio.timeout(seconds):
                await self._client.list_tools(cache_mode="bypass")
        except Exception:  # noqa: BLE001  # any says that it does not work
            return False
        self._is_doubted = False
        return True

    async def call(
        self, name: str, arguments: dict[str, Any], seconds: float | None
    ) -> types.CallToolResult:
        """Call a tool.

        Raises ServerFailedError. A call that is cancelled is cancelled at the server.
        """
        on_progress = self._options.get("on_progress")
        on_step = progress_callback(on_progress, progress_reporter(), name)
        try:
            async with asyncio.timeout(seconds):
                return await self._client.call_tool(
                    name, arguments, progress_callback=on_step
                )
        except asyncio.CancelledError:
            self._is_doubted = True
            raise
        except TimeoutError as error:
            self._is_doubted = True
            raise ServerFailedError(f"no answer within {seconds} seconds") from error
        except Exception as error:
            # The server's, the transport's, or of what is not as the protocol has it.
            self._is_doubted = True
            raise ServerFailedError(self._words(error)) from error

    async def _live(self, ready: asyncio.Future[None], seconds: float) -> None:
        """The task: open, list, wait, close."""
        import anyio
        from mcp import Client

        deadline = anyio.current_time() + seconds
        with anyio.CancelScope(deadline=deadline) as scope:
            async with Client(
                self._server.connect(self._messages),
                sampling_callback=sampling_callback(self._options.get("sampling")),
                elicitation_callback=elicitation_callback(
                    self._options.get("elicitation")
                ),
                logging_callback=logging_callback(self._options.get("on_log")),
                log_level="info" if self._options.get("on_log") else None,
                message_handler=self._on_message,
            ) as self._client:
                self.tools = await _all_tools(self._client)
                scope.deadline = float("inf")
                ready.set_result(None)
                await self._ending.wait()

    async def _on_message(self, message: object) -> None:
        """What the server sends unasked; an exception for what is no JSON."""
        if isinstance(message, Exception):
            self._wrote_no_json = True

    def _describe(self, error: BaseException | None, seconds: float) -> str:
        """Why the server did not come up."""
        reason = f"it did not answer within {seconds:g} seconds"
        if error is not None:
            reason = self._words(error)
        if self._wrote_no_json:
            reason += "; it wrote what is no JSON to its stdout"
        said = self._messages.text()
        text = f"the MCP server {self._server.name!r} did not start: {reason}"
        if said:
            text += f". Its last messages:\n{said}"
        return without_secrets(text, self._server.secrets())

    def _words(self, error: BaseException) -> str:
        """An error for the model, without what must stay secret."""
        from mcp import MCPError

        kind = "" if isinstance(error, MCPError) else f"{type(error).__name__}: "
        text = f"{kind}{error}"
        return without_secrets(text, self._server.secrets())


def _first(error: BaseException | None) -> BaseException | None:
    """The error itself, where task groups have wrapped it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _require_package() -> None:
    try:
        import mcp  # noqa: F401
    except ImportError as error:
        raise ConfigurationError(
            "MCP servers need the package 'mcp': pip install \"cogent-ai[mcp]\""
        ) from error


async def _all_tools(client: Client) -> list[types.Tool]:
    """The tools of all pages."""
    tools: list[types.Tool] = []
    cursor: str | None = None
    for _ in range(MAX_PAGES):
        page = await client.list_tools(cursor=cursor)
        tools += page.tools
        if not page.next_cursor or page.next_cursor == cursor:
            break
        cursor = page.next_cursor
    return tools
