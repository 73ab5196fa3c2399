"""What a page asks: the message, the conversation so far, and answers to pending calls.

A conversation that comes from a page is only as good as whoever has the page. So it
counts as follows:

- What this server signed (`seal.py`) is taken as it was.
- Anything else may be text, images, files, calls and results, and nothing that goes to
  a provider as it is: no items, no address, no instructions.
- No tool of the server runs for a call that is not signed: a page could invent it.
- A page gives results only of tools that run there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from cogent.agent import Agent
from cogent.content import ContentPart
from cogent.errors import ConfigurationError
from cogent.json_values import Json
from cogent.messages import Message, Response, ToolCall
from cogent.run.history import CallKey, pair_results
from cogent.run.pending import APPROVAL_REQUEST
from cogent.stream import AgentStream
from cogent.tools import Tool
from cogent.type_variables import OtherType
from cogent.web.bad_input import BadInput
from cogent.web.seal import seal

R = TypeVar("R")

AnyTool = Tool[..., Any]


@dataclass(slots=True, kw_only=True)
class Question:
    """A request of a page, read and checked; made by `read_question`.

    `message`, `history`, `approvals` and `results` are what `Agent.run_stream` takes;
    `tools` are those that the page itself runs (AG-UI). `data` is the whole body, for
    what your page sends besides. `signed` are the places in `history` of the messages
    that this server signed. From the place `new_from` on, messages are not yet with the
    page in signed form.

    >>> question = parse_question('{"message": "Hi"}')
    >>> async def main():
    ...     return [chunk.content async for chunk in question.run_stream(agent)]
    >>> asyncio.run(main())
    ['Hello.', '']
    """

    message: str | list[ContentPart] | None = None
    history: list[Message] = field(default_factory=list)
    approvals: dict[str, bool | str] = field(default_factory=dict)
    results: dict[str, object] = field(default_factory=dict)
    tools: list[AnyTool] = field(default_factory=list)
    data: Json = field(default_factory=dict)
    thread_id: str = ""
    run_id: str = ""
    message_id: str = ""
    signed: set[int] = field(default_factory=set)
    new_from: int = 0
    secret: bytes | None = field(default=None, repr=False)

    def run_stream(
        self,
        agent: Agent[R],
        *,
        context: object = None,
        tool_choice: str | None = None,
        output_type: type[R] | OtherType | None = None,
    ) -> AgentStream[R]:
        """Start the run that answers: `agent.run_stream(...)`, with a page's question.

        Raises BadInput for what the agent cannot be asked, before any request.
        """
        results = {id: _as_value(result) for id, result in self.results.items()}
        try:
            asked = agent.with_tools(self._tools_for(agent)) if self.tools else agent
            self._check_calls(asked)
            return asked.run_stream(
                self.message,
                context=context,
                history=self.history,
                approvals=self.approvals,
                results=results,
                tool_choice=tool_choice,
                output_type=output_type,
            )
        except BadInput:
            raise
        except ConfigurationError as error:
            raise BadInput(str(error)) from error

    def write_history(
        self, response: Response[Any], *, asks_again: bool = True
    ) -> str | list[Json]:
        """The conversation as a page keeps it and sends it again as `history`.

        A signed text, or without a secret a list of messages. Of a run that failed it
        ends with what the model has not answered, so that it alone asks again; without
        `asks_again` the question that failed is left out, as it would spoil the next
        one too: an image for a model that takes none.
        """
        messages = _whole_messages(response)
        if not asks_again and messages and messages[-1].role == "user":
            messages.pop()
        if self.secret is not None:
            return seal(messages, self.secret)
        return [write_neutral(message) for message in messages]

    def has_approved(self, call_id: str) -> bool:
        """Whether a call runs because the page said so.

        Once it ran, the page has to know that, however the run ends: it must not be
        approved again.
        """
        return self.approvals.get(call_id) is True

    def seal_news(self, response: Response[Any], covers: Sequence[str] = ()) -> str:
        """The messages since `new_from`, signed, for a front end that has the rest.

        The message of the question is left out: the front end has that too. Empty
        without a secret.
        """
        if self.secret is None:
            return ""
        news = _whole_messages(response)[self.new_from :]
        if self.message is not None:
            place = self._place_of_message(news)
            del news[place : place + 1]
        return seal(news, self.secret, covers)

    def _place_of_message(self, news: Sequence[Message]) -> int:
        start = len(self.history) - self.new_from
        places = range(start, len(news))
        return next((place for place in places if news[place].role == "user"), 0)

    def _tools_for(self, agent: Agent[Any]) -> list[AnyTool]:
        """The page's tools; one that has the name of a tool of the server is left out."""
        return [tool for tool in self.tools if tool.name not in agent.tools]

    def _check_calls(self, agent: Agent[Any]) -> None:
        """Raise BadInput where the page goes beyond what is a page's."""
        results, waiting = pair_results(self.history)
        self._check_results(results)
        for (place, _), call in waiting.items():
            if call.id in self.results:
                _check_result(call, agent.tools)
            elif place not in self.signed and self._may_run(call, agent.tools):
                raise BadInput(
                    f"the call {call.id!r} of {call.name!r} cannot be approved: "
                    "the history that holds it is not signed"
                )

    def _check_results(self, results: Mapping[CallKey, Message]) -> None:
        """A signed call has no result but a signed one, or one that is given now."""
        signed = {id(self.history[place]) for place in self.signed}
        for (place, _), result in results.items():
            if place in self.signed and id(result) not in signed:
                raise BadInput(
                    f"the result of the call {result.tool_call_id!r} is not signed"
                )

    def _may_run(self, call: ToolCall, tools: Mapping[str, AnyTool]) -> bool:
        """Whether the server would run the call, or ask whether it may."""
        if call.id in self.approvals:
            return self.approvals[call.id] is True
        tool = tools.get(call.name)
        return tool is not None and tool.approval


def _whole_messages(response: Response[Any]) -> list[Message]:
    """The conversation, without the text at its end that was broken off."""
    messages = list(response.messages)
    if response.finish_reason is None:
        while messages and _is_text_of_model(messages[-1]):
            messages.pop()
    return messages


def _is_text_of_model(message: Message) -> bool:
    return message.role == "assistant" and not message.tool_calls


def _check_result(call: ToolCall, tools: Mapping[str, AnyTool]) -> None:
    tool = tools.get(call.name)
    runs_here = tool is not None and not tool.runs_elsewhere
    if call.type == APPROVAL_REQUEST or (call.type == "function" and runs_here):
        raise BadInput(
            f"the call {call.id!r} of {call.name!r} runs on the server: "
            "a page may approve of it, and not give its result"
        )


def _as_value(result: object) -> object:
    """A result of a page, never a provider's own item, which would go out unread."""
    if isinstance(result, Mapping) and "type" in result:
        return json.dumps(result, ensure_ascii=False)
    return result


NEUTRAL_FIELDS = (
    "role",
    "content",
    "tool_calls",
    "tool_call_id",
    "name",
    "is_error",
    "parts",
    "version",
)


def write_neutral(message: Message) -> Json:
    """A message without what belongs to one provider or server."""
    written = message.to_dict()
    return {key: written[key] for key in NEUTRAL_FIELDS if key in written}
