"""Many prompts on many machines, by Ray Data: one row of Parquet for each.

    pip install "cogent-ai[all,prices,ray]"
    python examples/ray_batch.py --prompts 10000 --output answers
    python examples/ray_batch.py --input questions.parquet --output answers

The input has the columns `id` (whole numbers, each once) and `prompt`.
Every Ray actor has one agent, and every answer is saved as soon as it is whole. When a
worker dies, or after a restart with the same --output, only what has no answer is asked
again, and what failed. Where a tool with effects had run, nothing is asked again: the
row says so. A prompt that cannot be asked is a row with its error. MODEL names the
model, by default the embedded one.
"""

import argparse
import asyncio
import json
import os
import sqlite3
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import ray
import ray.data
from pyarrow.dataset import dataset
from pyarrow.parquet import read_table
from pydantic import BaseModel

from cogent import Agent, CogentError, Model, Response, Tool, ToolCall
from cogent.prices import cost

BATCH = 64  # prompts
BLOCK = 4 * BATCH  # Ray gives an async actor four batches of one block at once
NOT_REPEATED = "not asked again: a tool with effects ran in an attempt that failed"
WORDS = ["river", "mountain", "city", "animal", "tree", "fish", "bird", "planet"]
ROWS = pa.schema(
    [
        ("id", pa.int64()),
        ("prompt", pa.string()),
        ("text", pa.string()),
        ("output", pa.string()),  # JSON
        ("input_tokens", pa.int64()),
        ("output_tokens", pa.int64()),
        ("cost", pa.float64()),  # US dollars
        ("error", pa.string()),
        ("attempts", pa.int64()),
    ]
)
Row = dict[str, Any]


class Word(BaseModel):
    """The typed answer. Ray sends a dataclass of this file incompletely, and a model whole."""

    word: str


def prompt_of(number: int) -> str:
    return f"Name a {WORDS[number % len(WORDS)]}. This is question {number}."


@ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)
class Answers:
    """What is known of every prompt, on the disk of the machine that began the batch."""

    def __init__(self, path: str) -> None:
        self.file = sqlite3.connect(path, isolation_level=None)
        self.file.execute("PRAGMA journal_mode = WAL")
        self.file.execute(
            "CREATE TABLE IF NOT EXISTS answers"
            " (id INTEGER PRIMARY KEY, attempts INTEGER, has_effect INTEGER, row TEXT)"
        )

    def begin(self, id: int) -> tuple[int, bool, Row | None]:
        """How often the prompt was begun, whether a tool with effects ran, its row."""
        [known] = self.file.execute(
            "INSERT INTO answers VALUES (?, 1, 0, NULL)"
            " ON CONFLICT DO UPDATE SET attempts = attempts + (row IS NULL)"
            " RETURNING attempts, has_effect, row",
            [id],
        ).fetchall()
        attempts, has_effect, row = known
        return attempts, bool(has_effect), json.loads(row) if row else None

    def note_effect(self, id: int) -> None:
        self.file.execute("UPDATE answers SET has_effect = 1 WHERE id = ?", [id])

    def save(self, row: Row) -> None:
        values = [json.dumps(row), row["id"]]
        self.file.execute("UPDATE answers SET row = ? WHERE id = ?", values)


