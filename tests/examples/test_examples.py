"""Every example runs as a user runs it: as a program of its own, or as a notebook."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import nbformat
import pytest
from conftest import WIRES, Wire
from nbclient import NotebookClient
from support.loopback import Loopback, Reply
from support.wire import chat_completions, openai_responses

EXAMPLES = Path(__file__).parents[2] / "examples"
NOTEBOOK = EXAMPLES / "notebook.ipynb"
LIMIT = 100  # Seconds; a program takes a few.

pytestmark = pytest.mark.slow


@pytest.fixture(
    params=[wire for wire in WIRES if wire.provider.startswith("openai")],
    ids=lambda wire: wire.name,
)
def wire(request: pytest.FixtureRequest) -> Wire:
    """The providers whose server OPENAI_BASE_URL names."""
    return request.param


def command(name: str, *arguments: str) -> list[str]:
    """How a user starts an example, but with warnings as errors."""
    return [sys.executable, "-W", "error", str(EXAMPLES / name), *arguments]


def environment(server: Loopback | None, **more: str) -> dict[str, str]:
    """The variables of a user whose provider is the loopback server, or of one without a key."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("OPENAI_") and name != "MODEL"
    }
    if server is not None:
        kept |= {"OPENAI_API_KEY": "test-key", "OPENAI_BASE_URL": f"{server.url}/v1"}
    return kept | {"PYTHONIOENCODING": "utf-8"} | more


