"""The calls of a turn that the provider runs itself, and what they give."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cogent.messages import ToolCall, ToolResult
from cogent.run.copies import copy_result
from cogent.run.partial_calls import PartialCall, PartialCalls
from cogent.run.surrogates import fix_surrogates, require_str


class ProviderCalls(PartialCalls):
    """The calls that the provider runs, as their pieces and their results come in."""

    def __init__(self, stem: str, used: set[str], places: Iterator[int]) -> None:
        super().__init__(stem, used, places)
        self._results: dict[int, ToolResult] = {}  # by the place of the call
        # Results of calls that an earlier answer holds.
        self.of_earlier: list[ToolResult] = []

    def add_result(self, result: ToolResult) -> bool:
        """Take in what a call gave; returns whether it is news.

        The result is given the id and the name of its call.
        """
        result.provider_executed = True
        result.content = fix_surrogates(require_str(result.content))
        open_calls = self._without_result(result)
        if open_calls:
            call = open_calls[0]
            result.id = call.id
            result.name = result.name or call.name
            self._results[call.place] = copy_result(result)
            return True
        if not result.id or self.with_id(result.id):
            return False  # given before
        self.of_earlier.append(copy_result(result))
        return True

    def _without_result(self, result: ToolResult) -> Sequence[PartialCall]:
        """The calls without a result that this may be the result of."""
        calls = self.with_id(result.id) if result.id else self.all[-1:]
        return [call for call in calls if call.place not in self._results]

    def to_tool_calls(self) -> list[ToolCall]:
        """The calls as they stand, with their results."""
        calls = []
        for partial in self.all:
            call = partial.to_tool_call()
            call.provider_executed = True
            call.result = self._results.get(partial.place)
            calls.append(call)
        return calls


def enter_results(results: Sequence[ToolResult], calls: Sequence[ToolCall]) -> None:
    """Give earlier calls of the run the results that a later answer holds."""
    for result in results:
        for call in reversed(calls):
            if call.provider_executed and call.id == result.id:
                call.result = call.result or result
                break