class Worker:
    """One agent in one actor; at most `concurrency` of its runs are under way."""

    # Yours, of a module that the workers can import, not of the program itself. One with
    # effects is a `@tool(approval=True)`, so that it is noted before.
    tools: Sequence[Tool[..., Any]] = ()

    def __init__(self, answers: Any, concurrency: int) -> None:
        self.answers = answers
        self.room = asyncio.Semaphore(concurrency)
        self.agent: Agent[Word] | None = None

    def make_agent(self) -> Agent[Word]:
        model = Model(os.environ.get("MODEL", "local"), max_tokens=100)
        return Agent(
            "batch",
            model,
            tools=self.tools,
            output_type=Word,
            approve=self.note_effect,
        )

    async def note_effect(self, call: ToolCall, context: Any) -> bool:
        await self.answers.note_effect.remote(context["id"])
        return True

    async def __call__(self, batch: pa.Table) -> AsyncIterator[pa.Table]:
        ids = batch["id"].to_pylist()
        # As bytes: where one prompt is no UTF-8, its row alone has an error.
        prompts = batch["prompt"].cast(pa.binary()).to_pylist()
        rows = [self.answer(*row) for row in zip(ids, prompts, strict=True)]
        yield pa.Table.from_pylist(await asyncio.gather(*rows), schema=ROWS)

    async def answer(self, id: int, prompt: bytes | None) -> Row:
        row: Row = {"id": id, "prompt": decoded(prompt, "replace")}
        async with self.room:
            attempts, has_effect, done = await self.answers.begin.remote(id)
            if done is not None:
                return done
            row["attempts"] = attempts
            if has_effect:
                return row | {"error": NOT_REPEATED}
            try:
                if self.agent is None:
                    self.agent = self.make_agent()
                message: Any = decoded(prompt, "strict")  # None is refused
                response = await self.agent.run(message, context={"id": id})
            except (CogentError, UnicodeDecodeError) as error:
                # What failed is not saved, so that a restart asks again.
                return row | {"error": f"{type(error).__name__}: {error}"}
            row |= columns_of(response)
            await self.answers.save.remote(row)
            return row


def decoded(prompt: bytes | None, errors: str) -> str | None:
    return None if prompt is None else prompt.decode("utf-8", errors)


def columns_of(response: Response[Word]) -> Row:
    tokens = response.metadata["tokens"]
    dollars = cost(response)
    return {
        "text": response.content,
        "output": json.dumps(response.to_dict()["output"]),
        "input_tokens": tokens["input_tokens"],
        "output_tokens": tokens["output_tokens"],
        "cost": None if dollars is None else float(dollars),
    }


def read(path: Path) -> ray.data.Dataset:
    """The prompts of a Parquet file or folder. Ends the program with one sentence where
    that is not possible, before anything is asked.
    """
    try:
        found = dataset(path, format="parquet")
        found.count_rows()  # reads the end of each file, which a half written one lacks
    except (OSError, pa.ArrowException) as error:
        sys.exit(f"{path} cannot be read: {error}")
    types = {field.name: str(field.type) for field in found.schema}
    if types.get("id") != "int64" or "string" not in types.get("prompt", ""):
        sys.exit(f"{path} must have id (int64) and prompt (string), but has {types}")
    data = ray.data.read_parquet(str(path)).select_columns(["id", "prompt"])
    return data.repartition(target_num_rows_per_block=BLOCK)


def main(worker: type[Worker] = Worker) -> None:
    parser = argparse.ArgumentParser(description="Many prompts, by Ray Data.")
    parser.add_argument("--prompts", type=int, default=200, metavar="N")
    parser.add_argument("--input", type=Path, metavar="PARQUET", help="your prompts")
    parser.add_argument("--output", type=Path, default=Path("answers"), metavar="DIR")
    parser.add_argument("--workers", type=int, default=2, help="actors")
    parser.add_argument("--concurrency", type=int, default=32, help="runs in an actor")
    options = parser.parse_args()

    output = options.output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    if options.input is not None:
        prompts = read(options.input.resolve())
    else:
        rows = [{"id": id, "prompt": prompt_of(id)} for id in range(options.prompts)]
        blocks = max(options.workers, len(rows) // BLOCK)
        prompts = ray.data.from_items(rows, override_num_blocks=blocks)
    answers = Answers.remote(str(output / "answers.sqlite"))
    parquet = str(output / "parquet")
    prompts.map_batches(
        worker,
        fn_constructor_args=[answers, options.concurrency],
        batch_size=BATCH,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=options.workers),
        # Workers wait for the network; reading and writing need room beside them.
        num_cpus=0.5,
    ).write_parquet(parquet, mode="overwrite")

    errors = read_table(parquet, columns=["error"])["error"]
    failed = len(errors) - errors.null_count
    print(f"{len(errors)} rows in {parquet}, {failed} of them failed")


if __name__ == "__main__":
    main()
