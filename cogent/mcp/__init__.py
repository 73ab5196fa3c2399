"""Tools from MCP servers: `MCP.stdio(command)` runs one, `MCP.http(url)` asks one.

```python
async with MCP.stdio("uvx", "mcp-server-time") as server:
    agent = Agent("clock", "gpt-5.4", tools=server.tools)
    print(await agent.run("What time is it in Tokyo?"))
```

The protocol is the work of the official `mcp` package; here are its tools as `Tool`s,
and what happens when a server fails. Needs the extra `mcp`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypedDict, Unpack

from cogent.errors import ConfigurationError, ToolError
from cogent.mcp.callbacks import Elicit, OnLog, OnProgress, Sample
from cogent.mcp.connection import Connection, ServerFailedError
from cogent.mcp.names import tool_names
from cogent.mcp.results import error_output, to_tool_output
from cogent.mcp.servers import HttpServer, Server, StdioServer
from cogent.run.background import wait_for
from cogent.tools import Tool
from cogent.tools.results import ToolOutput

if TYPE_CHECKING:
    from mcp import types

__all__ = ["MCP", "Elicit", "MCPServerError", "OnLog", "OnProgress", "Sample"]

CHECK_SECONDS = 5.0  # for a server to answer after a call was cancelled or late


class MCPServerError(ToolError):
    """An MCP server could not be started or asked for its tools.

    >>> try:
    ...     with MCP.stdio("python", "no_such_file.py") as server:
    ...         print(server.tools)
    ... except MCPServerError as error:
    ...     print(str(error).partition(":")[0])
    the MCP server 'python' did not start
    """


class MCPOptions(TypedDict, total=False):
    """What `MCP.stdio` and `MCP.http` take besides: see `MCP`."""

    prefix: str
    approve_destructive: bool
    timeout: float | None
    startup_timeout: float
    sampling: Sample | None
    elicitation: Elicit | None
    on_progress: OnProgress | None
    on_log: OnLog | None


class MCP:
    """An MCP server: made by `MCP.stdio` or `MCP.http`, used by `async with`, or by
    `with` where the agent is used by `run_sync` and `stream_sync`.

    Options of both:

    - `prefix` stands before the name of each tool. Names get the characters that all
      providers take, `[A-Za-z0-9_-]`, and at most 64 of them.
    - `approve_destructive=True`: a tool asks for approval (see `tool`), unless its
      server says that it only reads (`readOnlyHint`).
    - `timeout`: seconds that one call may take; None leaves it to the agent's
      `Timeout(tool=...)`. `startup_timeout`: seconds to start, and to list the tools.
    - `sampling(params)` answers a server that asks for a model: with a string, or with
      a `CreateMessageResult` of the package `mcp`. `elicitation(message, schema)`
      answers one that asks the user: with a dict, or None to decline. Without them
      such requests are refused.
    - `on_progress(tool, progress, total, message)` and `on_log(level, message)` get
      what the server reports.

    A callback may be sync or async. A server that ends or hangs makes the call an error
    result for the model; the next call starts the server anew. Stopping a run cancels
    its calls at the server. Of a picture, a sound or a file that the model cannot take
    it is told in words; `response.tool_calls` have it all the same.

    The tools can be called from other event loops too, as long as the one that opened
    the server runs. `async with` raises ConfigurationError for a command that is not
    there and for missing packages, MCPServerError where the server does not come up.

    >>> with MCP.stdio("python", "server.py") as server:
    ...     agent = Agent("adder", ScriptedModel("It is 3."), tools=server.tools)
    ...     print([tool.name for tool in server.tools], agent.run_sync("1 + 2?"))
    ['add'] It is 3.
    """

    def __init__(self, server: Server, options: MCPOptions) -> None:
        for name in options.keys() - MCPOptions.__annotations__.keys():
            raise TypeError(f"an MCP server has no option {name!r}")
        self._server = server
        self._options = options
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connection: Connection | None = None
        self._starting = asyncio.Lock()
        self._tools: list[Tool[..., Any]] = []

    @classmethod
    def stdio(
        cls,
        command: str,
        *args: str,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        **options: Unpack[MCPOptions],
    ) -> MCP:
        """A server that is a program: it is started, and ended with `async with`.

        It gets `env` besides a few harmless variables of this process: PATH, HOME and
        the like, and where certificates are. API keys are not among them.
        """
        server = StdioServer(command, args, dict(env or {}), cwd)
        return cls(server, options)

    @classmethod
    def http(
        cls,
        url: str,
        headers: Mapping[str, str] | None = None,
        **options: Unpack[MCPOptions],
    ) -> MCP:
        """A server at a URL, which speaks Streamable HTTP; `headers` go with each
        request, `{"Authorization": "Bearer ..."}` say.
        """
        return cls(HttpServer(url, dict(headers or {})), options)

    @property
    def tools(self) -> list[Tool[..., Any]]:
        """The server's tools, as they were when it was opened."""
        if self._loop is None:
            raise ConfigurationError(
                "an MCP server has tools only within its `async with`"
            )
        return list(self._tools)

    def __repr__(self) -> str:
        return f"MCP({self._server.name!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "an MCP server and its tools cannot be pickled: open it where it is used"
        )

    async def __aenter__(self) -> Self:
        if self._loop is not None:
            raise ConfigurationError("this MCP server is open already")
        self._loop = asyncio.get_running_loop()
        try:
            connection = await self._connect()
        except BaseException:
            self._loop = None
            raise
        self._tools = self._make_tools(connection.tools)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._loop = None
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    def __enter__(self) -> Self:
        return wait_for(self.__aenter__)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        wait_for(lambda: self.__aexit__(kind, error, traceback))

    async def _connect(self) -> Connection:
        """A connection that works, which may be a new one."""
        async with self._starting:
            connection = self._connection
            if connection is not None and await connection.works(CHECK_SECONDS):
                return connection
            if connection is not None:
                self._connection = None
                await connection.close()
            opened = Connection(self._server, self._options)
            try:
                await opened.open(self._options.get("startup_timeout", 60.0))
            except ServerFailedError as error:
                raise MCPServerError(str(error)) from error.__cause__
            self._connection = opened
            return opened

    def _make_tools(self, listed: list[types.Tool]) -> list[Tool[..., Any]]:
        """The tools, by the names that providers take."""
        names = tool_names(
            [one.name for one in listed], self._options.get("prefix", "")
        )
        pairs = zip(names, listed, strict=True)
        return [self._make_tool(name, one) for name, one in pairs]

    def _make_tool(self, name: str, listed: types.Tool) -> Tool[..., Any]:
        """One of the server's tools, by this name."""
        function = partial(self._call, listed.name)
        hints = listed.annotations
        reads_only = hints is not None and hints.read_only_hint is True
        asks = self._options.get("approve_destructive", False) and not reads_only
        description = listed.description or listed.title or ""
        schema = {"type": "object", **listed.input_schema}
        return Tool.from_schema(name, description, schema, function, approval=asks)

    async def _call(self, name: str, /, **arguments: Any) -> ToolOutput:
        """Call a tool of the server, in the event loop that has the connection."""
        loop = self._loop
        if loop is None:
            return error_output("The tool's server is closed.")
        call = self._call_here(name, arguments)
        if loop is asyncio.get_running_loop():
            return await call
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(call, loop))

    async def _call_here(self, name: str, arguments: dict[str, Any]) -> ToolOutput:
        """Call a tool of the server; what goes wrong is an error result."""
        seconds = self._options.get("timeout")
        try:
            connection = await self._connect()
            result = await connection.call(name, arguments, seconds)
        except (ServerFailedError, MCPServerError, ConfigurationError) as error:
            return error_output(f"The tool's server failed: {error}")
        return to_tool_output(result)
