"""What a run is given: by its agent, and by the call that starts it."""

from __future__ import annotations

from dataclasses import dataclass, field

from cogent.model import Model
from cogent.providers import Provider
from cogent.run.approval import Tools
from cogent.run.clients import Clients
from cogent.run.closing import StreamCloser
from cogent.run.conversation import Run
from cogent.run.typed import Wanted
from cogent.timeout import Timeout


@dataclass(frozen=True, slots=True)
class Plan:
    """What an agent brings to each of its runs."""

    model: Model
    provider: Provider
    clients: Clients
    instructions: str | None
    tools: Tools
    max_steps: int
    timeout: Timeout = field(default_factory=Timeout)
    wanted: Wanted | None = None


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
    context: object
    approved: frozenset[str] = frozenset()
    tool_choice: str | None = None
    wanted: Wanted | None = None
    streaming: bool = True
    shown: bool = True
