"""What a caller wrote wrongly is said where it was written, with what to write instead, and nothing is sent."""

import math
import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest
from conftest import Wire
from support.loopback import Loopback

from cogent import (
    Agent,
    ConfigurationError,
    Message,
    Model,
    Response,
    Timeout,
    Tool,
    ToolCall,
    preload,
    tool,
)
from cogent.model_names import prefixes

HUGE = 10**5000


@tool
def search(query: str) -> str:
    """Search."""
    return query


class Search:
    """A class that is no tool."""


async def later() -> str:
    """A coroutine function."""
    return "later"


# Names of models

MEANT = {
    "llama3.2:3b": '"ollama:llama3.2:3b"',
    "gpt-oss:20b": '"ollama:gpt-oss:20b"',
    "mixtral:7b": '"ollama:mixtral:7b"',
    "qwen3:latest": '"ollama:qwen3:latest"',
    "phi3": '"ollama:phi3"',
    "gtp-5.4": '"gpt-5.4"',
    "GPT-5.4": '"gpt-5.4"',
    "gpt5": '"gpt-5"',
    "cluade-sonnet-4-5": '"claude-sonnet-4-5"',
    "gemni-3-pro": '"gemini-3-pro"',
    "chatgpt": '"openai:NAME"',
    "claude": '"anthropic:NAME"',
    "ollama": '"ollama:NAME"',
    "llama-cpp-python": '"local:NAME"',
    "openai/gpt-5.4": '"openai:gpt-5.4"',
    "google:": '"gemini:NAME"',
    "google:gemini-3-pro": '"gemini:gemini-3-pro"',
    "vertex:gemini-3-pro": '"gemini:gemini-3-pro"',
    "opnai:": '"openai:NAME"',
    "opnai:gpt-5.4": '"openai:gpt-5.4"',
    "OpenAI:gpt-5.4": '"openai:gpt-5.4"',
    "openai_chat:m": '"openai-chat:m"',
    "antropic:claude-x": '"anthropic:claude-x"',
    "claude:opus": '"anthropic:opus"',
    "gpt:5": '"openai:5"',
    "ft:gpt-5.4:org::id": '"openai:ft:gpt-5.4:org::id"',
    "mistralai:mistral-large": '"mistral:mistral-large"',
    "Mistral:mistral-large": '"mistral:mistral-large"',
    "lmstudio:m": 'Model("openai-chat:m", base_url="http://localhost:1234/v1")',
    "openrouter:a/b": 'Model("openai-chat:a/b", base_url="https://openrouter.ai/api/v1")',
    "grok:grok-4": 'Model("openai-chat:grok-4", base_url="https://api.x.ai/v1")',
    "depseek:m": 'Model("openai-chat:m", base_url="https://api.deepseek.com")',
}


@pytest.mark.parametrize("text", MEANT)
def test_a_model_string_that_cannot_be_used_gets_the_nearest(text: str) -> None:
    """The error of a misspelt or unknown model string asks for the one that was probably meant."""
    with pytest.raises(ConfigurationError) as raised:
        Model(text)
    assert f"did you mean {MEANT[text]}?" in str(raised.value)


@pytest.mark.parametrize(
    "text",
    [text for text in MEANT.values() if "NAME" not in text and "Model" not in text],
)
def test_what_is_suggested_can_be_used(text: str) -> None:
    """A suggestion is itself a model string that works."""
    assert Model(text.strip('"')).provider in prefixes()


@pytest.mark.parametrize(
    "text", ["nobody:m", ":m", "meta-llama/Llama-3", "http://host/v1"]
)
def test_a_model_string_that_is_like_nothing_gets_the_prefixes(text: str) -> None:
    """Where nothing is near the error lists the prefixes and guesses nothing."""
    with pytest.raises(
        ConfigurationError, match="ollama, openai, openai-chat"
    ) as raised:
        Model(text)
    assert "did you mean" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("opnai", '"openai"'),
        ("google", '"gemini"'),
        ("vllm", '"openai-chat"'),
        ("openai:gpt-5.4", '"openai"'),
        ("nobody", "the known prefixes"),
        (None, "prefix"),
        (["openai"], "prefix"),
    ],
)
def test_preload_of_an_unknown_provider(name: Any, words: str) -> None:
    """`preload` takes the prefixes of providers, and an unknown one gets the nearest."""
    with pytest.raises(ConfigurationError, match=words):
        preload(name)