def run(
    name: str, *arguments: str, server: Loopback | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run an example to its end."""
    return subprocess.run(
        command(name, *arguments),
        env=environment(server, **variables),
        capture_output=True,
        encoding="utf-8",
        timeout=LIMIT,
        check=False,
    )


@contextmanager
def serving(name: str, env: dict[str, str]) -> Iterator[str]:
    """Run an example that serves until it is stopped; gives its address."""
    process = subprocess.Popen(
        command(name), env=env, stderr=subprocess.PIPE, encoding="utf-8"
    )
    try:
        assert process.stderr is not None
        yield announced(process.stderr)
    finally:
        process.terminate()
        process.communicate(timeout=LIMIT)


def announced(log: IO[str]) -> str:
    """The address that uvicorn says it serves."""
    read = []
    for line in log:
        read.append(line)
        if found := re.search(r"running on (http://\S+)", line):
            return found[1]
    pytest.fail("".join(["the server did not start:\n", *read]))


def test_no_example_is_left_out() -> None:
    """Each file among the examples is run by a test below, those for Ray by tests/on_ray."""
    files = {path.name for path in EXAMPLES.iterdir() if path.is_file()}
    assert files == {
        "quickstart.py",
        "tools.py",
        "images.py",
        "typed_answer.py",
        "fallback.py",
        "approval.py",
        "batch.py",
        "mcp_tools.py",
        "fastapi_app.py",
        "notebook.ipynb",
        "ray_batch.py",
        "ray_serve.py",
    }


def test_quickstart_answers_without_a_key() -> None:
    """`python examples/quickstart.py` streams an answer of the embedded model and tells its name and tokens."""
    done = run("quickstart.py")
    assert (done.returncode, done.stderr) == (0, "")
    answer, _, figures = done.stdout.rpartition("\n\n")
    assert answer.strip()
    assert re.search(r"SmolLM2.*'output_tokens': [1-9]", figures)


def test_batch_answers_every_prompt() -> None:
    """`batch.py` prints a line for each prompt as its answer comes, and shows how far it is on stderr."""
    done = run("batch.py", "6")
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0 and "6/6" in done.stderr
    assert sorted(answer["index"] for answer in answers) == list(range(6))
    assert all(answer["text"] for answer in answers)


def test_quickstart_asks_the_model_that_is_named(wire: Wire, server: Loopback) -> None:
    """With `--model` the quickstart puts the question to that model and prints what it says."""
    server.reply(Reply(wire.send.text("Waves ", "roll ", "in.")))
    done = run(
        "quickstart.py",
        "What does the sea do?",
        "--model",
        f"{wire.provider}:gpt-test",
        server=server,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(
        "Waves roll in.\n\ngpt-test: {'input_tokens': 11, 'output_tokens': 7,"
    )
    assert b"What does the sea do?" in server.requests[0].body


def test_tools_shows_a_tool_call_in_the_middle_of_the_text(
    wire: Wire, server: Loopback
) -> None:
    """The text before the calls, each call's result and the text after them are printed in that order."""
    calls = [
        ("call_1", "local_time", '{"city": "Tokyo", "utc_offset": 9}'),
        ("call_2", "local_time", '{"city": "Lima", "utc_offset": -5}'),
    ]
    server.reply(
        Reply(wire.send.tool_calls(*calls, text="I look at two clocks.")),
        Reply(wire.send.text("Tokyo is ", "ahead.")),
    )
    done = run("tools.py", "--model", f"{wire.provider}:gpt-test", server=server)
    assert (done.returncode, done.stderr) == (0, "")
    first, calling, *results, last = done.stdout.splitlines()
    assert (first, calling, last) == (
        "I look at two clocks.",
        "[Tool calling...]",
        "Tokyo is ahead.",
    )
    shown = sorted(re.sub(r"\d\d:\d\d on \w+day", "TIME", line) for line in results)
    assert shown == ["[local_time: TIME in Lima]", "[local_time: TIME in Tokyo]"]
    assert all(
        line[len("[local_time: ") : -1].encode() in server.requests[1].body
        for line in results
    )


def test_tools_asks_gpt_by_default(server: Loopback) -> None:
    """With a key in the environment `python examples/tools.py` works as it is."""
    server.reply(Reply(openai_responses.text("Noon.")))
    done = run("tools.py", server=server)
    assert (done.returncode, done.stdout, done.stderr) == (0, "Noon.\n", "")
    assert server.requests[0].json["model"] == "gpt-5.4"


def test_images_sends_a_picture_and_a_text(wire: Wire, server: Loopback) -> None:
    """Without files of the user's, the model is asked about a picture made here and about a bill."""
    server.reply(Reply(wire.send.text("A red square, ", "and 11.50.")))
    done = run("images.py", "--model", f"{wire.provider}:gpt-test", server=server)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "A red square, and 11.50.\n"
    body = server.requests[0].body
    assert b"data:image/png;base64,iVBORw0KGgo" in body and b"bill.txt" in body


def test_images_takes_files_and_urls(
    wire: Wire, server: Loopback, tmp_path: Path
) -> None:
    """Paths and URLs on the command line go to the model; what it does not take is one line."""
    path = tmp_path / "notes.md"
    path.write_text("Buy milk.", "utf-8")
    url = "https://example.org/cat.png"
    server.reply(Reply(wire.send.text("Milk.")))
    model = ("--model", f"{wire.provider}:gpt-test")
    done = run("images.py", str(path), url, *model, server=server)
    assert (done.returncode, done.stdout) == (0, "Milk.\n")
    assert url.encode() in server.requests[0].body
    refused = run("images.py", str(tmp_path), *model, server=server)
    assert refused.returncode == 1 and len(server.requests) == 1
    assert "is a directory" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_images_answers_without_a_key() -> None:
    """`python examples/images.py` asks the embedded model about a text file."""
    done = run("images.py")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip()


def test_typed_answer_shows_the_value_as_it_grows(server: Loopback) -> None:
    """`python examples/typed_answer.py` prints each new state of the value, and in the end a field of the model."""
    deltas = ('{"name": "Oslo", "coun', 'try": "Norway", "population": 7', "17000, ")
    server.reply(Reply(openai_responses.text(*deltas, '"sights": ["Opera"]}')))
    done = run("typed_answer.py", "Oslo", "--model", "openai:gpt-test", server=server)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "{'name': 'Oslo'}",
        "{'name': 'Oslo', 'country': 'Norway', 'population': 7}",
        "{'name': 'Oslo', 'country': 'Norway', 'population': 717000}",
        "{'name': 'Oslo', 'country': 'Norway', 'population': 717000, 'sights': ['Opera']}",
        "",
        "Oslo has 717,000 inhabitants.",
    ]


