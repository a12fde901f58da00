"""The demo says what is wrong, and whose fault it was. (`.ci/run` runs it as a whole.)"""

import asyncio
import io

import pytest
from rich.console import Console

from tools import demo
from tools.sim import runner

SCENE = demo.SCENES[2]


class Cloud:
    """As much of a CloudServer as a scene that is not really played needs."""

    def __init__(self):
        self.turns = []
        self.cloud = self
        self.begun_at = []

    def go_on_at(self, number):
        self.begun_at.append(number)


def a_run(*pauses):
    result = runner.Result()
    result.exit_code = 0
    result.reports = [{"kind": "boot", "t_ms": 300}, {"kind": "turn", "outcome": "answered"}]
    result.run = {"t_ms_start": 100, "pauses": [list(pause) for pause in pauses]}
    return result


@pytest.fixture
def play(monkeypatch, tmp_path):
    """play(results, wrongs): what the runs leave and what is then found wrong with each."""

    def play(results, wrongs):
        results, wrongs = list(results), list(wrongs)

        async def run(*args, **options):
            return results.pop(0)

        monkeypatch.setattr(demo.runner, "run", run)
        monkeypatch.setattr(demo, "_faults", lambda *args: wrongs.pop(0))
        cloud, told = Cloud(), io.StringIO()
        console = Console(file=told, width=200)
        _, wrong = asyncio.run(demo._play(SCENE, 2, cloud, "cpython", str(tmp_path), console))
        assert not results and not wrongs, "no more and no less were played"
        return wrong, cloud.begun_at, told.getvalue()

    return play


def test_a_scene_that_was_right_is_played_once(play):
    assert play([a_run((900, 980))], [[]]) == ([], [2], "")


def test_sound_lost_by_a_busy_computer_is_played_again_with_the_same_questions(play):
    wrong, begun_at, told = play([a_run((900, 980)), a_run()], [["1 gaps"], []])
    assert wrong == [] and begun_at == [2, 2]
    assert "once more" in told and "80 ms" in told


def test_sound_lost_by_the_speaker_is_told_at_once(play):
    assert play([a_run()], [["1 gaps"]]) == (["1 gaps"], [2], "")


def test_a_computer_that_stays_busy_is_named(play):
    wrong, begun_at, _ = play([a_run((900, 980))] * demo._TRIES, [["1 gaps"]] * demo._TRIES)
    assert len(begun_at) == demo._TRIES and wrong[0] == "1 gaps" and "80 ms" in wrong[1] and "too busy" in wrong[1]
