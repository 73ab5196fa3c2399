"""What Ray adds: prompts a second and CPU of a batch, CPU and memory of a service; beside the same without Ray.

    unshare -rn bash -c 'ip link set lo up && exec python tests/on_ray/measure.py batch'

`batch 2` measures two workers alone, `kill` counts what is asked twice after the death of one, `serve` is a service.

The provider is a process of its own. What it costs to start is not in the figures: a small run is subtracted.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parents[1]))

from soak.web_load import (
    free_port,
    processor_time_of,
    read_question,
    wait_for,
    write_chunk,
)

ME = Path(__file__)
EXAMPLES = ME.parents[2] / "examples"
DELAY = 0.1  # seconds, of an answer to a prompt of a batch
FEW, MANY = 200, 2200  # prompts
CONCURRENCY = 32
STREAMS = 50
SHORT, LONG = 1, 201  # tokens
PAUSE = 0.05  # seconds between two tokens
HELD = 300  # streams that are open while memory is read
ROLES = {
    "ServeReplica": "replicas",
    "Proxy": "proxy",
    "MapWorker": "workers",
    "web_load": "uvicorn",
}


# The provider: chat completions, plain or streamed


async def serve_provider(port: int) -> None:
    """Answers until the process ends; tells what it was asked where the question is STATS."""
    asked: list[tuple[float, str]] = []

    async def answer(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            while True:
                question = await read_question(reader)
                if question == "STATS":
                    write_plain(writer, json.dumps(asked))
                    asked.clear()
                elif question.startswith("STREAM "):
                    await write_stream(writer, int(question.split()[1]))
                else:
                    asked.append((time.monotonic(), question))
                    await asyncio.sleep(DELAY)
                    write_plain(writer, '{"word": "sea"}')
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", port, backlog=2048)
    await server.serve_forever()


def write_plain(writer: asyncio.StreamWriter, text: str) -> None:
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}
    head = {"id": "c", "object": "chat.completion", "created": 1, "model": "m"}
    body = json.dumps({**head, "choices": [choice], "usage": usage}).encode()
    kind = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
    writer.write(kind + b"content-length: %d\r\n\r\n%b" % (len(body), body))


async def write_stream(writer: asyncio.StreamWriter, tokens: int) -> None:
    """Tokens one by one; with a negative number that many, and then nothing for a minute."""
    writer.write(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
        b"transfer-encoding: chunked\r\n\r\n"
    )
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    for _ in range(abs(tokens)):
        choice = {"index": 0, "delta": {"content": "word "}, "finish_reason": None}
        data = json.dumps({**head, "choices": [choice]})
        write_chunk(writer, f"data: {data}\n\n".encode())
        await writer.drain()
        await asyncio.sleep(PAUSE if tokens > 0 else 60)
    end = {"index": 0, "delta": {}, "finish_reason": "stop"}
    data = json.dumps({**head, "choices": [end]})
    write_chunk(writer, f"data: {data}\n\ndata: [DONE]\n\n".encode())
    writer.write(b"0\r\n\r\n")


async def asked_since(port: int) -> list[tuple[float, str]]:
    """When the provider was asked what, since the last look."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = json.dumps({"messages": [{"content": "STATS"}]}).encode()
    writer.write(b"POST / HTTP/1.1\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    size = int(head.rsplit("content-length: ", 1)[1])
    answer = json.loads(await reader.readexactly(size))
    writer.close()
    return list(map(tuple, json.loads(answer["choices"][0]["message"]["content"])))


# Processes


def processes(folder: str) -> Iterator[tuple[int, str]]:
    """Those that were started with this folder in their environment, and their roles."""
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if f"={folder}\0".encode() not in (path / "environ").read_bytes():
                continue
            command = (path / "cmdline").read_bytes().decode()
        except (OSError, UnicodeDecodeError):
            continue
        roles = [role for word, role in ROLES.items() if word in command]
        yield int(path.name), [*roles, "rest of Ray"][0]


def memory(pid: int) -> float:
    """Resident memory in KiB, without what is shared with others."""
    resident, shared = Path(f"/proc/{pid}/statm").read_text().split()[1:3]
    return (int(resident) - int(shared)) * os.sysconf("SC_PAGE_SIZE") / 1024


def by_role(folder: str, figure: Callable[[int], float]) -> Counter[str]:
    """A figure of all processes, summed for each role."""
    sums: Counter[str] = Counter()
    for pid, role in processes(folder):
        try:
            sums[role] += figure(pid)
        except OSError:
            continue
    return sums


@contextmanager
def started(
    *command: object, folder: str, **variables: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A program, with a folder for Ray that also marks its processes."""
    known = {
        "MODEL": "openai-chat:m",
        "OPENAI_API_KEY": "none",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
        "RAY_AUTH_MODE": "disabled",
        "RAY_TMPDIR": folder,
    }
    with (Path(folder) / "log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, *map(str, command)],
            env={**os.environ, **known, **variables},
            stdout=log,
            stderr=log,
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


# A batch


async def without_ray(url: str, prompts: int) -> None:
    """The same agent in one process, by `run_many`."""
    sys.path.insert(0, str(EXAMPLES))
    from ray_batch import Word, prompt_of

    from cogent import Agent, Model

    model = Model("openai-chat:m", base_url=url, api_key="none", max_tokens=100)
    agent = Agent("batch", model, output_type=Word)
    questions = [prompt_of(number) for number in range(prompts)]
    async for _, result in agent.run_many(questions, concurrency=CONCURRENCY):
        assert not isinstance(result, Exception), result


def run_batch(
    port: int, prompts: int, workers: int, kill_at: int = 0
) -> tuple[float, float, float]:
    """Prompts a second while prompts were asked, seconds of CPU, prompts that were asked again.

    Without workers, by `run_many`. After `kill_at` prompts one worker is killed.
    """
    url = f"http://127.0.0.1:{port}/v1"
    with TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:
        command: list[object] = [ME, "without-ray", url, prompts]
        if workers:
            command = [EXAMPLES / "ray_batch.py", "--prompts", prompts]
            command += ["--output", f"{folder}/out", "--workers", workers]
        spent: dict[int, float] = defaultdict(float)
        with started(*command, folder=folder, OPENAI_BASE_URL=url) as process:
            asked: list[tuple[float, str]] = []
            while process.poll() is None:
                for pid, role in processes(folder):
                    try:
                        spent[pid] = max(spent[pid], processor_time_of(pid))
                    except OSError:
                        continue
                    if role == "workers" and 0 < kill_at <= len(asked):
                        os.kill(pid, signal.SIGKILL)
                        kill_at = 0
                time.sleep(0.2)
                if kill_at:
                    asked += asyncio.run(asked_since(port))
        assert process.returncode == 0, (Path(folder) / "log").read_text()[-3000:]
    asked += asyncio.run(asked_since(port))
    times = [when for when, _ in asked]
    again = len(asked) - len({question for _, question in asked})
    assert len(asked) - again == prompts, "prompts are lost"
    return len(asked) / (max(times) - min(times)), sum(spent.values()), again


def measure_batch(port: int, *counts: str) -> None:
    """Without Ray (0 workers), with one and with two, or what is named."""
    for workers in map(int, counts or "012"):
        _, before, _ = run_batch(port, FEW, workers)
        rate, after, _ = run_batch(port, MANY, workers)
        each = 1000 * (after - before) / (MANY - FEW)
        name = f"{workers} workers" if workers else "run_many"
        print(f"{name}: {rate:.0f} prompts/s, {each:.2f} ms CPU for each", flush=True)


def measure_kill(port: int) -> None:
    """What is asked twice after the death of one of two workers."""
    _, _, again = run_batch(port, MANY, 2, kill_at=MANY // 3)
    print(f"a worker killed: {again} of {MANY} asked twice, none lost", flush=True)


# A service


async def read_answer(port: int, path: str, tokens: int) -> asyncio.StreamWriter:
    """Read an answer to its end, or to its first token where it then waits."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    question = f"{path}?q=STREAM%20{tokens}"
    writer.write(f"GET {question} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
    while line := await reader.readline():
        if line == b"event: done\n":
            writer.close()
            return writer
        if tokens < 0 and b'"word "' in line:
            return writer
    raise AssertionError("an answer was cut")


async def read_answers(port: int, path: str, tokens: int, count: int) -> None:
    many = [read_answer(port, path, tokens) for _ in range(count)]
    for writer in await asyncio.gather(*many):
        writer.close()


async def memory_while_open(
    port: int, path: str, folder: str, before: Counter[str]
) -> Counter[str]:
    """KiB that all streams take that are open."""
    many = [read_answer(port, path, -1) for _ in range(HELD)]
    writers = await asyncio.gather(*many)
    grown = by_role(folder, memory)
    grown.subtract(before)
    for writer in writers:
        writer.close()
    return grown


async def measure_service(name: str, port: int, path: str, folder: str) -> None:
    """CPU of a stream without tokens and of a token, and memory, for each role."""
    await read_answers(port, path, SHORT, STREAMS)  # what is made at the first request
    spent: list[Counter[str]] = []
    for tokens in (SHORT, LONG):
        before = by_role(folder, processor_time_of)
        await read_answers(port, path, tokens, STREAMS)
        after = by_role(folder, processor_time_of)
        after.subtract(before)
        spent.append(after)
    rest = by_role(folder, memory)
    held = await memory_while_open(port, path, folder, rest)
    short, long = spent
    for role in long:
        opened = 1000 * short[role] / STREAMS
        token = 1e6 * (long[role] - short[role]) / STREAMS / (LONG - SHORT)
        size = held[role] / HELD
        print(
            f"{name}, {role}: {opened:.2f} ms CPU a stream, {token:.0f} us CPU a token,"
            f" {size:.0f} KiB an open stream, {rest[role] / 1024:.0f} MiB at rest",
            flush=True,
        )


def measure_serve(provider: int) -> None:
    url = f"http://127.0.0.1:{provider}/v1"
    load = ME.parents[1] / "soak" / "web_load.py"
    for name, command, path in (
        ("uvicorn", [load, "worker"], "/events"),
        ("Ray Serve", [EXAMPLES / "ray_serve.py"], "/chat"),
    ):
        port = free_port()
        if name == "uvicorn":
            command = [*command, port, provider]
        with (
            TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder,
            started(
                *command,
                folder=folder,
                OPENAI_BASE_URL=url,
                PORT=str(port),
                STREAMS_PER_REPLICA="1000",
            ),
        ):
            asyncio.run(wait_for(port))
            time.sleep(10)  # until all is up
            asyncio.run(measure_service(name, port, path, folder))


def main() -> None:
    what, *given = sys.argv[1:]
    if what == "provider":
        asyncio.run(serve_provider(int(given[0])))
    elif what == "without-ray":
        asyncio.run(without_ray(given[0], int(given[1])))
    else:
        port = free_port()
        with (
            TemporaryDirectory() as folder,
            started(ME, "provider", port, folder=folder),
        ):
            asyncio.run(wait_for(port))
            measure: dict[str, Callable[..., None]] = {
                "batch": measure_batch,
                "kill": measure_kill,
                "serve": measure_serve,
            }
            measure[what](port, *given)


if __name__ == "__main__":
    main()
