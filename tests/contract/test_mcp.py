"""Tools of MCP servers, which are programs of their own: over stdin and stdout, and over HTTP."""

import asyncio
import base64
import json
import pickle
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from conftest import WIRES
from support.loopback import Loopback, Reply
from support.ports import free_port, listens
from support.waiting import PROMPT_SECONDS, until

from cogent import ConfigurationError, File, Image, ModelTimeout, Timeout
from cogent.errors import CogentError
from cogent.mcp import MCP, MCPServerError
from cogent.tools.results import ToolOutput

pytestmark = pytest.mark.slow

SUPPORT = Path(__file__).parent.parent / "support"
PROGRAM = str(SUPPORT / "mcp_server.py")
SCRIPT = str(SUPPORT / "mcp_script.py")
PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452")
OPENAI = next(wire for wire in WIRES if wire.name == "openai")
NO_ARGUMENTS: dict[str, Any] = {"type": "object", "properties": {}}


def real(folder: Path, **options: Any) -> MCP:
    """A server made with the official package."""
    return MCP.stdio(sys.executable, PROGRAM, str(folder), **options)


def scripted(pages: list[list[Any]], options: Any = None, **script: Any) -> MCP:
    """A server that answers with what it is given."""
    written = json.dumps({"pages": pages, **script})
    return MCP.stdio(sys.executable, SCRIPT, written, **(options or {}))


def listed(name: str, **more: Any) -> dict[str, Any]:
    """A tool as a server lists it."""
    return {"name": name, "inputSchema": NO_ARGUMENTS, **more}


async def call(server: MCP, name: str, **arguments: Any) -> ToolOutput:
    """What a tool of the server gives."""
    function = next(tool.function for tool in server.tools if tool.name == name)
    output: ToolOutput = await function(**arguments)
    return output


def notes(folder: Path) -> list[str]:
    """What the program said to the test."""
    file = folder / "notes"
    return file.read_text().split("\n")[:-1] if file.exists() else []


def running(folder: Path) -> list[int]:
    """The processes of the program that are still there."""
    pids = [int(note.split()[1]) for note in notes(folder) if note.startswith("pid")]
    return [pid for pid in pids if Path(f"/proc/{pid}/cmdline").exists()]


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """The port of a server that speaks HTTP."""
    number = free_port()
    command = [sys.executable, PROGRAM, str(tmp_path), str(number)]
    deadline = time.monotonic() + PROMPT_SECONDS
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as program:
        try:
            while not listens(number):
                assert time.monotonic() < deadline, "the server does not start"
                time.sleep(0.05)
            yield number
        finally:
            program.kill()


@pytest.mark.parametrize("name", ["openai", "anthropic", "gemini"])
async def test_a_run_calls_the_tools_of_a_server(
    server: Loopback, name: str, tmp_path: Path
) -> None:
    """The model is told of the tools, and reads their results."""
    wire = next(wire for wire in WIRES if wire.name == name)
    calls = [("c1", "my_add", '{"a": 2, "b": 3}'), ("c2", "my_picture", "{}")]
    server.reply(Reply(wire.send.tool_calls(*calls), content_type=wire.mime))
    server.reply(Reply(wire.send.text("Five"), content_type=wire.mime))
    async with (
        real(tmp_path, prefix="my_") as tools,
        wire.agent(server, tools=tools.tools, stream=True) as agent,
    ):
        response = await agent.run("Go")
    results = [call.result for call in response.tool_calls]
    assert [result and result.content for result in results] == ["5", ""]
    assert results[1] is not None
    assert results[1].parts == [Image(PNG)]
    assert "my_files_read_now" in server.requests[0].body.decode()
    assert "Add two numbers." in server.requests[0].body.decode()
    assert base64.b64encode(PNG)[:12] in server.requests[1].body
    assert running(tmp_path) == []


async def test_a_server_over_http(port: int) -> None:
    """A URL is a server too, and gets the headers."""
    async with MCP.http(
        f"http://127.0.0.1:{port}/mcp", {"Authorization": "Bearer abc"}
    ) as tools:
        assert (await call(tools, "add", a=1, b=2)).text == "3"


async def test_a_server_that_wants_a_log_in(server: Loopback) -> None:
    """The error says so, and shows nothing of the headers and the URL that may be secret."""
    server.reply(*[Reply(b"", 401, "text/plain")] * 9)
    url = server.url + "/mcp?key=secret-key"
    opening = MCP.http(url, {"Authorization": "Bearer secret-token"})
    with pytest.raises(MCPServerError) as caught:
        async with opening:
            pass
    assert "401" in str(caught.value)
    shown = f"{caught.value!r} {opening!r}"
    assert "secret" not in shown
    assert any("secret-token" in str(r.headers) for r in server.requests)


