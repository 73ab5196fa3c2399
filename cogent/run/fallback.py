"""More than one model: the next one is asked when one fails.

That is decided for each answer, after the retries of the model that failed, and as long
as nobody saw a part of the answer. A model that failed is not asked again in the run:
the turns that follow go to the one that answered.

Every ModelError moves on, a BadRequest too: what one server refuses (a length, a schema,
an image, a setting of its own) another may take, a refusal costs nothing, and what all
of them refuse is raised in the end. So does the ConfigurationError of a provider that
cannot take this very request. What is wrong with the configuration itself, a missing
key say, is raised at once.

`metadata["attempts"]` has a dict for each model that failed, in order: `provider`,
`model`, `step` (the turn, from 1), `requests` (how many were sent to it), `error` (the
name of the class), `message`, `status`, `code` and `request_id`, which may be None.
"""

from __future__ import annotations

from cogent.errors import ConfigurationError, ModelError, PlaybackError
from cogent.model import Model
from cogent.run.conversation import Run
from cogent.run.surrogates import fix_surrogates
from cogent.transport.keys import forget_locals

Failure = ModelError | ConfigurationError


class Fallback:
    """The models that were asked for one answer and failed.

    With one model alone nothing is kept, and its error is raised as it is.
    """

    def __init__(self, run: Run, count: int) -> None:
        self._run = run
        self._count = count
        self._error: Failure | None = None  # to be raised if all of them fail
        if count > 1 and run.failures is None:
            run.failures = []

    @property
    def has_others(self) -> bool:
        """Whether there is more than one model."""
        return self._count > 1

    @property
    def is_possible(self) -> bool:
        """Whether there is a model after the one that is asked now."""
        return self._run.candidate + 1 < self._count

    def may_follow(self, error: Failure) -> bool:
        """Whether the next model is asked after this error."""
        return self.is_possible and not isinstance(error, PlaybackError)

    def failed(self, error: Failure, model: Model, requests: int) -> None:
        """The model failed that is asked now, at the last of so many requests."""
        # What a server said counts for more than that nothing could be sent.
        if self._error is None or isinstance(error, ModelError | PlaybackError):
            self._error = error
        if self._run.failures is None:
            return
        forget_locals(error)  # it may be kept for long, and its frames have the key
        self._run.failures.append(
            {
                "provider": model.provider,
                "model": model.name,
                "step": self._run.steps + 1,
                "requests": requests,
                "error": type(error).__name__,
                "message": fix_surrogates(str(error.args[0])),
                "status": getattr(error, "status", None),
                "code": getattr(error, "code", None),
                "request_id": getattr(error, "request_id", None),
            }
        )

    def error(self) -> Failure:
        """What to raise if all models failed, with notes about the others."""
        error, self._error = self._error, None
        assert error is not None
        self.add_notes(error)
        return error

    def add_notes(self, error: Failure) -> None:
        """Have the traceback of an error that ends the run tell of all that failed."""
        for failure in self._run.failures or ():
            error.add_note(
                f"{failure['provider']}:{failure['model']} failed: "
                f"{failure['error']}: {failure['message']}"
            )