# Settings of a model

SETTINGS: list[tuple[str, Any]] = [
    *(
        ("temperature", value)
        for value in ("0.5", True, math.nan, math.inf, -math.inf, HUGE, [0.5], 1j)
    ),
    *(("max_tokens", value) for value in ("9", True, 0, -1, 9.5, HUGE, math.nan)),
    *(("max_retries", value) for value in ("2", True, -1, 1.5, None, HUGE)),
    *(("strict_end", value) for value in ("no", 1, None)),
    *(("api_version", value) for value in (2025, b"1")),
    *(("api_key", value) for value in (5, b"secret", ["secret"])),
    *(
        ("base_url", value)
        for value in (
            "localhost:8000/v1",
            "127.0.0.1:8000",
            "host/v1",
            "",
            "ftp://host",
            "http://",
        )
    ),
    *(
        ("base_url", value)
        for value in (
            "http://host:port/v1",
            " http://host",
            "http://host/v1\n",
            b"http://host",
            5,
        )
    ),
    *(
        ("extra", value)
        for value in (
            None,
            [],
            "x",
            {1: 2},
            {("a",): 1},
            {"tools": "search"},
            {"extra_body": []},
        )
    ),
]


@pytest.mark.parametrize(
    ("name", "value"), SETTINGS, ids=lambda v: "huge" if v is HUGE else str(v)[:20]
)
def test_a_setting_of_a_model_that_cannot_be_sent(name: str, value: Any) -> None:
    """A setting of the wrong type, or one that JSON cannot hold, is refused by its name when the model is made."""
    with pytest.raises(ConfigurationError, match=name) as raised:
        Model("openai:m", **{name: value})
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("address", ["user:hidden@host/v1", "ftp://user:hidden@host"])
def test_a_password_in_an_address_is_not_shown(address: str) -> None:
    """The error of an address without http:// shows it without the password."""
    with pytest.raises(ConfigurationError, match="base_url") as raised:
        Model("openai:m", base_url=address)
    assert "hidden" not in str(raised.value)


def test_an_address_without_a_scheme_is_given_one() -> None:
    """The error of an address without http:// says what to write."""
    with pytest.raises(ConfigurationError, match='"http://localhost:8000/v1"'):
        Model("openai-chat:m", base_url="localhost:8000/v1")


FILLED_IN = [
    "contents",
    "input",
    "instructions",
    "messages",
    "model",
    "stream",
    "system",
    "system_instruction",
    "systemInstruction",
]


@pytest.mark.parametrize("name", FILLED_IN)
@pytest.mark.parametrize("place", ["extra", "extra_body"])
def test_extra_cannot_replace_what_a_run_fills_in(
    server: Loopback, wire: Wire, name: str, place: str
) -> None:
    """What a run fills in itself is refused by name in `extra`, on every provider; Anthropic's cached system is not."""
    extra = {name: True} if place == "extra" else {"extra_body": {name: True}}
    if (wire.provider, name) == ("anthropic", "system"):
        wire.agent(server, model={"extra": extra})
        return
    with pytest.raises(ConfigurationError, match=f"{place}.*'{name}'"):
        wire.agent(server, model={"extra": extra})


def test_other_settings_stay_possible(server: Loopback, wire: Wire) -> None:
    """Headers, tools of the provider's own, stream options and whatever else the SDK knows are taken."""
    settings = (
        "stream_options",
        "extra_body",
        "extra_headers",
        "metadata",
        "max_tokens",
        "temperature",
    )
    wire.agent(
        server,
        model={
            "extra": {
                **{name: {} for name in settings},
                "tools": [{"type": "web_search"}],
            }
        },
    )