def test_typed_answer_answers_without_a_key() -> None:
    """`python examples/typed_answer.py` asks the embedded model, whose answers may be of no use."""
    done = run("typed_answer.py")
    assert (done.returncode == 0) == ("inhabitants" in done.stdout)
    assert done.returncode == 0 or done.stderr.startswith("OutputError")


def test_fallback_tells_who_answered_and_who_failed(server: Loopback) -> None:
    """`MODEL` names the models in their order: the second one answers where the first one fails."""
    server.reply(
        Reply(openai_responses.error_body("No.", None, "x"), 401, "application/json"),
        Reply(chat_completions.text("Waves ", "roll.")),
    )
    names = {"MODEL": "openai:gpt-test, openai-chat:gpt-test"}
    done = run("fallback.py", server=server, **names)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "Waves roll.",
        "",
        "answered by openai-chat:gpt-test",
        "openai:gpt-test failed: AuthenticationError: No.",
    ]


def test_fallback_answers_without_a_key() -> None:
    """`python examples/fallback.py` asks a server that is not there, then the embedded model."""
    done = run("fallback.py")
    assert (done.returncode, done.stderr) == (0, "")
    assert "answered by local:" in done.stdout
    assert "openai-chat:away failed: ConnectionFailed" in done.stdout


ASKS = "May pay run with {'amount': 40, 'to': 'Ada'}?"


def test_approval_runs_what_was_approved_without_a_key() -> None:
    """By default a script plays the model; a yes runs the tool, and a reason goes to the model."""
    done = run("approval.py", "--answer", "yes")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        ASKS,
        "[pay: paid 40 euros to Ada]",
        "I told Ada.",
    ]


def test_approval_tells_the_model_the_reason_for_a_no(server: Loopback) -> None:
    """Two runs of the model that MODEL names: the second one reads why the tool did not run."""
    call = ("call_1", "pay", '{"amount": 40, "to": "Ada"}')
    server.reply(
        Reply(openai_responses.plain_tool_calls(call), content_type="application/json"),
        Reply(openai_responses.text("I did not pay.")),
    )
    variables = {"MODEL": "openai:gpt-test"}
    done = run("approval.py", "--answer", "too much", server=server, **variables)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [ASKS, "I did not pay."]
    assert b"too much" in server.requests[1].body


MCP_SCRIPT = str(Path(__file__).parents[1] / "support" / "mcp_script.py")
LOOK = {"name": "look", "inputSchema": {"type": "object", "properties": {}}}
MCP_SERVER = shlex.join([sys.executable, MCP_SCRIPT, json.dumps({"pages": [[LOOK]]})])
# Programs that print an answer as it comes: their arguments, and what they print before it.
WRITERS: dict[str, tuple[list[str], bytes]] = {
    "quickstart.py": ([], b""),
    "tools.py": ([], b""),
    "images.py": ([], b""),
    "mcp_tools.py": (["--server", MCP_SERVER], b"Tools: look\n"),
}


