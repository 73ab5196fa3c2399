"""What is particular to Azure: where a request goes, and with which credentials."""

import json
from typing import Any

import pytest
from support.loopback import Loopback, Reply
from support.wire import chat_completions, openai_responses

from cogent import (
    Agent,
    AuthenticationError,
    ConfigurationError,
    Model,
    ModelNotFound,
    Response,
    tool,
)


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def answer(model: Model, **settings: Any) -> Response:
    """The response of a streamed run."""
    async with Agent("a", model, stream=True, **settings) as agent:
        return await agent.run("Go")


@pytest.mark.parametrize("ending", ["", "/", "/openai/v1", "/openai/v1/"])
async def test_responses_go_to_the_resource(server: Loopback, ending: str) -> None:
    """Without an api_version the Responses API is asked at /openai/v1, however the endpoint was written."""
    server.reply(Reply(openai_responses.text("Hi")))
    model = Model(
        "azure:my-deployment", base_url=server.url + ending, api_key="azure-key"
    )
    response = await answer(model)
    request = server.requests[0]
    assert (request.path, request.json["model"]) == (
        "/openai/v1/responses",
        "my-deployment",
    )
    assert request.headers["authorization"] == "Bearer azure-key"
    assert response.metadata["provider"] == "azure" and response.content == "Hi"


async def test_chat_goes_to_the_deployment(server: Loopback) -> None:
    """With an api_version the deployment's Chat Completions are asked, with tools and their results."""
    server.reply(
        Reply(chat_completions.tool_calls(("c1", "add", '{"a": 1, "b": 2}'))),
        Reply(chat_completions.text("3")),
    )
    model = Model(
        "azure:dep",
        base_url=server.url,
        api_key="azure-key",
        api_version="2025-04-01-preview",
        max_tokens=9,
    )
    response = await answer(model, tools=[add])
    first, second = server.requests
    assert (
        first.path
        == "/openai/deployments/dep/chat/completions?api-version=2025-04-01-preview"
    )
    assert (
        first.headers["api-key"] == "azure-key"
        and first.json["max_completion_tokens"] == 9
    )
    assert second.json["messages"][-1] == {
        "role": "tool",
        "tool_call_id": "c1",
        "content": "3",
    }
    assert response.content == "3"


@pytest.mark.parametrize("version", [None, "2025-04-01-preview"])
async def test_a_token_provider_is_asked_for_each_request(
    server: Loopback, version: str | None
) -> None:
    """api_key may be a function, sync or async, whose token is sent as a bearer token."""
    wire = openai_responses if version is None else chat_completions
    server.reply(Reply(wire.text("Hi")), Reply(wire.text("Hi")))

    async def token() -> str:
        return "token-a"

    for provide in (token, lambda: "token-b"):
        await answer(
            Model(
                "azure:dep",
                base_url=server.url,
                api_key=provide,
                api_version=version,
            )
        )
    assert [r.headers["authorization"] for r in server.requests] == [
        "Bearer token-a",
        "Bearer token-b",
    ]


async def test_the_environment_names_endpoint_and_key(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AZURE_OPENAI_ENDPOINT and AZURE_OPENAI_API_KEY are enough, and OpenAI's own key is not sent to Azure."""
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", server.url)
    monkeypatch.setenv("OPENAI_API_KEY", "openai-key")
    with pytest.raises(ConfigurationError, match="AZURE_OPENAI_API_KEY"):
        await answer(Model("azure:dep"))
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "azure-key")
    server.reply(Reply(openai_responses.text("Hi")))
    await answer(Model("azure:dep"))
    assert server.requests[0].headers["authorization"] == "Bearer azure-key"


async def test_a_missing_endpoint_names_its_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without an endpoint nothing is sent, and the error says where to write it."""
    monkeypatch.delenv("AZURE_OPENAI_ENDPOINT", raising=False)
    with pytest.raises(ConfigurationError, match="AZURE_OPENAI_ENDPOINT"):
        await answer(Model("azure:dep", api_key="k"))


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [(404, "DeploymentNotFound", ModelNotFound), (401, "401", AuthenticationError)],
)
async def test_azure_errors_have_our_names(
    server: Loopback, status: int, code: str, kind: type[Exception]
) -> None:
    """A deployment that does not exist and a bad key are told as such."""
    body = json.dumps(
        {
            "error": {
                "code": code,
                "message": "The API deployment for this resource does not exist.",
            }
        }
    )
    server.reply(Reply(body, status, "application/json"))
    with pytest.raises(kind):
        await answer(Model("azure:dep", base_url=server.url, api_key="k"))


async def test_the_first_chunks_of_azure_hold_no_answer(server: Loopback) -> None:
    """A chunk without choices or model, and a choice without delta, are passed over."""
    filters = {
        "model": "",
        "choices": [],
        "prompt_filter_results": [{"prompt_index": 0}],
    }
    empty = {
        "model": "gpt-4o-2024",
        "choices": [{"index": 0, "delta": None, "finish_reason": None}],
    }
    odd = [b"data: %s\n\n" % json.dumps(event).encode() for event in (filters, empty)]
    server.reply(Reply([*odd, *chat_completions.text("Hi", model="gpt-4o-2024")]))
    model = Model(
        "azure:dep", base_url=server.url, api_key="k", api_version="2025-04-01-preview"
    )
    response = await answer(model)
    assert (response.content, response.metadata["model"]) == ("Hi", "gpt-4o-2024")
