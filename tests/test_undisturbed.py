"""A scene that this machine disturbed is played again; whatever the speaker did wrong is still there to be found."""

import asyncio
import time

import conversation
from conversation import Scene

from tools.sim import runner


def outcome_of(*pauses):
    """An Outcome of a run with these pauses, (from_ms, to_ms) of a world that began at tick 1000."""
    result = runner.Result()
    result.reports = [{"kind": "boot", "t_ms": 1000 + 200}]
    result.run = {"t_ms_start": 1000, "pauses": [list(pause) for pause in pauses]}
    return conversation.Outcome("a scene", "cpython", result, None, [], {})


class GivenPulse:
    """Says of each try what it is given."""

    def __init__(self, pauses_ms):
        self._pauses_ms = list(pauses_ms)

    def __call__(self):
        return self

    async def __aenter__(self):
        self.longest_pause_ms = self._pauses_ms.pop(0)
        return self

    async def __aexit__(self, *_):
        pass


def play(outcomes, cloud_stands_ms=(0, 0, 0), **keywords):
    tries = []

    async def play_once(number):
        tries.append(number)
        return outcomes[number - 1]

    scene = Scene("quit", **keywords)
    return asyncio.run(conversation.play_undisturbed(scene, play_once, GivenPulse(cloud_stands_ms))), tries


def test_who_was_not_disturbed_plays_once():
    first = outcome_of((300, 345), (900, 960))
    assert play([first]) == (first, [1]) and first.tries == 1


def test_who_got_no_processor_plays_again():
    disturbed, whole = outcome_of((300, 361)), outcome_of()
    assert play([disturbed, whole]) == (whole, [1, 2]) and whole.tries == 2


def test_who_talks_to_a_cloud_that_got_no_processor_plays_again():
    first, second = outcome_of(), outcome_of()
    assert play([first, second], cloud_stands_ms=(100, 0)) == (second, [1, 2])


def test_while_modules_are_loaded_nothing_is_to_be_heard():
    first = outcome_of((20, 190))
    assert play([first]) == (first, [1])


def test_a_speaker_that_always_stands_still_is_judged_in_the_end():
    outcomes = [outcome_of((300, 1300)) for _ in range(conversation.MOST_TRIES)]
    assert play(outcomes) == (outcomes[-1], [1, 2, 3])


def test_a_scene_in_which_it_waits_by_itself_is_not_played_again():
    first = outcome_of((300, 1300))
    assert play([first], blocks=True) == (first, [1])


def test_a_speaker_that_did_not_come_up_is_not_played_again():
    result = runner.Result()
    silent = conversation.Outcome("a scene", "cpython", result, None, [], {})
    assert play([silent]) == (silent, [1])


def test_a_process_that_stands_still_notices():
    async def stand_still():
        async with conversation.Pulse() as pulse:
            await asyncio.sleep(0.03)
            time.sleep(0.1)
            await asyncio.sleep(0.03)
        return pulse.longest_pause_ms

    assert asyncio.run(stand_still()) >= 80
