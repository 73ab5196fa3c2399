"""Many prompts on many machines, by Ray Data: one row of Parquet for each.

    pip install "cogent-ai[all,prices,ray]"
    python examples/ray_batch.py --prompts 10000 --output answers

Every Ray actor has one agent, and every answer is saved as soon as it is whole. When a
worker dies, or after a restart with the same --output, only what has no answer is asked
again, and what failed. Where a tool with effects had run, nothing is asked again: the
row says so. MODEL names the model, by default the embedded one.
"""

import argparse
import asyncio
import json
import os
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import ray
import ray.data
from pyarrow.parquet import read_table
from pydantic import BaseModel

from cogent import Agent, CogentError, Model, Response, ToolCall
from cogent.prices import cost

BATCH = 64  # prompts; Ray gives an async actor four batches of a block at once
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

    def __init__(self, answers: Any, concurrency: int) -> None:
        self.answers = answers
        self.room = asyncio.Semaphore(concurrency)
        self.agent: Agent[Word] | None = None

    def make_agent(self) -> Agent[Word]:
        # A tool with effects is a `@tool(approval=True)`, so that it is noted before.
        model = Model(os.environ.get("MODEL", "local"), max_tokens=100)
        return Agent(
            "batch", model, tools=[], output_type=Word, approve=self.note_effect
        )

    async def note_effect(self, call: ToolCall, context: Any) -> bool:
        await self.answers.note_effect.remote(context["id"])
        return True

    async def __call__(self, batch: pa.Table) -> AsyncIterator[pa.Table]:
        rows = [self.answer(row) for row in batch.to_pylist()]
        yield pa.Table.from_pylist(await asyncio.gather(*rows), schema=ROWS)

    async def answer(self, row: Row) -> Row:
        async with self.room:
            attempts, has_effect, done = await self.answers.begin.remote(row["id"])
            if done is not None:
                return done
            row["attempts"] = attempts
            if has_effect:
                return row | {"error": NOT_REPEATED}
            try:
                if self.agent is None:
                    self.agent = self.make_agent()
                context = {"id": row["id"]}
                response = await self.agent.run(row["prompt"], context=context)
            except CogentError as error:
                # What failed is not saved, so that a restart asks again.
                return row | {"error": f"{type(error).__name__}: {error}"}
            row |= columns_of(response)
            await self.answers.save.remote(row)
            return row


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


def main() -> None:
    parser = argparse.ArgumentParser(description="Many prompts, by Ray Data.")
    parser.add_argument("--prompts", type=int, default=200, metavar="N")
    parser.add_argument("--output", type=Path, default=Path("answers"), metavar="DIR")
    parser.add_argument("--workers", type=int, default=2, help="actors")
    parser.add_argument("--concurrency", type=int, default=32, help="runs in an actor")
    options = parser.parse_args()

    output = options.output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    rows = [{"id": id, "prompt": prompt_of(id)} for id in range(options.prompts)]
    answers = Answers.remote(str(output / "answers.sqlite"))
    blocks = max(options.workers, options.prompts // (4 * BATCH))
    parquet = str(output / "parquet")
    ray.data.from_items(rows, override_num_blocks=blocks).map_batches(
        Worker,
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
