"""A chat in a terminal: `cogent`, `cogent "a question"`, `notes | cogent "sum up"`."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from cogent import Agent, CogentError, File, Message, Model, __version__
from cogent.display import is_terminal, show
from cogent.display.printable import one_line

PROMPT = "> "
INTERRUPTED = 130  # what a shell expects after Ctrl-C
# The embedded model is so small that it may not find an end.
MAX_TOKENS_OF_EMBEDDED = 500
WELCOME = "A chat with {model}. Ctrl-C stops an answer, Ctrl-D leaves."


def main(arguments: Sequence[str] | None = None) -> int:
    """The terminal program; returns its exit code."""
    options = _parser().parse_args(arguments)
    try:
        return _run(options)
    except CogentError as error:
        _complain(error)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of a pipe, such as `head`, has enough. Python must not try to write
        # the rest when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cogent",
        description="Ask a model, or chat with it when no question is given.",
        epilog="Piped text is context for the question; alone it is the question.",
    )
    parser.add_argument("question", nargs="*", help="what to ask")
    parser.add_argument(
        "-m",
        "--model",
        default=os.environ.get("MODEL") or "local",
        help='like "gpt-5.4" or "anthropic:claude-sonnet-5-5"; by default the '
        "environment variable MODEL, else the embedded model",
    )
    parser.add_argument("-s", "--system", help="instructions for the model")
    parser.add_argument(
        "-f",
        "--file",
        dest="files",
        action="append",
        default=[],
        metavar="FILE",
        help="an image or a document for the question, a path or a URL; may be repeated",
    )
    parser.add_argument("--version", action="version", version=f"cogent {__version__}")
    return parser


def _run(options: argparse.Namespace) -> int:
    question = " ".join(options.question).strip()
    piped = _piped_text()
    agent = Agent("cogent", _model(options.model), instructions=options.system)
    chat = Chat(agent, [File(path) for path in options.files])
    with asyncio.Runner() as runner:
        try:
            return _talk(chat, runner, question, piped)
        finally:
            runner.run(agent.aclose())


def _talk(chat: Chat, runner: asyncio.Runner, question: str, piped: str | None) -> int:
    if piped is None and not question:
        return chat.talk(runner)
    texts = [text for text in (piped, question) if text and text.strip()]
    if not texts:
        print("cogent: the input is empty: there is nothing to ask", file=sys.stderr)
        return 1
    runner.run(chat.ask(texts))
    return 0


def _piped_text() -> str | None:
    """What was piped in; None where somebody sits at the keyboard."""
    if sys.stdin is None or is_terminal(sys.stdin):
        return None
    return sys.stdin.read()


def _model(name: str) -> Model:
    if name == "local":
        return Model(name, max_tokens=MAX_TOKENS_OF_EMBEDDED)
    return Model(name)


@dataclass(slots=True)
class Chat:
    """A conversation; `files` go with its next question."""

    agent: Agent
    files: list[File] = field(default_factory=list)
    history: list[Message] = field(default_factory=list)

    async def ask(self, texts: list[str]) -> None:
        """Ask, show the answer, and keep both for the next question.

        What came before an interrupt is kept too. Raises what the run raises.
        """
        stream = self.agent.run_stream([*texts, *self.files], history=self.history)
        try:
            await show(stream)
        except asyncio.CancelledError:
            self._keep(stream.response.messages)
            raise
        finally:
            _end_line(stream.response.content)
        self._keep(stream.response.messages)

    def talk(self, runner: asyncio.Runner) -> int:
        """Ask what is typed, until Ctrl-D."""
        _load_readline()
        print(WELCOME.format(model=self.agent.model.name or "the embedded model"))
        while True:
            try:
                question = input(PROMPT).strip()
            except EOFError:
                print()
                return 0
            except KeyboardInterrupt:
                print()
                continue
            if question:
                self._answer(question, runner)

    def _answer(self, question: str, runner: asyncio.Runner) -> None:
        try:
            runner.run(self.ask([question]))
        except CogentError as error:
            _complain(error)
        except KeyboardInterrupt:
            pass  # the answer is stopped, and the chat goes on

    def _keep(self, messages: list[Message]) -> None:
        self.history = messages
        self.files = []


def _end_line(text: str) -> None:
    """In a pipe the answer's text is a whole line for the next program."""
    if not is_terminal(sys.stdout) and text and not text.endswith("\n"):
        print(flush=True)


def _load_readline() -> None:
    """Have `input` know arrow keys and earlier lines, where Python was built so."""
    with suppress(ImportError):
        importlib.import_module("readline")


def _complain(error: CogentError) -> None:
    text = one_line(f"{type(error).__name__}: {error}")
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
