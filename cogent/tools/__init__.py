"""Functions that a model may call: their schemas, and the checks of their arguments."""

from cogent.tools.context import RunContext
from cogent.tools.schema import ArgumentsError
from cogent.tools.tool import Tool, tool

__all__ = ["ArgumentsError", "RunContext", "Tool", "tool"]