# Agents


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"model": None}, 'like "openai:gpt-5.4"'),
        ({"model": Model}, 'like "openai:gpt-5.4"'),
        ({"name": None}, "name"),
        ({"instructions": ["x"]}, "instructions"),
        ({"instructions": "a\ud83d"}, "instructions"),
        ({"stream": "yes"}, "stream"),
        ({"stream": 1}, "stream"),
        ({"max_steps": True}, "max_steps"),
        ({"max_steps": "3"}, "max_steps"),
        ({"max_steps": HUGE}, "max_steps"),
        ({"timeout": "3"}, "timeout"),
        ({"timeout": True}, "timeout"),
        ({"timeout": timedelta(seconds=3)}, "timeout"),
        ({"timeout": {"total": 3}}, "timeout"),
        ({"timeout": math.inf}, "timeout"),
        ({"tools": search}, r"write tools=\[search\]"),
        ({"tools": len}, r"write tools=\[len\]"),
        ({"tools": "search"}, "list of functions"),
        ({"tools": None}, "list of functions"),
        ({"tools": Search}, "list of functions"),
        ({"tools": {"search": search}}, "list of functions"),
        ({"tools": ["search"]}, "made from a function"),
        ({"tools": [Search]}, "made from a function"),
        ({"tools": [Tool]}, "made from a function"),
        ({"tools": [{"type": "web_search"}]}, "extra="),
        ({"tools": [search, search]}, "two tools"),
    ],
)
def test_an_agent_that_cannot_work_is_refused_when_built(
    settings: dict[str, Any], words: str
) -> None:
    """A setting of the wrong type is refused where it is written, with what to write."""
    with pytest.raises(ConfigurationError, match=words):
        Agent(**{"name": "a", "model": "openai:m", **settings})


def test_a_tool_that_was_called_instead_of_given() -> None:
    """A coroutine among the tools is a call too many, and leaves no warning behind."""
    with pytest.raises(ConfigurationError, match=r"write later without \(\)"):
        Agent("a", "openai:m", tools=[later()])  # type: ignore[list-item]


@pytest.mark.parametrize(
    "limit", ["connect", "first", "stall", "total", "tool", "idle"]
)
@pytest.mark.parametrize(
    "value",
    [math.inf, "3", True, timedelta(1), HUGE],
    ids=lambda value: type(value).__name__,
)
def test_a_limit_that_no_clock_can_keep(limit: str, value: Any) -> None:
    """A limit that is no finite number of seconds is refused by its name."""
    with pytest.raises(ConfigurationError, match=f"{limit} time-out"):
        Timeout(**{limit: value})


# Messages and histories

CALL = {"id": "c1", "name": "search", "arguments": {"query": "x"}}
ITSELF: dict[str, Any] = {}
ITSELF["again"] = ITSELF


def nested(depth: int) -> Any:
    """Lists in lists."""
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