async def test_all_pages_are_listed() -> None:
    """A server may list its tools in pages."""
    pages = [[listed(f"t{n}")] for n in range(3)]
    async with scripted(pages) as tools:
        assert [tool.name for tool in tools.tools] == ["t0", "t1", "t2"]


async def test_names_are_such_as_providers_take() -> None:
    """Other characters are replaced, long names cut, and all stay different."""
    given = ["a.b", "a/b", "a_b", "x" * 70, "x" * 80, "наш"]
    async with scripted([[listed(name) for name in given]]) as tools:
        names = [tool.name for tool in tools.tools]
    assert names[:3] == ["a_b", "a_b_2", "a_b_3"]
    assert names[3:] == ["x" * 64, "x" * 62 + "_2", "___"]


async def test_results_come_as_parts() -> None:
    """Text, pictures, sound, resources and structured values are what a model reads."""
    png = base64.b64encode(PNG).decode()
    wave = base64.b64encode(b"RIFF....WAVE").decode()
    link = {
        "type": "resource_link",
        "uri": "file:///a.txt",
        "name": "a.txt",
        "description": "notes",
    }
    blob = {"uri": "file:///b/c.pdf", "mimeType": "application/pdf", "blob": wave}
    words = {"uri": "file:///d.txt", "mimeType": "text/plain", "text": "inside"}
    content = [
        {"type": "text", "text": "before"},
        {"type": "image", "data": png, "mimeType": "image/png"},
        {"type": "audio", "data": wave, "mimeType": "audio/wav"},
        {"type": "resource", "resource": blob},
        {"type": "resource", "resource": words},
        link,
        {"type": "image", "data": "***", "mimeType": "image/png"},
    ]
    results = {
        "all": {"content": content},
        "value": {"content": [], "structuredContent": {"n": 1}},
        "both": {
            "content": [{"type": "text", "text": "{}"}],
            "structuredContent": {},
        },
        "wrong": {"content": [{"type": "text", "text": "no"}], "isError": True},
        "nothing": {"content": []},
    }
    async with scripted([[listed(name) for name in results]], results=results) as tools:
        assert (await call(tools, "all")).parts == [
            "before",
            Image(PNG),
            File(b"RIFF....WAVE", media_type="audio/wav"),
            File(b"RIFF....WAVE", media_type="application/pdf", name="c.pdf"),
            "inside",
            "a.txt: file:///a.txt: notes",
            "(a file of image/png that cannot be read)",
        ]
        assert await call(tools, "value") == ToolOutput('{"n": 1}')
        assert await call(tools, "both") == ToolOutput("{}")
        assert await call(tools, "wrong") == ToolOutput("no", is_error=True)
        assert await call(tools, "nothing") == ToolOutput("")


async def test_the_model_is_told_what_is_an_error(
    server: Loopback, tmp_path: Path
) -> None:
    """An error of the server, and one of its end, are error results, and the run goes on with a new server."""
    wire = OPENAI
    turns = [("c1", "add", '{"a": "x", "b": 1}')], [("c2", "die", "{}")]
    for turn in (*turns, [("c3", "add", '{"a": 1, "b": 1}')]):
        server.reply(Reply(wire.send.tool_calls(*turn), content_type=wire.mime))
    server.reply(Reply(wire.send.text("Two"), content_type=wire.mime))
    async with (
        real(tmp_path) as tools,
        wire.agent(server, tools=tools.tools, stream=True) as agent,
    ):
        response = await agent.run("Go")
    results = [call.result for call in response.tool_calls]
    assert [result and result.is_error for result in results] == [True, True, False]
    assert [result and result.content for result in results][1:] == [
        "The tool's server failed: Connection closed",
        "2",
    ]
    assert len([note for note in notes(tmp_path) if note.startswith("pid")]) == 2
    assert running(tmp_path) == []


async def test_stopping_a_run_cancels_the_call_at_the_server(
    server: Loopback, tmp_path: Path
) -> None:
    """The program sees the cancellation at once, and goes on to serve."""
    wire = OPENAI
    called = wire.send.tool_calls(("c1", "wait", "{}"))
    server.reply(Reply(called, content_type=wire.mime))
    async with (
        real(tmp_path) as tools,
        wire.agent(server, tools=tools.tools) as agent,
    ):
        stream = agent.run_stream("Go")
        async for chunk in stream:
            if chunk.finish_reason == "tool_calls":
                reading = asyncio.ensure_future(anext(aiter(stream), None))
                await until(lambda: "begun" in notes(tmp_path))
                stream.cancel()
                await reading
        await until(lambda: "cancelled" in notes(tmp_path))
        assert (await call(tools, "add", a=1, b=2)).text == "3"
    assert len([note for note in notes(tmp_path) if note.startswith("pid")]) == 1


