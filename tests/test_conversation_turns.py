"""Whole turns: every codec both ways, every talk mode, on every interpreter. Each sample has to be right."""

import json
from array import array

import conversation
import numpy
import pytest
from conversation import CPYTHON, EVERYWHERE, MIC_KHZ, MPY64, Scene, answers, ask

HOLD = "wait idle; " + ask() + "wait turn; sleep 50; quit"
SPOKEN = "wait idle; say bird.wav; sleep 150; press; wait clip_end; release; wait turn; sleep 50; quit"

CODECS = {  # every uplink and every downlink once: (script, up, down, Hz)
    "pcm up, pcm 8 kHz down": (HOLD, "pcm", "pcm", 8000),
    "pcm up, pcm 16 kHz down": (HOLD, "pcm", "pcm", 16000),
    "A-law up, pcm 24 kHz down": (SPOKEN, "g711a", "pcm", 24000),
    "pcm up, A-law down": (HOLD, "pcm", "g711a", 8000),
    "µ-law up, µ-law down": (SPOKEN, "g711u", "g711u", 8000),
}

SCENES = {
    name: Scene(
        script,
        on=EVERYWHERE,
        config={"uplink_codec": up, "downlink_codec": down, "downlink_hz": hz},
        world={"noise_peak": 200 if up == "pcm" else 0},
    )
    for name, (script, up, down, hz) in CODECS.items()
}
SCENES["click, speak, click"] = Scene(
    "wait idle; say ask.wav; sleep 150; tap; sleep 300; tap; wait turn; quit",
    on=(CPYTHON, MPY64),
    config={"mode": "ptt_toggle", "uplink_codec": "pcm"},
)
SCENES["free talk"] = Scene(
    "wait idle; tap; wait listening; sleep 300; say bird.wav; wait turn; sleep 300; tap; wait idle; sleep 200; quit",
    on=EVERYWHERE,
    config={"mode": "free", "uplink_codec": "pcm", "vad_silence_ms": 300},
    world={"noise_peak": 50},  # less than the cloud takes for a voice
)
SCENES["three questions"] = Scene(
    "wait idle; " + ask() + "wait turn; " + ask(clip="again.wav") + "wait turn; " + ask() + "wait turn; quit",
    on=(CPYTHON, MPY64),
    cloud=answers(300, 1500, 300),
    config={"uplink_codec": "pcm", "downlink_codec": "pcm"},
)
SCENES["a tool"] = Scene(HOLD, on=(CPYTHON, MPY64), cloud="tools")
SCENES["a greeting"] = Scene(
    "wait idle; wait speaking; wait idle; " + ask() + "wait turn; quit",
    on=(CPYTHON,),
    cloud=answers(500, prologue=[{"text": "Hello!", "audio": {"signal": "noise", "ms": 400, "seed": 99}}]),
    config={"prologue": True},
)
SCENES["a chip that counts from 2000"] = Scene(HOLD, on=(CPYTHON, MPY64), epoch=2000, world={"is_clock_set": False})
SCENES["I2S is never ready"] = Scene(
    HOLD, on=EVERYWHERE, world={"is_never_ready": True, "noise_peak": 200}, config={"uplink_codec": "pcm"}
)


@pytest.fixture(scope="module")
def outcome(request, tmp_path_factory):
    return conversation.play(request, tmp_path_factory)


def the_turn(run):
    """The cloud's record of the only turn, which was answered."""
    assert run.outcomes == ["answered"] and run.errors == [], run.result.why()
    (turn,) = run.cloud.turns
    return turn


@pytest.mark.parametrize("interpreter", EVERYWHERE)
@pytest.mark.parametrize("codecs", CODECS)
def test_an_answer_is_played_to_the_sample(outcome, codecs, interpreter):
    run = outcome(codecs, interpreter)
    (heard,) = conversation.assert_played(run, (the_turn(run), "whole"))
    assert run.rate_hz == CODECS[codecs][3]
    assert run.turns[0]["samples_played"] == len(heard.samples) == run.rate_hz * 7 // 10
    assert run.result.states()[-6:] == ["idle", "listening", "tail", "thinking", "speaking", "idle"]


@pytest.mark.parametrize("interpreter", EVERYWHERE)
@pytest.mark.parametrize("codecs", [name for name in CODECS if CODECS[name][1] == "pcm"])
def test_a_question_arrives_with_its_first_and_last_syllable(outcome, codecs, interpreter):
    run = outcome(codecs, interpreter)
    utterance = the_turn(run).utterance
    begin, end = conversation.place_of(run, utterance)
    conversation.assert_question_place(run, begin, end, run.at_ms("press"), run.at_ms("release"))
    clip_begin, clip_end = conversation.clip_place(run, "ask.wav")
    assert clip_begin / MIC_KHZ < run.at_ms("press") - 100 and clip_end / MIC_KHZ > run.at_ms("release") + 20
    assert begin < clip_begin and clip_end < end
    assert len(utterance.wire) == 640 * utterance.appends, "one frame of 20 ms in each message"


@pytest.mark.parametrize("interpreter", EVERYWHERE)
@pytest.mark.parametrize("codecs", [name for name in CODECS if CODECS[name][1] != "pcm"])
def test_a_question_in_g711_is_what_an_ideal_telephone_would_send(outcome, codecs, interpreter, show_figure):
    run = outcome(codecs, interpreter)
    utterance = the_turn(run).utterance
    begin, end, snr_db = conversation.place_of_g711(run, utterance)
    conversation.assert_question_place(run, begin, end, run.at_ms("press"), run.at_ms("release"))
    assert len(utterance.wire) == 160 * utterance.appends
    assert snr_db > 30, snr_db
    if interpreter == CPYTHON:
        show_figure("%s: a spoken question arrives with %.1f dB SNR" % (utterance.wire_format.codec, snr_db))


