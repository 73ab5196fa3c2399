"""The example of a batch, on a real Ray of two workers."""

import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from threading import Semaphore

import pytest
from on_ray.programs import STARTS, settings
from support.loopback import Loopback, Recorded, Reply
from support.wire import chat_completions

EXAMPLE = Path(__file__).parents[2] / "examples" / "ray_batch.py"
WITH_EFFECTS = "import effects, ray_batch; ray_batch.main(effects.Sender)"
CONCURRENCY = 8
LIMIT = 500  # seconds, after which something hangs


class Provider(Loopback):
    """Answers each question with its number, and those that are told in another way."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: Counter[int] = Counter()
        self.refused: set[int] = set()
        self.sending: set[int] = set()
        """Those for which a tool is called, after whose result no answer comes."""
        self.gate = Semaphore(0)
        self.delay = 0.0

    def next_reply(self, request: Recorded) -> Reply:
        found = re.search(rb"This is question (\d+)", request.body)
        assert found is not None
        number = int(found[1])
        self.asked[number] += 1
        if number in self.refused:
            body = chat_completions.error_body("No.", None, "invalid_request_error")
            return Reply(body, status=400, content_type="application/json")
        if number in self.sending:
            return self.reply_of_sending(request)
        body = chat_completions.plain_text(f'{{"word": "number {number}"}}')
        return Reply(body, content_type="application/json", delay=self.delay)

    def reply_of_sending(self, request: Recorded) -> Reply:
        if b"It is sent." in request.body:
            return Reply(b"{}", content_type="application/json", gate=self.gate)
        body = chat_completions.plain_tool_calls(("call_1", "send", "{}"))
        return Reply(body, content_type="application/json")


@pytest.fixture
def provider() -> Iterator[Provider]:
    """A provider that every worker reaches."""
    with Provider() as running:
        yield running
        running.gate.release(100)


def start(
    provider: Provider,
    folder: str,
    output: Path,
    prompts: int | Path,
    program: Sequence[str] = (str(EXAMPLE),),
    **variables: str,
) -> subprocess.Popen[str]:
    """The example, as a user starts it with so many prompts, or with those of a file."""
    known = settings(
        folder,
        MODEL="openai-chat:gpt-test",
        OPENAI_API_KEY="test-key",
        OPENAI_BASE_URL=f"{provider.url}/v1",
    )
    option = "--input" if isinstance(prompts, Path) else "--prompts"
    command = [sys.executable, *program, option, str(prompts)]
    command += ["--output", str(output), "--concurrency", str(CONCURRENCY)]
    log = Path(folder) / "log"
    for _ in range(STARTS):
        with log.open("wb") as file:
            process = subprocess.Popen(
                command,
                env={**os.environ, **known, **variables},
                stdout=subprocess.PIPE,
                stderr=file,
                encoding="utf-8",
            )
        while process.poll() is None and "Started a local Ray" not in log.read_text():
            time.sleep(0.2)
        if "timed out during startup" not in log.read_text():
            break
        process.communicate()
    return process


def finish(process: subprocess.Popen[str], folder: str) -> str:
    """What the example prints in the end."""
    out, _ = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, (Path(folder) / "log").read_text()[-4000:]
    return out


def rows_of(output: Path) -> dict[int, dict[str, object]]:
    """The rows by their ids, each of which is there once."""
    from pyarrow.parquet import read_table

    rows = read_table(output / "parquet").to_pylist()
    ids = [row["id"] for row in rows]
    assert len(set(ids)) == len(ids)
    return {row["id"]: row for row in rows}


def wait_until(reached: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Wait while the process runs."""
    deadline = time.monotonic() + LIMIT
    while not reached():
        assert time.monotonic() < deadline
        assert process.poll() is None, "it ended"
        time.sleep(0.1)


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
    wait_until(lambda: sum(provider.asked.values()) >= 100, process)
    os.kill(workers(provider)[0], signal.SIGKILL)
    assert "500 rows" in finish(process, folder)

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
    assert "20 rows" in finish(start(provider, folder, tmp_path, 20), folder)
    first = rows_of(tmp_path)
    assert str(first[3]["error"]).startswith("BadRequest: ")
    assert first[3]["text"] is None and first[5]["text"] is not None

    with sqlite3.connect(tmp_path / "answers.sqlite") as file:
        file.execute("UPDATE answers SET has_effect = 1 WHERE id = 4")
    (tmp_path / "parquet" / "half.parquet").write_bytes(b"PAR1 and no end")
    provider.refused.clear()
    provider.asked.clear()
    assert "20 rows" in finish(start(provider, folder, tmp_path, 20), folder)
    assert provider.asked == {3: 1}
    second = rows_of(tmp_path)
    assert second[3]["error"] is None and second[3]["attempts"] == 2
    assert str(second[4]["error"]).startswith("not asked again: ")
    assert all(second[id] == first[id] for id in first if id not in (3, 4))