async def test_a_call_that_hangs_is_an_error_and_the_next_starts_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A server that answers nothing any more is replaced at the next call."""
    monkeypatch.setattr("cogent.mcp.CHECK_SECONDS", 0.1)
    results = {"quick": {"content": [{"type": "text", "text": "done"}]}}
    tools = scripted(
        [[listed("quick"), listed("stuck")]],
        {"timeout": 2},
        results=results,
        hang="stuck",
    )
    async with tools:
        late = await call(tools, "stuck")
        assert late == ToolOutput(
            "The tool's server failed: no answer within 2 seconds", is_error=True
        )
        assert await call(tools, "quick") == ToolOutput("done")


async def test_a_tool_asks_unless_it_only_reads(tmp_path: Path) -> None:
    """With approve_destructive the hints of the server decide which tools ask for approval."""
    async with real(tmp_path, approve_destructive=True) as tools:
        asks = {tool.name: tool.approval for tool in tools.tools}
    assert asks["add"] is False
    assert asks["die"] is True
    async with real(tmp_path) as tools:
        assert not any(tool.approval for tool in tools.tools)


async def test_progress_is_reported(tmp_path: Path) -> None:
    """A callback, sync here, gets each step of a call."""
    seen: list[Any] = []
    options = {"on_progress": lambda *step: seen.append(step)}
    async with real(tmp_path, **options) as tools:
        await call(tools, "steps")
    assert seen == [("steps", 1, 2, "half")]


async def test_progress_is_told_to_observers(server: Loopback, tmp_path: Path) -> None:
    """An observer of the run gets each step of a call, also from another event loop."""
    seen: list[Any] = []

    class Steps:
        def tool_progress(self, run: Any, call: Any, *step: Any) -> None:
            seen.append((run.agent, call.name, *step))

    for _ in range(2):
        called = OPENAI.send.tool_calls(("c1", "steps", "{}"))
        server.reply(Reply(called, content_type=OPENAI.mime))
        server.reply(Reply(OPENAI.send.text("Done"), content_type=OPENAI.mime))
    async with real(tmp_path) as tools:
        agent = OPENAI.agent(
            server, tools=tools.tools, observers=[Steps()], stream=True
        )
        await agent.run("Go")
        assert len(seen) == 1
        await asyncio.to_thread(agent.run_sync, "Go")
        await agent.aclose()
    assert seen == [(agent.name, "steps", 1, 2, "half")] * 2


async def test_what_a_server_logs_is_reported(tmp_path: Path) -> None:
    """A callback, async here, gets each message; what is no text comes as JSON."""
    seen: list[tuple[str, str]] = []

    async def show(level: str, message: str) -> None:
        seen.append((level, message))

    async with real(tmp_path, on_log=show) as tools:
        await call(tools, "log")
        await until(lambda: len(seen) == 2)
    assert seen == [("info", "begun"), ("warning", '{"left": 1}')]


async def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package `mcp` the error says what to install."""
    monkeypatch.setitem(sys.modules, "mcp", None)
    with pytest.raises(ConfigurationError, match=r"pip install \"cogent-ai\[mcp\]"):
        async with scripted([[]]):
            pass


async def test_questions_to_the_user(tmp_path: Path) -> None:
    """A callback answers or declines; without one the question is refused."""

    async def answer(message: str, schema: dict[str, Any]) -> dict[str, str]:
        assert "name" in schema["properties"]
        return {"name": message[:4]}

    async with real(tmp_path, elicitation=answer) as tools:
        assert (await call(tools, "ask")).text == "accept: name='What'"
    async with real(tmp_path, elicitation=lambda message, schema: None) as tools:
        assert (await call(tools, "ask")).text == "decline: None"
    async with real(tmp_path) as tools:
        assert (await call(tools, "ask")).is_error


async def test_questions_to_a_model(tmp_path: Path) -> None:
    """A callback answers with a string; without one the question is refused."""

    def answer(params: Any) -> str:
        return f"more than {params.max_tokens}"

    async with real(tmp_path, sampling=answer) as tools:
        assert (await call(tools, "think")).text == "the model said more than 9"
    async with real(tmp_path) as tools:
        assert (await call(tools, "think")).is_error


