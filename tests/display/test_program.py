"""The program `cogent`, in a terminal and between pipes."""

import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import WIRES
from support.loopback import Loopback, Reply
from support.media import PNG
from support.scene import refusal
from support.wire import chat_completions

from cogent.__main__ import main

if sys.platform != "win32":
    from support.terminal import Terminal, in_terminal

pytestmark = pytest.mark.slow

LIMIT = 100  # Seconds; a program takes a few.
COMMAND = [sys.executable, "-W", "error", "-m", "cogent"]
CHAT = next(wire for wire in WIRES if wire.name == "openai-chat")
needs_terminal = pytest.mark.skipif(
    sys.platform == "win32", reason="needs the terminals of POSIX"
)


def environment(server: Loopback, **more: str) -> dict[str, str]:
    """The variables of a user whose model is the loopback server's."""
    names = ("NO_COLOR", "TERM", "COLUMNS", "LINES", "FORCE_COLOR")
    kept = {name: value for name, value in os.environ.items() if name not in names}
    ours = {
        "MODEL": "openai-chat:gpt-test",
        "OPENAI_API_KEY": "test-key",
        "OPENAI_BASE_URL": f"{server.url}/v1",
        "PYTHONIOENCODING": "utf-8",
    }
    return kept | ours | more


@dataclass(frozen=True)
class Done:
    """What a program has left."""

    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Done]


