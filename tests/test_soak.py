"""The soak itself: its arithmetic, and some turns of it through a proxy that spoils the connection."""

import asyncio

import pytest
from test_bench_allocation import skip_without

from tools import ToolError
from tools.soak import cli, soak
from tools.soak.figures import Figures, slope


def test_the_growth_is_the_slope_of_the_heap_behind_the_warm_up():
    figures = Figures()
    for turn, used in ((0, 10**6), (1, 5), (50, 1000), (100, 1150), (150, 1300), (200, 1450)):
        figures.take({"at": turn, "used": used, "free": 0})
    assert figures.growth_bytes_per_turn == pytest.approx(3.0)
    assert slope([(0, 1), (1, 1), (2, 1)]) == 0
    assert Figures().growth_bytes_per_turn is None


def test_outcomes_errors_and_times_are_counted():
    figures = Figures()
    for report in (
        {"turn": "answered", "ms": 100}, {"turn": "failed", "ms": 900}, {"turn": "answered", "ms": 200},
        {"error": "connect"}, {"stuck": "listening", "lines": ["x"]},
    ):  # fmt: skip
        figures.take(report)
    assert figures.outcomes == {"answered": 2, "failed": 1} and figures.errors == {"connect": 1}
    assert figures.turns == 3 and figures.turn_ms_at(50) == 200 and figures.turn_ms_at(95) == 900
    assert figures.stuck["stuck"] == "listening"


def test_a_few_turns_leave_nothing_behind():
    skip_without("micropython")
    figures = asyncio.run(soak.run(6, every=2))
    assert figures.outcomes == {"answered": 6} and not figures.errors, figures.trouble
    assert [turn for turn, _, _ in figures.heap] == [0, 1, 2, 4, 6]
    assert figures.heap[-1][1] - figures.heap[1][1] < 2048


def test_wrong_orders_are_refused_in_words():
    with pytest.raises(ToolError, match="at least 1"):
        cli.run_cli(["--turns", "0"])
    with pytest.raises(ToolError, match="no such folder"):
        cli.run_cli(["--turns", "1", "--json", "/nowhere/at/all.json"])


def test_a_heap_that_grows_fails_the_soak(capsys):
    from rich.console import Console

    figures = Figures()
    for turn in range(0, 300, 50):
        figures.take({"at": turn, "used": 1000 + 20 * turn, "free": 0})
    for _ in range(10):
        figures.take({"turn": "answered", "ms": 500})
    args = type("Args", (), {"turns": 10, "faults": False})
    with pytest.raises(ToolError, match="grows by 20.0 bytes"):
        cli._judge(Console(), args, figures)
