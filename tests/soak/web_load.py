"""Many browsers on one uvicorn worker: are answers whole and apart, how late are tokens, and what memory stays.

    uv run python tests/soak/web_load.py --clients 500

Three processes: a provider that writes the time into each token, the worker, and this one with the clients.
"""

import argparse
import asyncio
import json
import os
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from statistics import median, quantiles

TOKENS = 20
PAUSE = 0.5  # seconds between two tokens of an answer, as of a slow model
ROUNDS = 3
ARRIVAL = TOKENS * PAUSE  # seconds in which the clients of a round come
START_SECONDS = 180
ME = Path(__file__)


@dataclass(slots=True)
class Outcome:
    """What came of all rounds; times in seconds, memory in MiB."""

    whole: int = 0
    wrong: list[str] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    processor: float = 0.0  # seconds of the worker's

    def figures(self) -> dict[str, object]:
        """For a person or a test."""
        steps = quantiles(self.latencies, n=100)
        return {
            "whole": self.whole,
            "wrong": len(self.wrong),
            "median_ms": round(median(self.latencies) * 1000, 2),
            "p99_ms": round(steps[98] * 1000, 2),
            "worker_us_per_token": round(self.processor / len(self.latencies) * 1e6),
            "memory_after_each_round": [round(size, 1) for size in self.memory],
        }


# The provider: chat completions, each token with who asked and when it was sent


async def serve_provider(port: int, pause: float) -> None:
    """Serve until the process ends."""

    async def answer(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            while True:
                question = await read_question(reader)
                await write_answer(writer, question, pause)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", port, backlog=2048)
    await server.serve_forever()


async def read_question(reader: asyncio.StreamReader) -> str:
    """The last message of a request."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    size = int(head.split("content-length:")[1].split("\r\n")[0])
    body = json.loads(await reader.readexactly(size))
    return str(body["messages"][-1]["content"])


async def write_answer(
    writer: asyncio.StreamWriter, question: str, pause: float
) -> None:
    """The tokens one by one."""
    writer.write(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
        b"transfer-encoding: chunked\r\n\r\n"
    )
    for number in range(TOKENS + 1):
        is_last = number == TOKENS
        await asyncio.sleep(pause * Random().uniform(0.5, 1.5))
        text = "" if is_last else f"{question}:{number}:{time.monotonic_ns()} "
        choice = {
            "index": 0,
            "delta": {"content": text},
            "finish_reason": "stop" if is_last else None,
        }
        chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1}
        data = json.dumps({**chunk, "model": "m", "choices": [choice]})
        write_chunk(writer, f"data: {data}\n\n".encode())
        await writer.drain()
    write_chunk(writer, b"data: [DONE]\n\n")
    writer.write(b"0\r\n\r\n")
    await writer.drain()


def write_chunk(writer: asyncio.StreamWriter, data: bytes) -> None:
    """A chunk of a chunked body."""
    writer.write(b"%x\r\n%b\r\n" % (len(data), data))


# The worker


def serve_worker(port: int, provider: int) -> None:
    """One uvicorn worker with `sse_response`."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    from cogent import Agent, Model
    from cogent.web import sse_response

    url = f"http://127.0.0.1:{provider}/v1"
    agent = Agent("load", Model("openai-chat:m", base_url=url, api_key="none"))

    async def events(request: Request) -> Response:
        return sse_response(agent.run_stream(request.query_params["q"]), request)

    app = Starlette(routes=[Route("/events", events)])
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error", backlog=2048)


# The clients


async def read_answer(port: int, name: str, outcome: Outcome, leaves: bool) -> None:
    """One browser: reads to the end, or leaves in the middle."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET /events?q={name} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
    tokens: list[str] = []
    is_done = False
    while line := await reader.readline():
        now = time.monotonic_ns()
        if line.startswith(b"event: "):
            is_done = line == b"event: done\n"
        if not line.startswith(b"data: "):
            continue
        if is_done:
            break
        for token in json.loads(line[6:]).get("content", "").split():
            tokens.append(token)
            outcome.latencies.append((now - int(token.split(":")[2])) / 1e9)
        if leaves and len(tokens) > TOKENS // 4:
            break
    writer.close()
    found = [token.rsplit(":", 1)[0] for token in tokens]
    expected = [f"{name}:{number}" for number in range(len(tokens))]
    whole = is_done and len(tokens) == TOKENS
    if found != expected or not (whole or leaves):
        outcome.wrong.append(f"{name}: {len(tokens)} tokens, done: {is_done}")
    outcome.whole += whole


async def run_round(
    port: int, clients: int, number: int, outcome: Outcome, arrival: float
) -> None:
    """All clients, at the height all at once; every tenth leaves in the middle."""

    async def one(place: int) -> None:
        await asyncio.sleep(Random(place).uniform(0, arrival))
        await read_answer(port, f"r{number}c{place}", outcome, place % 10 == 9)

    async with asyncio.TaskGroup() as group:
        for place in range(clients):
            group.create_task(one(place))


async def measure(
    clients: int,
    rounds: int = ROUNDS,
    pause: float = PAUSE,
    arrival: float = ARRIVAL,
) -> Outcome:
    """All rounds against processes of their own."""
    outcome = Outcome()
    provider, port = free_port(), free_port()
    async with (
        process("provider", provider, pause),
        process("worker", port, provider) as worker,
    ):
        await wait_for(provider)
        await wait_for(port)
        for number in range(rounds):
            await run_round(port, clients, number, outcome, arrival)
            await asyncio.sleep(0.5)
            outcome.memory.append(memory_of(worker.pid))
        outcome.processor = processor_time_of(worker.pid)
    return outcome


@asynccontextmanager
async def process(*arguments: object) -> AsyncIterator[asyncio.subprocess.Process]:
    """This file as another process."""
    running = await asyncio.create_subprocess_exec(
        sys.executable, str(ME), *map(str, arguments)
    )
    try:
        yield running
    finally:
        running.terminate()
        await running.wait()


def free_port() -> int:
    """A port that nobody listens on."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        return int(listener.getsockname()[1])


async def wait_for(port: int) -> None:
    """Wait until the port is listened on."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            assert time.monotonic() < deadline, "it does not start"
            await asyncio.sleep(0.05)


def memory_of(pid: int) -> float:
    """Resident memory in MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def processor_time_of(pid: int) -> float:
    """Seconds that a process has computed."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Run a part, or measure."""
    if sys.argv[1:2] == ["provider"]:
        asyncio.run(serve_provider(int(sys.argv[2]), float(sys.argv[3])))
    elif sys.argv[1:2] == ["worker"]:
        serve_worker(int(sys.argv[2]), int(sys.argv[3]))
    else:
        parser = argparse.ArgumentParser(description=__doc__)
        parser.add_argument("--clients", type=int, default=500)
        parser.add_argument("--rounds", type=int, default=ROUNDS)
        parser.add_argument("--pause", type=float, default=PAUSE)
        given = parser.parse_args()
        arrival = TOKENS * given.pause
        outcome = asyncio.run(
            measure(given.clients, given.rounds, given.pause, arrival)
        )
        print(json.dumps(outcome.figures(), indent=1))
        print(*outcome.wrong[:10], sep="\n")


if __name__ == "__main__":
    main()
