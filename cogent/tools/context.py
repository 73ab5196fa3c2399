"""`RunContext`, the annotation of the parameter that takes the context of a run."""

from __future__ import annotations

import typing
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    Context = TypeVar("Context", default=dict[str, Any])

    RunContext: TypeAlias = Annotated[Context, "the context of the run"]
    """The type of the parameter that takes what a run was given as `context=`.

    `RunContext[Shop]` is a `Shop` for type checkers, `RunContext` alone a dict; the
    parameter gets the very object, and the model never sees it.
    """
else:

    class RunContext:
        """The type of the parameter that takes what a run was given as `context=`.

        `RunContext[Shop]` is a `Shop` for type checkers, `RunContext` alone a dict; the
        parameter gets the very object, and the model never sees it.

        >>> def stock(item: str, shop: RunContext[dict]) -> int:
        ...     return shop[item]
        >>> model = ScriptedModel([ToolCall("c1", "stock", {"item": "tea"})], "3 left.")
        >>> print(Agent("a", model, tools=[stock]).run_sync("Tea?", context={"tea": 3}))
        3 left.
        """

        def __new__(cls, context: object) -> object:
            """The context itself."""
            return context

        def __class_getitem__(cls, kind: object) -> object:
            return Annotated[kind, cls]


def takes_context(name: str, annotation: object) -> bool:
    """Whether a parameter of this name and type takes the context."""
    return name == "context" or _names_context(annotation)


def _names_context(annotation: object) -> bool:
    """Whether this is `RunContext`, `RunContext[Shop]`, or one of them in a union."""
    # The class itself stands beside the type in what `RunContext[Shop]` is at run time.
    if annotation is RunContext:
        return True
    return any(map(_names_context, typing.get_args(annotation)))
