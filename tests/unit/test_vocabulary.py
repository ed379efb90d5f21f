"""Unit tests: the actions that a checker knows are those that are recorded."""

from pyrepl3.conformance.vocabulary import POOL_FIELDS, SESSION_FIELDS
from pyrepl3.pool.pool_trace import PoolAction
from pyrepl3.session.session_trace import SessionAction


def test_every_action_of_the_pool_is_known_and_the_one_that_spawners_see() -> None:
    assert {*PoolAction, "ZygoteDies"} == set(POOL_FIELDS)


def test_every_action_of_a_session_is_known() -> None:
    assert set(SessionAction) == set(SESSION_FIELDS)
