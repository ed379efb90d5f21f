"""Branch, try, keep the winner: a search over a model's parameters.

A session has the data and a model in its memory. In each round it is forked, every branch trains
the model on with parameters of its own, all at once, and the best of them is what the next round
is forked from. Nothing is loaded twice, nothing is pickled, and a branch that diverges, or crashes,
costs nobody else anything.

Run it with ``python examples/branch_search.py``.
"""

import trio

import pyrepl3

PREPARE = """
import random
random.seed(7)
data = [(x, 3.0 * x - 1.0 + random.gauss(0, 0.1)) for x in (i / 500 - 1 for i in range(1000))]
slope, offset = 0.0, 0.0

def loss():
    return sum((slope * x + offset - y) ** 2 for x, y in data) / len(data)

def train(rate, steps):
    global slope, offset
    for _ in range(steps):
        slope -= rate * sum(2 * (slope * x + offset - y) * x for x, y in data) / len(data)
        offset -= rate * sum(2 * (slope * x + offset - y) for x, y in data) / len(data)
"""
RATES = (0.01, 0.1, 0.5, 2.0)
ROUNDS = 3


async def search_once(session: pyrepl3.Session) -> tuple[float, float, pyrepl3.Session]:
    """The best loss, its rate, and the branch that has it."""
    tried: list[tuple[float, float, pyrepl3.Session]] = []

    async def attempt(branch: pyrepl3.Session, rate: float) -> None:
        execution = await branch.run(f"train({rate}, 5); loss()", timeout_s=10)
        if execution.error is None:
            tried.append((execution.value, rate, branch))

    branches = await session.fork(len(RATES))
    async with trio.open_nursery() as nursery:
        for branch, rate in zip(branches, RATES, strict=True):
            nursery.start_soon(attempt, branch, rate)
    return min(tried, key=lambda one: one[:2])


async def main() -> None:
    """Search; then keep the winner as a snapshot, which any session can be opened from."""
    async with pyrepl3.open_supervisor() as supervisor:
        async with supervisor.session() as session:
            (await session.run(PREPARE)).raise_for_error()
            best = session
            for number in range(1, ROUNDS + 1):
                loss, rate, best = await search_once(best)
                print(f"round {number}: rate {rate} won, with a loss of {loss:.4f}")
            await best.snapshot("trained")

        async with supervisor.session(from_snapshot="trained") as session:
            execution = await session.run("f'{slope:.1f} x + {offset:.1f}'")
            print("found:", execution.value)


trio.run(main)
