"""What a server reports becomes a ModelError by the provider's rules first."""

import pytest

from cogent import BadRequest, ModelError, ModelNotFound, Overloaded, RateLimited
from cogent.transport.errors import ErrorRules, translate
from cogent.transport.reported import ErrorReport, ReportedError

BODY = {"error": {"code": "model_not_found", "message": "No."}}


def test_a_providers_own_codes_come_before_the_common_ones() -> None:
    """A code means what its provider says, in whatever spelling, and else what most servers mean by it."""
    own = ErrorRules({"MODEL-NOT-FOUND": RateLimited})
    other = ErrorRules({"busy": Overloaded})
    assert type(translate(ReportedError(BODY), began=True, rules=own)) is RateLimited
    common = translate(ReportedError(BODY), began=True, rules=other)
    assert type(common) is ModelNotFound


def test_a_report_tells_what_the_sdks_exception_does_not() -> None:
    """Status, code, time to wait and hint of a provider's report are in the error, and its exception is the cause."""

    def read_error(error: Exception) -> ErrorReport:
        return ErrorReport(
            "No.", 429, code="busy", retry_after=3.0, hint="wait a little"
        )

    raised = KeyError("of an SDK")
    error = translate(raised, began=False, rules=ErrorRules(read_error=read_error))
    assert type(error) is RateLimited and error.__cause__ is raised
    assert (error.status, error.code, error.retry_after) == (429, "busy", 3.0)
    assert error.args == ("No.: wait a little",)


def test_what_a_hook_raised_is_found_behind_the_sdks_error() -> None:
    """An error that was raised inside the SDK counts, not the one that the SDK made of it."""
    try:
        try:
            raise ReportedError({"error": {"message": "Slow down.", "code": 429}})
        except ReportedError as inside:
            raise RuntimeError("Connection error.") from inside
    except RuntimeError as raised:
        error = translate(raised, began=True)
    assert type(error) is RateLimited and error.args == ("Slow down.",)


@pytest.mark.parametrize(
    ("message", "hinted"),
    [("[Errno 111] Connection refused", True), ("certificate verify failed", False)],
)
def test_the_hint_is_for_servers_that_cannot_be_reached(
    message: str, hinted: bool
) -> None:
    """What helps where no server answers is said there, and not where the answer cannot be trusted."""
    rules = ErrorRules(unreachable_hint="is it running?")
    error = translate(ConnectionRefusedError(message), began=False, rules=rules)
    assert isinstance(error, ModelError) and not isinstance(error, BadRequest)
    assert str(error).endswith("is it running?") is hinted
