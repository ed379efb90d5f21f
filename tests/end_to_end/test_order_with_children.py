"""End-to-end tests: what children print keeps its place, also when the service is slow to read."""

import time

import pytest

import pyrepl3

CODE = """
import os, subprocess, sys
print('1')
subprocess.run(['echo', '2'])
print('3')
os.system('echo 4')
print('5')
pid = os.fork()
if not pid:
    print('6')
    sys.stdout.flush()
    os._exit(0)
os.waitpid(pid, 0)
print('7')
os.waitpid(os.posix_spawn('/bin/echo', ['echo', '8'], os.environ), 0)
print('9')
"""


@pytest.mark.parametrize("lag_s", [0.0, 0.003])
async def test_lines_of_children_come_where_they_were_printed(lag_s: float) -> None:
    async with pyrepl3.open_supervisor() as supervisor, supervisor.session() as session:
        for _ in range(10):
            # The whole service lags, not only this client.
            execution = await session.run(CODE, on_output=lambda _: time.sleep(lag_s))

            assert execution.error is None
            assert execution.logs.stdout.split() == list("123456789")