async def test_a_program_gets_no_keys_of_this_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment holds what was given, and no more than a few harmless names."""
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    async with real(tmp_path, env={"GIVEN": "1"}) as tools:
        text = (await call(tools, "environment")).text
    assert "GIVEN" in text
    assert "OPENAI_API_KEY" not in text


BAD: dict[str, tuple[MCP, type[CogentError], str]] = {
    "not there": (MCP.stdio("no-such-command"), ConfigurationError, "no-such-command"),
    "ends": (
        MCP.stdio(
            sys.executable,
            "-c",
            "import sys; sys.exit('log in with tok-123')",
            env={"T": "tok-123"},
        ),
        MCPServerError,
        "log in with ***",
    ),
    "no JSON": (
        MCP.stdio(sys.executable, "-c", "print('Hi', flush=True); input()"),
        MCPServerError,
        "no JSON",
    ),
    "silent": (
        MCP.stdio(
            sys.executable, "-c", "import time; time.sleep(99)", startup_timeout=0.5
        ),
        MCPServerError,
        "within 0.5 seconds",
    ),
    "nobody": (MCP.http("http://127.0.0.1:9/mcp"), MCPServerError, "ConnectError"),
}


@pytest.mark.parametrize("kind", BAD)
async def test_a_server_that_does_not_come_up(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The error says what is wrong, no secret with it, and nothing is left running."""
    tools, error, words = BAD[kind]
    before = children()
    with pytest.raises(error, match=words.replace("*", r"\*")):
        async with tools:
            pass
    assert children() == before
    assert len(asyncio.all_tasks()) == 1


def children() -> set[str]:
    """The processes that this one has started, where the system tells of them."""
    pids: set[str] = set()
    for thread in Path("/proc/self/task").glob("*/children"):
        with suppress(FileNotFoundError):  # the thread has ended meanwhile
            pids.update(thread.read_text().split())
    return pids


async def test_a_banner_on_stdout_is_passed_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What is no JSON is logged by the package, and harms nothing else."""
    async with scripted([[listed("a")]], banner="Welcome") as tools:
        assert [tool.name for tool in tools.tools] == ["a"]


def test_tools_are_called_from_another_loop(tmp_path: Path) -> None:
    """A call from elsewhere runs in the event loop that opened the server."""

    async def main() -> str:
        async with real(tmp_path) as tools:
            run = call(tools, "add", a=1, b=2)
            output = await asyncio.to_thread(lambda: asyncio.run(run))
        return output.text

    assert asyncio.run(main()) == "3"


async def test_a_server_that_is_closed_has_no_tools(tmp_path: Path) -> None:
    """Asking for them is an error, and calling one that was kept an error result."""
    async with real(tmp_path) as tools:
        kept = tools.tools[0]
    with pytest.raises(ConfigurationError, match="only within"):
        _ = tools.tools
    closed = ToolOutput("The tool's server is closed.", is_error=True)
    assert await kept.function(a=1, b=2) == closed


def test_a_server_for_callers_without_asyncio(server: Loopback, tmp_path: Path) -> None:
    """`with` opens a server for run_sync."""
    turn = OPENAI.send.plain_tool_calls(("c1", "add", '{"a": 1, "b": 1}'))
    for body in (turn, OPENAI.send.plain_text("Two")):
        server.reply(Reply(body, content_type="application/json"))
    with real(tmp_path) as tools:
        agent = OPENAI.agent(server, tools=tools.tools)
        response = agent.run_sync("Go")
    assert [call.result and call.result.content for call in response.tool_calls] == [
        "2"
    ]
    assert running(tmp_path) == []


async def test_what_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    """Unknown options, other URLs, a second opening and pickling are errors."""
    with pytest.raises(TypeError, match="prefx"):
        MCP.stdio("x", **{"prefx": "a"})
    with pytest.raises(ConfigurationError, match="http"):
        MCP.http("ftp://x")
    async with real(tmp_path) as tools:
        with pytest.raises(ConfigurationError, match="open already"):
            await tools.__aenter__()
        with pytest.raises(TypeError, match="pickled"):
            pickle.dumps(tools.tools[0])


async def test_the_time_limit_of_the_agent_holds(
    server: Loopback, tmp_path: Path
) -> None:
    """A limit of the run ends a call too, at the server as well."""
    called = OPENAI.send.tool_calls(("c1", "wait", "{}"))
    async with real(tmp_path) as tools:
        for total in (1, 5, PROMPT_SECONDS):  # until the call begins within the limit
            server.reply(Reply(called, content_type=OPENAI.mime))
            limited = OPENAI.agent(
                server, tools=tools.tools, timeout=Timeout(total=total), stream=True
            )
            async with limited as agent:
                with pytest.raises(ModelTimeout):
                    await agent.run("Go")
            if "begun" in notes(tmp_path):
                break
            server.forget()
        await until(lambda: "cancelled" in notes(tmp_path))
