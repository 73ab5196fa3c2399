"""What a run is given: by its agent, and by the call that starts it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from cogent.model import Model
from cogent.providers import Provider, provider_of
from cogent.run.approval import Tools
from cogent.run.clients import Clients
from cogent.run.closing import StreamCloser
from cogent.run.conversation import Run
from cogent.run.typed import Wanted
from cogent.run.watch import Observers, Watch
from cogent.timeout import Timeout


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that may answer, and what it takes to ask it."""

    model: Model
    provider: Provider
    clients: Clients


def make_candidates(models: Iterable[Model], timeout: Timeout) -> tuple[Candidate, ...]:
    """What it takes to ask these models. Imports their SDKs.

    Raises ConfigurationError.
    """
    candidates = []
    for model in models:
        provider = provider_of(model)
        clients = Clients(provider, model, timeout)
        candidates.append(Candidate(model, provider, clients))
    return tuple(candidates)


@dataclass(frozen=True, slots=True)
class Plan:
    """What an agent brings to each of its runs.

    The first of the `candidates` is asked, and the next one only when it fails.
    """

    candidates: tuple[Candidate, ...]
    instructions: str | None
    tools: Tools
    max_steps: int
    timeout: Timeout = field(default_factory=Timeout)
    wanted: Wanted | None = None
    agent: str = ""  # its name
    tool_choice: str | None = None  # of the first turn, where a run is given none
    observers: Observers = field(default_factory=Observers)


@dataclass(frozen=True, slots=True, repr=False)
class Job:
    """One run with all that it needs.

    `approved` are the ids of calls in the history that may run, `tool_choice` what the
    model has to call in the first turn, `wanted` the type of the answer. `streaming`
    says how the model is asked, `shown` whether somebody sees the chunks: only then is
    an answer that was cut after it had begun not asked for again.
    """

    plan: Plan
    run: Run
    closer: StreamCloser
    watch: Watch
    context: object
    approved: frozenset[str] = frozenset()
    tool_choice: str | None = None
    wanted: Wanted | None = None
    streaming: bool = True
    shown: bool = True