UNSENDABLE = {
    "nan": math.nan,
    "infinity": math.inf,
    "5,000 digits": HUGE,
    "2,000 deep": nested(2000),
    "itself": ITSELF,
    "bytes": b"x",
    "an object": Search(),
    "a set": {1},
    "half a character": "a\ud83d",
    "a key of half a character": {"a\ud83d": 1},
    "a number as key": {1: 2},
    "a tuple as key": {(1, 2): 3},
}
ENTRIES: dict[str, tuple[Any, str]] = {
    "a string": ("Hi", "entry 1"),
    "None": (None, "entry 1"),
    "no role": ({"content": "x"}, "no role"),
    "an unknown role": ({"role": "robot", "content": "x"}, "robot"),
    "a role that is a list": ({"role": ["user"], "content": "x"}, "role"),
    "an unknown key": ({"role": "user", "colour": "red"}, "colour"),
    "a key that is no string": ({"role": "user", 5: "red"}, "unknown keys 5"),
    "no content": ({"role": "user", "content": None}, "content is a string"),
    "parts": (
        {"role": "user", "content": [{"type": "text", "text": "x"}]},
        "content is a string",
    ),
    "half a character": (
        {"role": "user", "content": "a\ud83d"},
        "content.*half a character",
    ),
    "a name": ({"role": "user", "content": "x", "name": 5}, "name is a string or None"),
    "an id": (
        {"role": "tool", "content": "x", "tool_call_id": 5},
        "tool_call_id is a string or None",
    ),
    "is_error": (
        {"role": "tool", "content": "x", "is_error": "no"},
        "is_error is True or False",
    ),
    "is_error as 1": (
        {"role": "tool", "content": "x", "is_error": 1},
        "is_error is True or False",
    ),
    "reasoning": (
        {"role": "assistant", "content": "x", "reasoning": None},
        "reasoning is a string",
    ),
    "provider": (
        {"role": "assistant", "content": "x", "provider": 5},
        "provider is a string or None",
    ),
    "items": (
        {"role": "assistant", "content": "x", "items": "x"},
        "items is a list of dicts",
    ),
    "items as a dict": (
        {"role": "assistant", "content": "x", "items": {}},
        "items is a list of dicts",
    ),
    "a string inside items": (
        {"role": "assistant", "content": "x", "items": ["x"]},
        r"items\[0\] is a dict",
    ),
    "a key inside items": (
        {"role": "assistant", "content": "x", "items": [{1: 2}]},
        r"items\[0\] has the key 1",
    ),
    "calls": (
        {"role": "assistant", "content": "", "tool_calls": "x"},
        "tool_calls is a list",
    ),
    "calls as a dict": (
        {"role": "assistant", "content": "", "tool_calls": CALL},
        "tool_calls is a list",
    ),
    "a call that is none": (
        {"role": "assistant", "content": "", "tool_calls": ["x"]},
        r"tool_calls\[0\] is a dict",
    ),
    "a call without a name": (
        {"role": "assistant", "content": "", "tool_calls": [{"id": "c1"}]},
        "has no name",
    ),
    "a call's id": (
        {"role": "assistant", "content": "", "tool_calls": [CALL | {"id": 5}]},
        r"tool_calls\[0\]\.id is",
    ),
    "a call's name": (
        {"role": "assistant", "content": "", "tool_calls": [CALL | {"name": None}]},
        r"\.name is a string",
    ),
    "a call's arguments": (
        {"role": "assistant", "content": "", "tool_calls": [CALL | {"arguments": [1]}]},
        r"tool_calls\[0\]\.arguments is a dict or a string",
    ),
}


@pytest.mark.parametrize("kind", ENTRIES)
def test_a_history_entry_that_is_no_message(kind: str) -> None:
    """Each field of an entry is checked, and the error names the entry, the field and what belongs there."""
    entry, words = ENTRIES[kind]
    with pytest.raises(ConfigurationError, match=f"entry 1.*{words}|{words}"):
        Agent("a", "openai:m").run_stream(
            "Go", history=[{"role": "user", "content": "Hi"}, entry]
        )
    if isinstance(entry, dict):
        with pytest.raises(ConfigurationError, match=words):
            Message.from_dict(entry)


@pytest.mark.parametrize("kind", UNSENDABLE)
@pytest.mark.parametrize("place", ["arguments", "items"])
def test_a_history_that_json_cannot_hold(kind: str, place: str) -> None:
    """Arguments and items that cannot be sent are refused before a request, and the error says where they are."""
    value = {"here": UNSENDABLE[kind]}
    call = ToolCall("c1", "search", value if place == "arguments" else {})
    message = Message(
        "assistant",
        "",
        tool_calls=[call],
        provider="openai",
        items=[value] if place == "items" else [],
    )
    with pytest.raises(ConfigurationError, match=rf"entry 0.*{place}.*\['here'\]"):
        Agent("a", "openai:m").run_stream("Go", history=[message])


