"""What type checkers see of an `output_type`.

`Agent` alone is an agent of whatever output.
"""

from __future__ import annotations

from types import UnionType
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    Out = TypeVar("Out", default=Any, covariant=True)
else:
    from typing import TypeVar

    Out = TypeVar("Out", covariant=True)


class SpecialForm(Protocol):
    """What type checkers take `Literal[...]`, `Annotated[...]` and `Optional[...]` for,
    of which they do not tell the type.
    """

    def __getitem__(self, parameters: Any, /) -> object: ...


OtherType = UnionType | SpecialForm
