"""Streaming-first agents: a thin wrapper over the official provider SDKs."""

from cogent.agent import Agent
from cogent.chunks import StreamChunk, ToolCallDelta
from cogent.content import File, Image
from cogent.errors import (
    AuthenticationError,
    BadRequest,
    CogentError,
    ConfigurationError,
    ConnectionFailed,
    ContextTooLong,
    MaxStepsExceeded,
    ModelError,
    ModelNotFound,
    ModelTimeout,
    OutputError,
    Overloaded,
    PermissionDenied,
    RateLimited,
    ServerError,
    StreamInterrupted,
    ToolError,
)
from cogent.messages import Message, Response, ToolCall, ToolResult, TurnSummary, Usage
from cogent.model import Model
from cogent.providers import preload
from cogent.sources import Source
from cogent.stream import AgentStream
from cogent.sync import SyncStream
from cogent.timeout import Timeout
from cogent.tools import RunContext, Tool, tool

__version__ = "0.2.0"

__all__ = [
    "Agent",
    "AgentStream",
    "AuthenticationError",
    "BadRequest",
    "CogentError",
    "ConfigurationError",
    "ConnectionFailed",
    "ContextTooLong",
    "File",
    "Image",
    "MaxStepsExceeded",
    "Message",
    "Model",
    "ModelError",
    "ModelNotFound",
    "ModelTimeout",
    "OutputError",
    "Overloaded",
    "PermissionDenied",
    "RateLimited",
    "Response",
    "RunContext",
    "ServerError",
    "Source",
    "StreamChunk",
    "StreamInterrupted",
    "SyncStream",
    "Timeout",
    "Tool",
    "ToolCall",
    "ToolCallDelta",
    "ToolError",
    "ToolResult",
    "TurnSummary",
    "Usage",
    "preload",
    "tool",
]
