"""Contract tests: rich output of a real worker: bundles, handles, figures."""

import base64
import sys
from collections.abc import Iterator
from importlib.util import find_spec

import pytest
from worker_driver import Worker, interpreters, open_worker

needs_matplotlib = pytest.mark.skipif(
    find_spec("matplotlib") is None, reason="matplotlib is not installed"
)
PNG = b"\x89PNG\r\n"


@pytest.fixture(scope="module", params=interpreters())
def worker(request: pytest.FixtureRequest) -> Iterator[Worker]:
    with open_worker(request.param) as opened:
        yield opened


RICH = """
class Rich:
    def __repr__(self): return 'plain'
    def _repr_html_(self): return '<b>rich</b>', {'isolated': True}
    def _repr_png_(self): return b'\\x89PNG'
    def _repr_json_(self): return {'k': [1, 2]}
    def _repr_svg_(self): return None
    def _repr_latex_(self): raise RuntimeError('no latex')
    def _repr_mimebundle_(self, include=None, exclude=None): return {'text/markdown': '*rich*'}
Rich()
"""
RICH_DATA = {
    "text/plain": "plain",
    "text/html": "<b>rich</b>",
    "image/png": base64.b64encode(b"\x89PNG").decode(),
    "application/json": {"k": [1, 2]},
    "text/markdown": "*rich*",
}


def test_a_rich_value_is_a_bundle_and_a_failing_method_costs_only_itself(worker: Worker) -> None:
    end = worker.run(RICH).end

    assert end["data"] == RICH_DATA
    assert end["metadata"] == {"text/html": {"isolated": True}}


def test_display_sends_bundles_in_order_with_the_output(worker: Worker) -> None:
    worker.run(RICH)

    execution = worker.run("print('a', end=''); display(Rich(), 5); print('b')")

    kinds = [each["type"] for each in execution.messages]
    assert kinds == ["output", "display", "display", "output", "result"]
    assert [each["data"] for each in execution.of("display")] == [RICH_DATA, {"text/plain": "5"}]


def test_a_display_can_be_updated_by_its_handle_and_its_id(worker: Worker) -> None:
    code = """
h = display('one', display_id=True)
h.update('two')
update_display('three', display_id=h.display_id)
DisplayHandle('mine').display('four')
h.display_id
"""

    execution = worker.run(code)

    shown = [(m["data"]["text/plain"], m["update"]) for m in execution.of("display")]
    assert shown == [("'one'", False), ("'two'", True), ("'three'", True), ("'four'", False)]
    ids = [m["display_id"] for m in execution.of("display")]
    assert ids == [execution.value] * 3 + ["mine"]


def test_a_raw_bundle_is_sent_as_it_is(worker: Worker) -> None:
    execution = worker.run(
        "display({'text/html': '<i>', 'x': object()}, raw=True, metadata={'a': 1})"
    )

    (message,) = execution.of("display")
    assert (message["data"], message["metadata"]) == ({"text/html": "<i>"}, {"a": 1})


def test_objects_that_answer_to_every_name_are_shown_plainly(worker: Worker) -> None:
    code = "from unittest.mock import MagicMock\nlist(['x'])\nm = MagicMock(); m"

    assert set(worker.run(code).end["data"]) == {"text/plain"}


def test_classes_are_shown_plainly(worker: Worker) -> None:
    worker.run(RICH)

    assert worker.run("Rich").end["data"] == {"text/plain": "<class '__main__.Rich'>"}


def test_a_bundle_too_large_for_a_message_is_cut_with_a_note(worker: Worker) -> None:
    code = "class Huge:\n  def __repr__(s): return 'huge'\n"
    code += "  def _repr_html_(s): return 'x' * 12_000_000\n"

    for execution in (worker.run(code + "Huge()"), worker.run(code + "display(Huge())")):
        (message,) = [each for each in execution.messages if each.get("data")]
        assert set(message["data"]) == {"text/plain"}
        assert "text/html left out" in message["data"]["text/plain"]


@needs_matplotlib
class TestFigures:
    @pytest.fixture(scope="class", params=[[], ["matplotlib.pyplot"]], ids=["bare", "preloaded"])
    @staticmethod
    def plotter(request: pytest.FixtureRequest) -> Iterator[Worker]:
        with open_worker(sys.executable, preload=request.param) as opened:
            yield opened

    def test_show_displays_in_place_and_closes(self, plotter: Worker) -> None:
        code = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()\n"
        code += "print('after')\nplt.get_fignums()"

        execution = plotter.run(code)

        assert [each["type"] for each in execution.messages] == ["display", "output", "result"]
        image = base64.b64decode(execution.of("display")[0]["data"]["image/png"])
        assert image.startswith(PNG)
        assert execution.value == []

    def test_figures_left_open_are_shown_at_the_end(self, plotter: Worker) -> None:
        code = "import matplotlib.pyplot as plt\nfor n in (1, 2):\n  plt.figure(); plt.plot([n])"

        assert len(plotter.run(code).of("display")) == 2
        assert plotter.run("plt.get_fignums()").value == []

    def test_figures_are_shown_after_a_failure_too(self, plotter: Worker) -> None:
        execution = plotter.run("import matplotlib.pyplot as plt\nplt.plot([1])\n1/0")

        assert len(execution.of("display")) == 1
        assert execution.end["name"] == "ZeroDivisionError"

    def test_a_figure_as_value_is_shown_once(self, plotter: Worker) -> None:
        code = "import matplotlib.pyplot as plt\nfigure, axes = plt.subplots()\nfigure"

        execution = plotter.run(code)

        assert execution.of("display") == []
        assert base64.b64decode(execution.end["data"]["image/png"]).startswith(PNG)

    def test_child_processes_do_not_learn_of_the_backend(self, plotter: Worker) -> None:
        assert plotter.run("import os; os.environ.get('MPLBACKEND')").end["has_value"] is False


@needs_matplotlib
def test_a_backend_of_the_users_own_choice_is_kept() -> None:
    with open_worker() as worker:
        code = "import matplotlib; matplotlib.use('agg')\nimport matplotlib.pyplot as plt\n"
        code += "plt.plot([1])\nplt.get_backend().lower()"
        execution = worker.run(code)

        assert (execution.of("display"), execution.value) == ([], "agg")


@needs_matplotlib
def test_mplbackend_in_the_environment_is_kept() -> None:
    with open_worker() as worker:
        worker.run("import os; os.environ['MPLBACKEND'] = 'svg'")

        assert (
            worker.run("import matplotlib.pyplot as plt\nplt.get_backend().lower()").value == "svg"
        )