def test_a_message_that_was_changed_later_is_checked_too() -> None:
    """A Message whose field was set to something else after it was made is refused like a dict."""
    message = Message("user", "Hi")
    message.content = None  # type: ignore[assignment]
    with pytest.raises(ConfigurationError, match=r"entry 0.*content is a string"):
        Agent("a", "openai:m").run_stream("Go", history=[message])


def test_what_to_dict_writes_is_read_back() -> None:
    """The checks let through whatever a message of this library holds."""
    items = [
        {
            "type": "reasoning",
            "summary": [],
            "depth": nested(50),
            "size": 10**30,
            "share": 0.5,
            "none": None,
        }
    ]
    call = ToolCall("c1", "search", {"query": "Größe 😀"})
    messages = [
        Message("user", "Hi"),
        Message(
            "assistant",
            "x",
            tool_calls=[call],
            reasoning="r",
            provider="openai",
            items=items,
        ),
        Message("assistant", "", tool_calls=[ToolCall("c2", "search", "{")]),
        Message("tool", "x", tool_call_id="c1", name="search", is_error=True),
    ]
    assert [Message.from_dict(message.to_dict()) for message in messages] == messages
    Agent("a", "openai:m").run_stream("Go", history=messages)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"history": "Hi"}, "history is a list of messages"),
        ({"history": b"Hi"}, "history is a list of messages"),
        (
            {"history": {"role": "user", "content": "Hi"}},
            "history is a list of messages",
        ),
        ({"history": Message("user", "Hi")}, "history is a list of messages"),
        ({"history": 5}, "history is a list of messages"),
        ({"history": Response("", None, {}, [], [], [])}, r"response\.messages"),
        ({"message": "a\ud83d"}, "half a character"),
        ({"message": b"Hi"}, "string"),
        ({"message": Message("user", "Hi")}, "string"),
    ],
)
def test_an_unusable_run_is_refused_at_once(
    arguments: dict[str, Any], words: str
) -> None:
    """A message or history of another type is an error before anything is sent."""
    with pytest.raises(ConfigurationError, match=words):
        Agent("a", "openai:m").run_stream(**{"message": "Go", **arguments})


# Missing packages

SDKS = {
    "openai": "openai",
    "openai-chat": "openai",
    "azure": "openai",
    "local": "openai",
    "anthropic": "anthropic",
    "gemini": "google.genai",
    "groq": "groq",
    "mistral": "mistralai",
    "ollama": "ollama",
}
PACKAGES = {"google.genai": "google-genai"}
BLOCKED = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if any(name == blocked or name.startswith(blocked + ".") for blocked in {names}):
            raise ModuleNotFoundError("No module named " + repr(name), name=name)
sys.meta_path.insert(0, Blocked())
import cogent
try:
    cogent.Agent("a", {prefix!r} + ":m")
except cogent.ConfigurationError as error:
    print(error)
"""


def without(names: list[str], prefix: str) -> str:
    """The words of the error in a process that finds none of these packages."""
    code = BLOCKED.format(names=names, prefix=prefix)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("prefix", SDKS)
def test_a_missing_extra_names_its_own_sdk(prefix: str) -> None:
    """Without the SDK and all that comes with it, the error names the SDK and no package below it."""
    told = without([SDKS[prefix], "httpx", "httpx2"], prefix)
    assert (
        f"the package '{PACKAGES.get(SDKS[prefix], SDKS[prefix])}': pip install \"cogent-ai[{prefix}]\""
        in told
    )
    assert "httpx" not in told


@pytest.mark.parametrize(
    ("prefix", "below"),
    [("openai", "httpx2"), ("groq", "distro"), ("gemini", "google.auth")],
)
def test_a_missing_package_below_an_sdk_is_named_beside_it(
    prefix: str, below: str
) -> None:
    """Where the SDK is there and a package that it needs is not, the error names both."""
    told = without([below], prefix)
    assert f"the package '{PACKAGES.get(SDKS[prefix], SDKS[prefix])}' ('{below}" in told