@pytest.fixture
def run(
    server: Loopback,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Runs the program between pipes, inside this process."""

    def run_program(*arguments: str, piped: str = "") -> Done:
        for name, value in environment(server).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "stdin", io.StringIO(piped))
        code = main(arguments)
        return Done(code, *capsys.readouterr())

    return run_program


@contextmanager
def typing(
    *arguments: str, server: Loopback, columns: int = 80, **more: str
) -> Iterator["Terminal"]:
    """Run the program in a terminal."""
    env = environment(server, **more)
    with in_terminal([*COMMAND, *arguments], env, columns) as terminal:
        yield terminal


def answer(*deltas: str) -> Reply:
    """A whole answer."""
    return Reply(chat_completions.text(*deltas))


def silent(*deltas: str) -> Reply:
    """An answer of which no more comes than this."""
    return Reply(chat_completions.text(*deltas)[: len(deltas) + 1], end="stall")


def asked(server: Loopback, number: int = -1) -> list[tuple[str, object]]:
    """The role and the content of each message of a request."""
    messages = server.requests[number].json["messages"]
    return [(message["role"], message["content"]) for message in messages]


def texts_of(content: object) -> str:
    """All text of a message's content."""
    if isinstance(content, str):
        return content
    assert isinstance(content, list)
    return "\n".join(part["text"] for part in content if part["type"] == "text")


def test_a_question_is_answered_in_a_pipe_with_the_text_alone(server: Loopback) -> None:
    """What another program reads is the answer and the end of its line."""
    server.reply(answer("Waves ", "**roll**."))
    done = subprocess.run(
        [*COMMAND, "What do", "waves do?", "--system", "Be brief."],
        env=environment(server),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=LIMIT,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "Waves **roll**.\n", "")
    assert asked(server) == [("system", "Be brief."), ("user", "What do waves do?")]


def test_piped_text_is_context_for_a_question(run: Run, server: Loopback) -> None:
    """The piped text comes first, then the question."""
    server.reply(answer("Milk."))
    done = run("What is to buy?", piped="Buy milk.\n")
    assert (done.returncode, done.stdout) == (0, "Milk.\n")
    (message,) = asked(server)
    text = texts_of(message[1])
    assert text.index("Buy milk.") < text.index("What is to buy?")


def test_piped_text_alone_is_the_question(run: Run, server: Loopback) -> None:
    """Without a question on the command line the piped text is asked."""
    server.reply(answer("Noon."))
    assert run(piped="What time is it?").stdout == "Noon.\n"
    assert "What time is it?" in texts_of(asked(server)[0][1])


def test_files_go_with_the_question(run: Run, server: Loopback, tmp_path: Path) -> None:
    """`-f` may be repeated; a picture is sent as one."""
    notes, picture = tmp_path / "notes.md", tmp_path / "picture.png"
    notes.write_text("Buy bread.", "utf-8")
    picture.write_bytes(PNG)
    server.reply(answer("Bread."))
    files = ("-f", str(notes), "--file", str(picture))
    assert run("What?", *files).returncode == 0
    body = server.requests[0].body
    assert b"Buy bread." in body and b"data:image/png;base64," in body


@pytest.mark.parametrize("arguments", [("--model", "nobody"), ("-f", "no-such-file")])
def test_what_is_wrong_is_one_line(
    arguments: tuple[str, str], run: Run, server: Loopback
) -> None:
    """What the user wrote wrongly ends the program with 1 and one line on stderr."""
    done = run("Go", *arguments)
    assert (done.returncode, done.stdout, server.requests) == (1, "", [])
    assert done.stderr.startswith("ConfigurationError: ")
    assert len(done.stderr.splitlines()) == 1


def test_an_error_of_the_server_is_one_line(run: Run, server: Loopback) -> None:
    """So does what a server refuses, without anything that a terminal would obey."""
    server.reply(refusal(CHAT, 400, message="No\n\x1b[31m way."))
    done = run("Go")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("BadRequest: ") and "\x1b" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_nothing_to_ask_is_an_error(run: Run, server: Loopback) -> None:
    """An empty pipe without a question is no chat."""
    done = run(piped=" \n")
    assert (done.returncode, server.requests) == (1, [])
    assert "nothing to ask" in done.stderr


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """`--version` tells the package's."""
    with pytest.raises(SystemExit) as left:
        main(["--version"])
    assert left.value.code == 0
    assert capsys.readouterr().out.startswith("cogent 0.")


def test_a_reader_that_has_enough_is_no_error(server: Loopback) -> None:
    """In a pipe that is closed early the program ends quietly."""
    server.reply(Reply(chat_completions.text(*["line\n"] * 50), pause=0.01))
    with subprocess.Popen(
        [*COMMAND, "Go"],
        env=environment(server),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == b"line\n"
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


@needs_terminal
def test_a_chat_remembers_what_was_said(server: Loopback) -> None:
    """Each question comes with all before it, but for what failed; Ctrl-D leaves.

    Arrow keys go back to earlier lines, as Python has readline here.
    """
    pytest.importorskip("readline")
    failure = refusal(CHAT, 400, message="Too long.")
    server.reply(answer("I am ", "well."), failure, answer("As I said."))
    with typing(server=server) as terminal:
        terminal.until("> ")
        terminal.send("How are you?\n")
        terminal.until("18 tokens")
        terminal.until("> ")
        terminal.send("\n")  # an empty line is no question
        terminal.until("> ")
        terminal.send("What?\n")
        terminal.until("BadRequest: ")
        terminal.until("> ")
        terminal.send("\x1b[A\x1b[A\n")
        terminal.until("As I said.")
        terminal.until("> ")
        terminal.send("\x04")
        assert terminal.finish() == 0
    assert "I am well." in terminal.text
    assert asked(server) == [
        ("user", "How are you?"),
        ("assistant", "I am well."),
        ("user", "How are you?"),
    ]


@needs_terminal
def test_ctrl_c_stops_the_answer_and_keeps_the_chat(server: Loopback) -> None:
    """The text so far stays, is marked, and is what the next question follows."""
    server.reply(silent("Once ", "upon "), answer("The end."))
    with typing(server=server) as terminal:
        terminal.until("> ")
        terminal.send("Tell me a story.\n")
        terminal.until("upon")
        terminal.send("\x03")
        terminal.until("stopped")
        assert server.requests[0].wait_disconnected(LIMIT)
        terminal.until("> ")
        terminal.send("Go on.\n")
        terminal.until("The end.")
        terminal.until("> ")
        terminal.send("What")
        terminal.until("What")
        terminal.interrupt_until("> ")  # it only drops what was typed
        terminal.send("\x04")
        assert terminal.finish() == 0
    assert "Traceback" not in terminal.raw
    assert asked(server) == [
        ("user", "Tell me a story."),
        ("assistant", "Once upon "),
        ("user", "Go on."),
    ]


@needs_terminal
def test_ctrl_c_ends_a_single_question(server: Loopback) -> None:
    """Without a chat the program ends as a shell expects, without a traceback."""
    server.reply(silent("Once ", "upon "))
    with typing("A story", server=server) as terminal:
        terminal.until("upon")
        terminal.send("\x03")
        assert terminal.finish() == 130
    assert "Once upon" in terminal.text and "stopped" in terminal.text
    assert "Traceback" not in terminal.raw