@contextmanager
def started(
    name: str, *arguments: str, server: Loopback
) -> Iterator[subprocess.Popen[bytes]]:
    """Run an example whose output is read while it writes; it is killed if it has not ended by itself."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(
        command(name, *arguments), env=environment(server), **pipes
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is no signal there")
@pytest.mark.parametrize("name", WRITERS)
def test_ctrl_c_ends_a_program_without_a_traceback(name: str, server: Loopback) -> None:
    """After Ctrl-C the text so far is on the screen and nothing else, the exit code is 130 and the model stops."""
    server.reply(
        Reply(
            openai_responses.error_event("", None, "", after=("Waves ", "roll"))[:-1],
            end="stall",
        )
    )
    arguments, head = WRITERS[name]
    order = [*arguments, "--model", "openai:gpt-test"]
    with started(name, *order, server=server) as process:
        assert process.stdout is not None

        assert process.stdout.read(len(head) + 10) == head + b"Waves roll"
        process.send_signal(signal.SIGINT)
        rest, complaints = process.communicate(timeout=LIMIT)
    assert (process.returncode, rest, complaints) == (130, b"", b"")
    assert server.requests[0].wait_disconnected(LIMIT)


@pytest.mark.skipif(sys.platform == "win32", reason="needs the pipes of POSIX")
@pytest.mark.parametrize("name", WRITERS)
def test_a_reader_that_has_enough_ends_a_program_without_a_traceback(
    name: str, server: Loopback
) -> None:
    """In a pipe to `head`, which closes it early, a program ends quietly though it still has a line to write."""
    events = openai_responses.text("Waves\n", "roll.\n")
    after = 1 + next(place for place, event in enumerate(events) if b"roll" in event)
    gate = threading.Semaphore(0)
    server.reply(Reply([b"".join(events[:after]), b"".join(events[after:])], gate=gate))
    arguments, head = WRITERS[name]
    order = [*arguments, "--model", "openai:gpt-test"]
    with started(name, *order, server=server) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.read(len(head)) == head
        assert process.stdout.readline() == b"Waves\n"
        assert process.stdout.readline() == b"roll.\n"
        process.stdout.close()
        gate.release()
        complaints = process.stderr.read()
        process.wait(LIMIT)
    assert (process.returncode, complaints) == (0, b"")


@pytest.mark.skipif(sys.platform == "win32", reason="needs the pipes of POSIX")
def test_a_reader_that_has_enough_ends_a_batch(server: Loopback) -> None:
    """In a pipe to `head` the rest of the prompts is not asked, and there is no traceback."""
    answer = Reply(openai_responses.plain_text("Nile"), content_type="application/json")
    server.reply(*[answer] * 200)
    done = subprocess.run(
        f"{shlex.join(command('batch.py', '200'))} | head -n 1",
        shell=True,
        env=environment(server, MODEL="openai:gpt-test"),
        capture_output=True,
        encoding="utf-8",
        timeout=LIMIT,
        check=True,
    )
    assert len(done.stdout.splitlines()) == 1
    assert "Error" not in done.stderr
    assert len(server.requests) < 200


def test_tools_without_a_key_names_the_variable_to_set() -> None:
    """A newcomer without a key gets one line that says what to do, not a traceback."""
    done = run("tools.py")
    assert done.returncode == 1
    assert "set OPENAI_API_KEY" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_web_app_serves_both_endpoints(wire: Wire, server: Loopback) -> None:
    """`python examples/fastapi_app.py` answers as plain text and as events, from the model that MODEL names."""
    server.reply(
        Reply(wire.send.text("Good ", "day.")), Reply(wire.send.text("Good ", "night."))
    )
    with serving(
        "fastapi_app.py",
        environment(server, MODEL=f"{wire.provider}:gpt-test", PORT="0"),
    ) as url:
        with urllib.request.urlopen(f"{url}/chat?q=Hello", timeout=LIMIT) as answer:
            assert answer.headers["content-type"].startswith("text/plain")
            assert answer.read() == b"Good day."
        with urllib.request.urlopen(f"{url}/events?q=Hello", timeout=LIMIT) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            assert b"event: done" in answer.read()


def test_the_web_app_answers_without_a_key() -> None:
    """Without MODEL the web app answers with the embedded model."""
    env = environment(None, PORT="0")
    env.pop("MODEL", None)
    with (
        serving("fastapi_app.py", env) as url,
        urllib.request.urlopen(f"{url}/chat?q=Say+hello.", timeout=LIMIT) as answer,
    ):
        assert answer.read(1)


def test_the_notebook_is_kept_without_outputs() -> None:
    """The committed notebook is valid, for the kernel that Jupyter always has, and holds nothing that a run left."""
    notebook = json.loads(NOTEBOOK.read_text("utf-8"))
    nbformat.validate(notebook)
    assert notebook["nbformat"] == 4
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [(cell["outputs"], cell["execution_count"]) for cell in cells] == [
        ([], None)
    ] * len(cells)


def run_notebook(
    folder: Path, monkeypatch: pytest.MonkeyPatch, env: dict[str, str]
) -> dict[str, list[dict[str, Any]]]:
    """The outputs of each cell after all have run, none of them with an error."""
    for variable in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR"):
        env[variable] = str(folder)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=LIMIT, kernel_name="python3").execute()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    outputs = {cell["id"]: cell["outputs"] for cell in cells}
    names = {output.get("name") for cell in outputs.values() for output in cell}
    assert "stderr" not in names
    return outputs


def printed(outputs: list[dict[str, Any]]) -> str:
    """What a cell has printed."""
    return "".join(output.get("text", "") for output in outputs)


def markdown(outputs: list[dict[str, Any]]) -> str:
    """That of the one display of a run; a picture beside it does not count."""
    shown = [output["data"] for output in outputs if "data" in output]
    (page,) = [data["text/markdown"] for data in shown if "text/markdown" in data]
    return page


def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The notebook streams token by token, shows the response as Markdown and its figures, and can stop early."""
    for name in ("MODEL", "OTHER_MODEL"):
        monkeypatch.delenv(name, raising=False)
    outputs = run_notebook(tmp_path, monkeypatch, {})
    written = [output["text"] for output in outputs["stream"]]
    assert len(written) > 1
    assert outputs["response"][0]["data"]["text/markdown"] == "".join(written)
    assert "output_tokens" in printed(outputs["usage"])
    shown, _, stopped = printed(outputs["stop"]).partition("\n\nstopped: ")
    assert stopped.strip() == repr(shown)
    assert "SmolLM2" in markdown(outputs["show"])
    assert "SmolLM2" in markdown(outputs["switch"])


