"""The example of a batch, on a real Ray of two workers."""

import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.loopback import Loopback, Recorded, Reply
from support.wire import chat_completions

EXAMPLE = Path(__file__).parents[2] / "examples" / "ray_batch.py"
CONCURRENCY = 8
LIMIT = 500  # seconds, after which something hangs


class Provider(Loopback):
    """Answers each question with its number, and refuses those that are told."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: Counter[int] = Counter()
        self.refused: set[int] = set()
        self.delay = 0.0

    def next_reply(self, request: Recorded) -> Reply:
        found = re.search(rb"This is question (\d+)", request.body)
        assert found is not None
        number = int(found[1])
        self.asked[number] += 1
        if number in self.refused:
            body = chat_completions.error_body("No.", None, "invalid_request_error")
            return Reply(body, status=400, content_type="application/json")
        body = chat_completions.plain_text(f'{{"word": "number {number}"}}')
        return Reply(body, content_type="application/json", delay=self.delay)


@pytest.fixture
def provider() -> Iterator[Provider]:
    """A provider that every worker reaches."""
    with Provider() as running:
        yield running


def start(
    provider: Provider, folder: str, output: Path, prompts: int, **variables: str
) -> subprocess.Popen[str]:
    """The example, as a user starts it."""
    known = {
        "MODEL": "openai-chat:gpt-test",
        "OPENAI_API_KEY": "test-key",
        "OPENAI_BASE_URL": f"{provider.url}/v1",
        "RAY_USAGE_STATS_ENABLED": "0",
        # Under `uv run` Ray would start each worker by it again.
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
        "RAY_TMPDIR": folder,
    }
    command = [sys.executable, str(EXAMPLE), "--prompts", str(prompts)]
    return subprocess.Popen(
        [*command, "--output", str(output), "--concurrency", str(CONCURRENCY)],
        env={**os.environ, **known, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


def finish(process: subprocess.Popen[str]) -> str:
    """What the example prints in the end."""
    out, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, err[-4000:]
    return out


def rows_of(output: Path) -> dict[int, dict[str, object]]:
    """The rows by their ids, each of which is there once."""
    from pyarrow.parquet import read_table

    rows = read_table(output / "parquet").to_pylist()
    ids = [row["id"] for row in rows]
    assert len(set(ids)) == len(ids)
    return {row["id"]: row for row in rows}


def workers(provider: Provider) -> list[int]:
    """The processes of the actors that ask this provider."""
    done = subprocess.run(
        ["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True
    )
    lines = [line for line in done.stdout.splitlines() if "ray::MapWorker" in line]
    pids = [int(line.split()[0]) for line in lines]
    address = provider.url.encode()
    return [pid for pid in pids if address in Path(f"/proc/{pid}/environ").read_bytes()]


def test_a_killed_worker_loses_no_prompt_and_bills_none_twice_beyond_those_in_flight(
    provider: Provider, folder: str, tmp_path: Path
) -> None:
    """Every prompt has its row; asked twice are at most those that were under way in the worker."""
    provider.delay = 0.3
    process = start(provider, folder, tmp_path, 500)
    deadline = time.monotonic() + LIMIT
    while sum(provider.asked.values()) < 100:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    os.kill(workers(provider)[0], signal.SIGKILL)
    assert "500 rows" in finish(process)

    rows = rows_of(tmp_path)
    assert set(rows) == set(range(500)) == set(provider.asked)
    for id, row in rows.items():
        assert row["output"] == f'{{"word": "number {id}"}}', row
        assert row["error"] is None
    again = [id for id, times in provider.asked.items() if times > 1]
    assert 0 < len(again) <= CONCURRENCY
    assert max(provider.asked.values()) == 2
    assert [rows[id]["attempts"] for id in again] == [2] * len(again)


def test_a_restart_asks_only_what_has_no_answer(
    provider: Provider, folder: str, tmp_path: Path
) -> None:
    """What failed has a row with its error, and is asked again; where a tool with effects ran, it is not."""
    provider.refused = {3, 4}
    assert "20 rows" in finish(start(provider, folder, tmp_path, 20))
    first = rows_of(tmp_path)
    assert str(first[3]["error"]).startswith("BadRequest: ")
    assert first[3]["text"] is None and first[5]["text"] is not None

    with sqlite3.connect(tmp_path / "answers.sqlite") as file:
        file.execute("UPDATE answers SET has_effect = 1 WHERE id = 4")
    (tmp_path / "parquet" / "half.parquet").write_bytes(b"PAR1 and no end")
    provider.refused.clear()
    provider.asked.clear()
    assert "20 rows" in finish(start(provider, folder, tmp_path, 20))
    assert provider.asked == {3: 1}
    second = rows_of(tmp_path)
    assert second[3]["error"] is None and second[3]["attempts"] == 2
    assert str(second[4]["error"]).startswith("not asked again: ")
    assert all(second[id] == first[id] for id in first if id not in (3, 4))


def test_workers_without_a_key_give_rows_that_say_so(
    provider: Provider, folder: str, tmp_path: Path
) -> None:
    """Nothing ends the batch, and nothing is asked."""
    assert "4 of them failed" in finish(
        start(provider, folder, tmp_path, 4, OPENAI_API_KEY="")
    )
    assert not provider.asked
    for row in rows_of(tmp_path).values():
        assert str(row["error"]).startswith("ConfigurationError: ")


def test_the_embedded_model_answers(
    provider: Provider, folder: str, tmp_path: Path
) -> None:
    """Without a key and without a server each prompt has its row: a word, or what was wrong with the answer."""
    assert "4 rows" in finish(start(provider, folder, tmp_path, 4, MODEL="local"))
    for row in rows_of(tmp_path).values():
        assert row["text"] or str(row["error"]).startswith("OutputError: ")
