#!/usr/bin/env bash
# instructor raises IncompleteOutputException where an answer reached the token limit, unless it is streamed: then
# `create_iterable` ends quietly with fewer objects, and the last of `create_partial` holds an object cut in a word.
source "$(dirname "$0")/support/setup.sh"
install instructor==1.17.0 openai==3.3.0
python <<'PYTHON'
import asyncio
import json

import instructor
from canned import answering, report
from chat import DONE, MESSAGES, event
from openai import AsyncOpenAI
from pydantic import BaseModel

CUT = '[{"name": "Ada"}, {"name": "Gra'


class Person(BaseModel):
    name: str


class People(BaseModel):
    people: list[Person]


def called(tool, arguments):
    call = {"index": 0, "id": "c1", "type": "function", "function": {"name": tool, "arguments": arguments}}
    return {"role": "assistant", "content": None, "tool_calls": [call]}


def stream(tool, arguments):
    return answering(event(called(tool, arguments)), event({}, "length"), DONE)


def client(server):
    return instructor.from_openai(AsyncOpenAI(base_url=server.url, api_key="k")).chat.completions


async def whole():
    choice = {"index": 0, "message": called("People", f'{{"people": {CUT}'), "finish_reason": "length"}
    body = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    with answering(json.dumps(body).encode(), content_type="application/json") as server:
        try:
            await client(server).create(model="m", messages=MESSAGES, response_model=People, max_retries=0)
        except Exception as error:  # noqa: BLE001  # which one is the finding
            return type(error).__name__


async def iterable():
    with stream("IterablePerson", f'{{"tasks": {CUT}') as server:
        found = client(server).create_iterable(model="m", messages=MESSAGES, response_model=Person)
        return [person.name async for person in found]


async def partial():
    with stream("People", f'{{"people": {CUT}') as server:
        found = client(server).create_partial(model="m", messages=MESSAGES, response_model=People)
        async for last in found:
            pass
        return [person.name for person in last.people]


async def main():
    return {"create": await whole(), "create_iterable": await iterable(), "create_partial": await partial()}


described = {"create": "IncompleteOutputException", "create_iterable": ["Ada"], "create_partial": ["Ada", "Gra"]}
report("IncompleteOutputException from each", asyncio.run(main()), described)
PYTHON