@pytest.mark.parametrize("interpreter", (CPYTHON, MPY64))
def test_click_speak_click(outcome, interpreter):
    run = outcome("click, speak, click", interpreter)
    turn = the_turn(run)
    conversation.assert_played(run, (turn, "whole"))
    begin, end = conversation.place_of(run, turn.utterance)
    conversation.assert_question_place(run, begin, end, run.at_ms("press"), run.at_ms("press", 1))
    clip_begin, clip_end = conversation.clip_place(run, "ask.wav")
    assert begin < clip_begin and clip_end < end


@pytest.mark.parametrize("interpreter", EVERYWHERE)
def test_free_talk(outcome, interpreter):
    run = outcome("free talk", interpreter)
    turn = the_turn(run)
    conversation.assert_played(run, (turn, "whole"))
    assert [m.event_type for m in run.sent("input_audio_buffer.complete", "conversation.chat.cancel")] == []
    clip_begin, clip_end = conversation.clip_place(run, "bird.wav")
    loud = clip_begin + numpy.flatnonzero(abs(numpy.array(run.room[clip_begin:clip_end])) > 400)
    begin, end = conversation.place_of(run, turn.utterance)
    assert begin < loud[0] and loud[-1] < end, "the cloud heard the question whole"


@pytest.mark.parametrize("interpreter", EVERYWHERE)
def test_free_talk_streams_from_click_to_click_without_a_gap(outcome, interpreter):
    run = outcome("free talk", interpreter)
    (connection,) = run.cloud.connections
    room, times = conversation.given(run)
    at = conversation.find(room.tobytes(), bytes(connection.uplink))
    assert at >= 0, "the cloud got what the microphone gave, in one piece"
    begin_ms = times[at] / MIC_KHZ
    end_ms = times[at + len(connection.uplink) // 2 - 1] / MIC_KHZ
    slack = conversation.slack_ms(run)
    assert run.at_ms("press") - 300 - 41 - slack <= begin_ms <= run.at_ms("press") - 300 + slack
    assert run.at_ms("press", 1) - 41 - slack <= end_ms <= run.at_ms("press", 1) + slack
    assert run.result.states()[-2:] == ["listening", "idle"]


@pytest.mark.parametrize("interpreter", (CPYTHON, MPY64))
def test_three_questions_on_one_connection(outcome, interpreter):
    run = outcome("three questions", interpreter)
    assert run.outcomes == ["answered"] * 3
    conversation.assert_played(run, *[(turn, "whole") for turn in run.cloud.turns])
    for nth, utterance in enumerate(run.cloud.utterances):
        begin, end = conversation.place_of(run, utterance)
        conversation.assert_question_place(run, begin, end, run.at_ms("press", nth), run.at_ms("release", nth))
    assert len(run.cloud.connections) == 1 and len(run.sent("chat.update")) == 1


@pytest.mark.parametrize("interpreter", (CPYTHON, MPY64))
def test_what_is_heard_and_said_is_told(outcome, interpreter):
    run = outcome("three questions", interpreter)
    heard = [report["text"] for report in run.result.of_kind("heard") if report["final"]]
    assert heard == ["question 1", "question 2", "question 3"]
    assert [report["text"] for report in run.result.of_kind("said")] == ["Answer 1.", "Answer 2.", "Answer 3."]


@pytest.mark.parametrize("interpreter", (CPYTHON, MPY64))
def test_the_agent_sets_the_volume(outcome, interpreter):
    run = outcome("a tool", interpreter)
    turn = the_turn(run)
    assert [report["percent"] for report in run.result.of_kind("volume")] == [30]
    assert [json.loads(output) for output in turn.tool_outputs.values()] == [{"percent": 30}]
    # The square of 30 % in 12 bits, rounded to the nearest.
    softer = array("h", [sample * 368 + 2048 >> 12 for sample in array("h", turn.pcm)])
    conversation.assert_played(run, (softer, "whole"))


def test_the_greeting_is_played_once_and_a_question_follows(outcome):
    run = outcome("a greeting")
    assert run.outcomes == ["answered", "answered"]
    conversation.assert_played(run, (run.cloud.turns[0], "whole"), (run.cloud.turns[1], "whole"))


@pytest.mark.parametrize("interpreter", (CPYTHON, MPY64))
def test_a_chip_whose_clock_counts_from_2000_verifies_certificates(outcome, interpreter):
    run = outcome("a chip that counts from 2000", interpreter)
    conversation.assert_played(run, (the_turn(run), "whole"))


@pytest.mark.parametrize("interpreter", EVERYWHERE)
def test_an_i2s_that_is_never_ready_plays_and_hears_all_the_same(outcome, interpreter):
    run = outcome("I2S is never ready", interpreter)
    turn = the_turn(run)
    conversation.assert_played(run, (turn, "whole"))
    begin, end = conversation.place_of(run, turn.utterance)
    conversation.assert_question_place(run, begin, end, run.at_ms("press"), run.at_ms("release"))


def test_no_run_did_what_none_may_do(outcome):
    conversation.assert_well_behaved(outcome.all)