def test_prompts_after_whose_tools_with_effects_a_worker_died_are_not_asked_again(
    provider: Provider, folder: str, tmp_path: Path
) -> None:
    """Each effect is there once, and the row says why there is no answer."""
    provider.sending = {2, 5}
    effects = tmp_path / "effects"
    process = start(
        provider,
        folder,
        tmp_path,
        8,
        ("-c", WITH_EFFECTS),
        PYTHONPATH=os.pathsep.join([str(EXAMPLE.parent), str(Path(__file__).parent)]),
        EFFECTS=str(effects),
    )
    wait_until(lambda: provider.asked[2] == provider.asked[5] == 2, process)
    for pid in workers(provider):
        os.kill(pid, signal.SIGKILL)
    assert "8 rows" in finish(process, folder)

    assert sorted(effects.read_text().split()) == ["2", "5"]
    assert provider.asked[2] == provider.asked[5] == 2
    for id, row in rows_of(tmp_path).items():
        if id in provider.sending:
            assert str(row["error"]).startswith("not asked again: ")
            assert row["text"] is None and row["attempts"] == 2
        else:
            assert row["error"] is None


def test_each_prompt_of_a_file_that_cannot_be_asked_has_its_error(
    provider: Provider, folder: str, tmp_path: Path
) -> None:
    """None, no text and no UTF-8 are rows with errors among others that are answered."""
    import pyarrow as pa
    from pyarrow.parquet import write_table

    asked = [f"This is question {id}.".encode() for id in (0, 1)]
    prompts = pa.array([asked[0], None, b"", b"cut \xe2\x82", asked[1]], pa.binary())
    # As other programs write it: nothing has checked the bytes.
    column = prompts.cast(pa.string(), safe=False)
    write_table(
        pa.table({"id": [0, 12, 13, 14, 1], "prompt": column}),
        tmp_path / "in.parquet",
    )
    done = finish(
        start(provider, folder, tmp_path / "out", tmp_path / "in.parquet"), folder
    )
    assert "5 rows" in done and "3 of them failed" in done
    assert provider.asked == {0: 1, 1: 1}
    rows = rows_of(tmp_path / "out")
    assert [rows[id]["text"] is not None for id in (0, 1)] == [True, True]
    kinds = {id: str(rows[id]["error"]).partition(":")[0] for id in (12, 13, 14)}
    assert kinds == {
        12: "ConfigurationError",
        13: "ConfigurationError",
        14: "UnicodeDecodeError",
    }
    assert rows[14]["prompt"] == "cut \N{REPLACEMENT CHARACTER}"


def test_an_input_that_cannot_be_read_is_one_sentence(
    provider: Provider, folder: str, tmp_path: Path
) -> None:
    """A file that was half written, one with other columns and one that is not there: nothing is asked."""
    import pyarrow as pa
    from pyarrow.parquet import write_table

    half = tmp_path / "in"
    half.mkdir()
    write_table(pa.table({"id": [1], "prompt": ["a"]}), half / "a.parquet")
    (half / "b.parquet").write_bytes((half / "a.parquet").read_bytes()[:-9])
    other = tmp_path / "other.parquet"
    write_table(pa.table({"id": ["1"], "question": ["a"]}), other)
    for path, problem in (
        (half, "b.parquet"),
        (other, "must have id (int64) and prompt (string)"),
        (tmp_path / "none.parquet", "cannot be read"),
    ):
        process = start(provider, folder, tmp_path / "out", path)
        process.communicate(timeout=LIMIT)
        error = (Path(folder) / "log").read_text()
        assert process.returncode == 1
        assert len(error.splitlines()) == 1 and problem in error, error
    assert not provider.asked


def test_workers_without_a_key_give_rows_that_say_so(
    provider: Provider, folder: str, tmp_path: Path
) -> None:
    """Nothing ends the batch, and nothing is asked."""
    process = start(provider, folder, tmp_path, 4, OPENAI_API_KEY="")
    assert "4 of them failed" in finish(process, folder)
    assert not provider.asked
    for row in rows_of(tmp_path).values():
        assert str(row["error"]).startswith("ConfigurationError: ")


def test_the_embedded_model_answers(
    provider: Provider, folder: str, tmp_path: Path
) -> None:
    """Without a key and without a server each prompt has its row: a word, or what was wrong with the answer."""
    assert "4 rows" in finish(
        start(provider, folder, tmp_path, 4, MODEL="local"), folder
    )
    for row in rows_of(tmp_path).values():
        assert row["text"] or str(row["error"]).startswith("OutputError: ")
