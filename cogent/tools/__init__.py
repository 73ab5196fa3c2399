"""Functions that a model may call: the schema from the signature, the arguments checked
by that same schema.
"""

from cogent.tools.schema import ArgumentsError, RunContext
from cogent.tools.tool import Tool, tool

__all__ = ["ArgumentsError", "RunContext", "Tool", "tool"]
