"""How many replicas a chat service needs: its busiest minutes, simulated from measured times.

    python examples/ray/capacity.py
    python examples/ray/capacity.py --streams-per-day 5e6 --tokens 600 --speed 100

Streams come at random (Poisson), most of them around two in the afternoon; the length
of each is random (log-normal). A replica is one process, so one core, with a number of
places. A stream goes to the emptier of two random replicas, waits where no replica has
a place, and is refused (503) where too many wait. The wait that is printed is what the
service adds before the first token, for a place and for the core.
"""

import argparse
import math
import random
from collections import deque
from dataclasses import dataclass, field
from heapq import heappop, heappush
from statistics import quantiles

DAY = 86_400
PEAK = 1.8  # streams at two o'clock, of the day's mean
SIGMA = 0.8  # of the logarithm of a length
WARM_UP = 120  # seconds that are not counted
MODEL_WAIT = 0.6  # seconds in a place before the model's first token
FULL = 0.95  # the most that a core is taken to be in use

# Measured, in seconds of a core: to open a stream, and for each token.
REPLICA = (0.0214, 0.000675)
PROXY = (0.0102, 0.000600)

# What a service is to keep, also when a pod of it is lost.
MOST_REFUSED, LONGEST_WAIT, BUSIEST = 0.001, 0.2, 0.7


@dataclass(frozen=True)
class Load:
    streams_per_day: float
    tokens: float  # of an answer, on average
    speed: float  # tokens a second of one answer
    minutes: float  # that are simulated


@dataclass
class Replicas:
    """The service: who is in a place, who waits, and what came of it."""

    load: Load
    places: int
    room: int  # for streams that wait
    active: list[int]
    chance: random.Random
    ends: list[tuple[float, int]] = field(default_factory=list)
    queue: deque[float] = field(default_factory=deque)
    waits: list[float] = field(default_factory=list)
    refused: int = 0
    most: int = 0

    def __post_init__(self) -> None:
        self.free_at = [0.0] * len(self.active)  # when a core has opened what came
        self.mu = math.log(self.load.tokens) - SIGMA**2 / 2

    def arrive(self, now: float) -> None:
        self.end_until(now)
        count = len(self.active)
        best = min(self.chance.choices(range(count), k=2), key=self.active.__getitem__)
        if self.active[best] >= self.places:
            best = min(range(count), key=self.active.__getitem__)
        if self.active[best] < self.places:
            self.begin(now, now, best)
        elif len(self.queue) < self.room:
            self.queue.append(now)
        else:
            self.refused += now >= WARM_UP
        self.most = max(self.most, len(self.ends))

    def begin(self, came: float, now: float, replica: int) -> None:
        self.active[replica] += 1
        opening, token = REPLICA
        busy = min(FULL, self.active[replica] * self.load.speed * token)
        first = max(now, self.free_at[replica]) + opening / (1 - busy)
        self.free_at[replica] = first
        # A core that has more tokens than it can do makes all of them slower.
        pace = max(1 / self.load.speed, self.active[replica] * token)
        tokens = self.chance.lognormvariate(self.mu, SIGMA)
        heappush(self.ends, (first + MODEL_WAIT + tokens * pace, replica))
        if came >= WARM_UP:
            self.waits.append(first - came)

    def end_until(self, now: float) -> None:
        while self.ends and self.ends[0][0] <= now:
            ended, replica = heappop(self.ends)
            self.active[replica] -= 1
            if self.queue:
                self.begin(self.queue.popleft(), ended, replica)


def arrivals(load: Load, chance: random.Random) -> list[float]:
    """Seconds, around two o'clock on the day's curve."""
    seconds, now, found = 60 * load.minutes, 0.0, []
    while now < seconds:
        now += chance.expovariate(PEAK * load.streams_per_day / DAY)
        angle = 2 * math.pi * (now - seconds / 2) / DAY
        if chance.random() < (1 + (PEAK - 1) * math.cos(angle)) / PEAK:
            found.append(now)
    return found


def share(core: tuple[float, float], load: Load, count: float) -> float:
    """How much of each of so many cores the peak takes."""
    each = core[0] + load.tokens * core[1]
    return PEAK * load.streams_per_day / DAY * each / count


def row(load: Load, replicas: int, options: argparse.Namespace) -> tuple[str, bool]:
    """One line of the table, and whether the service keeps what it is to keep."""
    chance = random.Random(options.seed)
    proxies = max(1, replicas // options.replicas_per_proxy)
    room = options.waiting * proxies
    service = Replicas(load, options.places, room, [0] * replicas, chance)
    for now in arrivals(load, chance):
        service.arrive(now)
    cuts = quantiles(service.waits, n=100)
    refused = service.refused / (service.refused + len(service.waits))
    busy = share(REPLICA, load, replicas), share(PROXY, load, proxies)
    text = (
        f"{replicas:>8} | {service.most:>7} | {busy[0]:>7.0%} | {busy[1]:>7.0%}"
        f" | {1000 * cuts[49]:>6.0f} | {1000 * cuts[98]:>6.0f} | {refused:>6.2%}"
    )
    kept = refused <= MOST_REFUSED and cuts[98] <= LONGEST_WAIT
    return text, kept and max(busy) <= BUSIEST


def main() -> None:
    parser = argparse.ArgumentParser(description="How many replicas a service needs.")
    parser.add_argument("--streams-per-day", type=float, default=1e6)
    parser.add_argument("--tokens", type=float, default=300, help="of an answer")
    parser.add_argument("--speed", type=float, default=60, help="tokens a second")
    parser.add_argument("--places", type=int, default=24, help="in a replica")
    parser.add_argument("--waiting", type=int, default=24, help="at a proxy")
    parser.add_argument("--replicas-per-proxy", type=int, default=1, help="in a pod")
    parser.add_argument("--minutes", type=float, default=6)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    load = Load(options.streams_per_day, options.tokens, options.speed, options.minutes)
    peak = PEAK * load.streams_per_day / DAY
    print(
        f"{load.streams_per_day:,.0f} streams a day, {peak:,.1f} a second at the peak"
    )
    print("replicas | at once |   cores | proxies | p50 ms | p99 ms |    503")
    pod = options.replicas_per_proxy
    at_once = peak * (MODEL_WAIT + load.tokens / load.speed)
    busiest = max(share(REPLICA, load, pod), share(PROXY, load, 1)) / BUSIEST
    pods = math.ceil(max(busiest, at_once / (pod * options.places)))
    # From too few, so that it is seen what then happens.
    for replicas in range(pod * max(1, pods - 1), pod * (4 * pods + 1), pod):
        text, kept = row(load, replicas, options)
        print(text)
        if kept:
            print(f"{replicas:,} replicas are needed")
            return
    print("no number of replicas keeps what a service is to keep")


if __name__ == "__main__":
    main()
