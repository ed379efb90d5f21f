"""A first program: variables stay, output streams, errors are values.

Run it with ``python examples/quickstart.py``, or in a session of its own with
``pyrepl3 run examples/quickstart.py``.
"""

import trio

import pyrepl3


async def main() -> None:
    """Three executions in one session."""
    async with pyrepl3.open_supervisor() as supervisor, supervisor.session() as session:
        await session.run("numbers = [3, 1, 2]")
        execution = await session.run("sorted(numbers)")
        print("value:", execution.value)
        execution = await session.run("print('about to fail'); numbers[9]")
        print("output:", execution.logs.stdout.strip())
        assert execution.error is not None
        print("error:", execution.error.name, "-", execution.error.value)


trio.run(main)
