"""Gemini: the SDK knows no dicts, so there is no floor."""

from collections.abc import Callable
from typing import Any

from answers import result
from google import genai
from google.genai import types


class Gemini:
    provider = "gemini"
    whole_calls = True

    @staticmethod
    def connect(url: str) -> genai.Client:
        return genai.Client(api_key="none", http_options={"base_url": url})

    @staticmethod
    def request(
        messages: list[dict[str, Any]], tools: list[dict[str, Any]]
    ) -> dict[str, Any]:
        roles = {"user": "user", "assistant": "model"}
        contents = [
            {"role": roles[m["role"]], "parts": [{"text": m["content"]}]}
            for m in messages
        ]
        functions = [
            {
                "name": tool["name"],
                "description": tool["description"],
                "parameters_json_schema": tool["parameters"],
            }
            for tool in tools
        ]
        request: dict[str, Any] = {"contents": contents}
        return (
            {**request, "config": {"tools": [{"function_declarations": functions}]}}
            if functions
            else request
        )

    @staticmethod
    async def text(
        client: genai.Client, heard: Callable[[str], object], **request: Any
    ) -> None:
        async for chunk in await client.aio.models.generate_content_stream(**request):
            if chunk.text:
                heard(chunk.text)

    @staticmethod
    async def plain(client: genai.Client, **request: Any) -> str:
        return (await client.aio.models.generate_content(**request)).text or ""

    @staticmethod
    async def round_trip(
        client: genai.Client, heard: Callable[[str], object], **request: Any
    ) -> None:
        contents = list(request["contents"])
        async for chunk in await client.aio.models.generate_content_stream(**request):
            for call in chunk.function_calls or ():
                output = types.Part.from_function_response(
                    name=call.name, response={"result": result(call.args["asked"])}
                )
                contents += [
                    chunk.candidates[0].content,
                    types.Content(role="user", parts=[output]),
                ]
        await Gemini.text(client, heard, **{**request, "contents": contents})