def test_the_notebook_shows_tools_types_and_images(
    server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a model that can, tools run at once, the typed value grows, and the picture goes out."""
    text, calls = openai_responses.text, openai_responses.tool_calls
    cities = [
        ("call_1", "local_time", '{"city": "Tokyo", "utc_offset": 9}'),
        ("call_2", "local_time", '{"city": "Lima", "utc_offset": -5}'),
    ]
    server.reply(
        Reply(text("Light ", "scatters.")),
        Reply(text("Waves ", "roll.")),
        Reply([*text(*["one "] * 40)[:-1]], end="stall"),
        Reply(calls(*cities, text="Two clocks.")),
        Reply(text("Tokyo is ahead.")),
        Reply(text('{"name": "Oslo", ', '"country": "Norway"}')),
        Reply(text("Red.")),
        Reply(text("Tokyo is fourteen hours ahead.")),
    )
    variables = {"MODEL": "openai:gpt-test", "OTHER_MODEL": "openai:gpt-test"}
    env = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": f"{server.url}/v1"}
    outputs = run_notebook(tmp_path, monkeypatch, {**variables, **env})
    page = markdown(outputs["tools"])
    assert page.count("<details><summary>Tool: ") == 2
    assert "Tokyo is ahead." in page and "in Lima" in printed(outputs["calls"])
    assert printed(outputs["partial"]).splitlines()[-1] == (
        "City(name='Oslo', country='Norway')"
    )
    assert "{'name': 'Oslo'" in printed(outputs["partial"])
    assert markdown(outputs["image"]).startswith("Red.")
    assert b"data:image/png;base64,iVBOR" in server.requests[-2].body
    assert b"Two clocks." in server.requests[-1].body


def test_mcp_tools_calls_a_tool_of_a_program(server: Loopback, tmp_path: Path) -> None:
    """`python examples/mcp_tools.py` names the tools of a server and shows the result of a call."""
    called = openai_responses.tool_calls(("c1", "add", '{"a": 2, "b": 3}'))
    server.reply(Reply(called), Reply(openai_responses.text("Five.")))
    program = Path(__file__).parents[1] / "support" / "mcp_server.py"
    command = f"{sys.executable} {program} {tmp_path}"
    arguments = ("--server", command, "--model", "openai:gpt-test")
    done = run("mcp_tools.py", "2 + 3?", *arguments, server=server)
    assert "Tools: add, files_read_now" in done.stdout
    assert "[add: 5]" in done.stdout
    assert done.stdout.rstrip().endswith("Five.")
    assert (done.returncode, done.stderr) == (0, "")
