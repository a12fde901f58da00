"""Whole turns: every codec both ways, every talk mode, on every interpreter. Each sample has to be right."""

import conversation
import pytest
from conversation import CPYTHON, EVERYWHERE, MPY64, Scene, answers, ask

CODECS = {  # name -> settings; every uplink and every downlink once
    "pcm up, pcm 8 kHz down": ("pcm", "pcm", 8000),
    "pcm up, pcm 16 kHz down": ("pcm", "pcm", 16000),
    "A-law up, pcm 24 kHz down": ("g711a", "pcm", 24000),
    "A-law up, A-law down": ("g711a", "g711a", 8000),
    "µ-law up, µ-law down": ("g711u", "g711u", 8000),
}
HOLD = "wait idle\n" + ask() + "wait turn\nsleep 50\nquit\n"

SCENES = {
    name: Scene(HOLD, on=EVERYWHERE, config={"uplink_codec": up, "downlink_codec": down, "downlink_hz": hz})
    for name, (up, down, hz) in CODECS.items()
}


@pytest.fixture(scope="module")
def outcome(request, tmp_path_factory):
    return conversation.play(request, tmp_path_factory)


@pytest.mark.parametrize("interpreter", EVERYWHERE)
@pytest.mark.parametrize("codecs", CODECS)
def test_an_answer_is_played_to_the_sample(outcome, codecs, interpreter):
    run = outcome(codecs, interpreter)
    assert run.outcomes == ["answered"], run.result.why()
    conversation.assert_played(run, (run.cloud.turns[0], "whole"))
    print(run.result.seconds, run.result.run["ended_ms"], run.result.of_kind("stop")[0]["t_ms"]-run.turns[0]["t_ms"], run.state_ms("idle"))
    if codecs.startswith("pcm"):
        b, e = conversation.place_of(run, run.cloud.utterances[0])
        print(run.at_ms("press") - b/16, e/16 - run.at_ms("release"), conversation.clip_span(run, "ask.wav"), (b,e))
