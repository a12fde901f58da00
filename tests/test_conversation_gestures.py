"""The button: taps, long presses, presses at the wrong time. And what the cloud then gets, and does not get."""

import conversation
import numpy
import pytest
from conversation import CPYTHON, EVERYWHERE, MIC_KHZ, MPY64, Scene, answers, ask

SLOW = {"connection_faults": [{"kind": "slow_updated", "by_ms": 1500}]}

SCENES = {
    "a tap": Scene(
        "wait idle; sleep 300; tap 120; wait turn; sleep 300; " + ask() + "wait turn outcome=answered; quit",
        on=EVERYWHERE,
        config={"uplink_codec": "pcm"},
    ),
    "two taps": Scene(
        "wait idle; " + ask() + "wait speaking; sleep 500; tap; tap; sleep 1200; quit",
        on=(CPYTHON, MPY64),
        cloud=answers(6000),
    ),
    "two clicks": Scene(
        "wait idle; tap; say ask.wav; sleep 700; tap; wait speaking; sleep 500; tap; tap; sleep 1200; quit",
        on=(CPYTHON,),
        cloud=answers(6000),
        config={"mode": "ptt_toggle"},
    ),
    "five taps": Scene("wait idle; " + "tap 80; " * 5 + "wait provision 1000; wait idle; quit", on=(CPYTHON, MPY64)),
    "a second press within the tail": Scene(
        "wait idle; say ask.wav; sleep 150; press; sleep 300; release; wait tail; "
        "press; sleep 400; release; wait turn; quit",
        on=(CPYTHON, MPY64),
        config={"uplink_codec": "pcm", "tail_ms": 400},
    ),
    "asked while connecting": Scene(
        "wait connecting; sleep 500; " + ask() + "wait waiting; wait turn; quit",
        on=EVERYWHERE,
        cloud=answers(700, **SLOW),
        config={"uplink_codec": "pcm"},
    ),
    "asking when the connection comes": Scene(
        "wait connecting; sleep 500; say bird.wav; sleep 150; press; wait listening; wait clip_end; release; "
        "wait turn; quit",
        on=(CPYTHON, MPY64),
        cloud=answers(700, connection_faults=[{"kind": "slow_updated", "by_ms": 1000}]),
        config={"uplink_codec": "pcm"},
    ),
    "nobody there": Scene(
        "wait error; wait offline; press; wait turn 4000; sleep 300; release; sleep 300; quit",
        on=(CPYTHON, MPY64),
        config={"cloud_url": "wss://localhost:1/v1/chat", "press_wait_ms": 1000},
    ),
    "the cloud says nothing": Scene(
        "wait connecting; sleep 600; press; say ask.wav; sleep 700; release; wait error 4000; sleep 600; quit",
        on=(CPYTHON, MPY64),
        cloud=answers(700, connection_faults=[{"kind": "slow_updated", "by_ms": 30000}]),
        config={"press_wait_ms": 1200},
    ),
    "a button that is never let go": Scene(
        "wait idle; say ask.wav; press; wait turn; release; sleep 300; quit",
        on=(CPYTHON, MPY64),
        config={"uplink_codec": "pcm", "listen_max_ms": 1000},
    ),
    "a rest": Scene(
        "wait idle; " + ask() + "wait turn; wait standby; sleep 200; " + ask() + "wait turn outcome=answered; quit",
        on=EVERYWHERE,
        cloud=answers(500, 700),
        config={"uplink_codec": "pcm", "keep_link_ms": 1000},
    ),
    "the volume keys": Scene(
        "wait idle; volume up; wait volume percent=110; volume down 600; wait volume percent=80; quit", on=(CPYTHON,)
    ),
}


@pytest.fixture(scope="module")
def outcome(request, tmp_path_factory):
    return conversation.play(request, tmp_path_factory)


def beeps(run):
    """(when in ms of the world, how long in ms) of each sound that was played."""
    return [
        (first * 1000 // run.rate_hz, (end - first) * 1000 // run.rate_hz) for first, end in run.result.speaker["spans"]
    ]


@pytest.mark.parametrize("interpreter", EVERYWHERE)
def test_a_tap_asks_nothing(outcome, interpreter):
    run = outcome("a tap", interpreter)
    assert run.outcomes == ["discarded", "answered"] and run.errors == []
    tapped, asked = run.cloud.utterances
    assert tapped.fate == "cleared" and asked.fate == "completed"
    assert len(run.sent("input_audio_buffer.clear")) == len(run.sent("input_audio_buffer.complete")) == 1
    conversation.assert_played(run, (run.cloud.turns[0], "whole"))


@pytest.mark.parametrize("interpreter", EVERYWHERE)
def test_a_tap_records_from_its_first_instant_and_is_not_in_the_next_question(outcome, interpreter):
    run = outcome("a tap", interpreter)
    begin, _ = conversation.place_of(run, run.cloud.utterances[0])
    assert begin / MIC_KHZ <= run.at_ms("press") - 250, "no gesture waits for what it may become"
    begin, end = conversation.place_of(run, run.cloud.utterances[1])
    conversation.assert_question_place(run, begin, end, run.at_ms("press", 1), run.at_ms("release", 1))


@pytest.mark.parametrize("name, interpreter", [("two taps", CPYTHON), ("two taps", MPY64), ("two clicks", CPYTHON)])
def test_two_taps_stop_everything(outcome, name, interpreter):
    run = outcome(name, interpreter)
    assert run.outcomes[0] == "interrupted" and set(run.outcomes[1:]) == {"discarded"} and run.errors == []
    (turn,) = run.cloud.turns
    (heard,) = conversation.assert_played(run, (turn, "part"))
    pressed_ms = run.at_ms("press", 1 if name == "two taps" else 2)
    assert heard.end * 1000 / run.rate_hz - pressed_ms < 55 + conversation.slack_ms(run)
    assert turn.cancel_code == 2 and len(run.sent("conversation.chat.cancel")) == 1
    assert run.result.states()[-1] == "idle"
    assert {u.fate for u in run.cloud.utterances[1:]} <= {"cleared"}


@pytest.mark.parametrize("interpreter", (CPYTHON, MPY64))
def test_five_taps_ask_for_provisioning(outcome, interpreter):
    run = outcome("five taps", interpreter)
    assert len(run.result.of_kind("provision")) == 1
    assert run.cloud.turns == [] and run.sent("input_audio_buffer.complete") == []
    assert run.result.speaker["spans"] == []


@pytest.mark.parametrize("interpreter", (CPYTHON, MPY64))
def test_a_press_within_the_tail_goes_on_with_the_question(outcome, interpreter):
    run = outcome("a second press within the tail", interpreter)
    assert run.outcomes == ["answered"]
    (utterance,) = run.cloud.utterances
    begin, end = conversation.place_of(run, utterance)
    conversation.assert_question_place(run, begin, end, run.at_ms("press"), run.at_ms("release", 1), tail_ms=400)


@pytest.mark.parametrize("interpreter", EVERYWHERE)
def test_a_question_asked_while_connecting_is_answered_afterwards(outcome, interpreter):
    run = outcome("asked while connecting", interpreter)
    assert run.outcomes == ["answered"] and run.errors == [], run.result.why()
    states = run.result.states()
    at = states.index("calling")
    assert states[at:] == ["calling", "calling_tail", "waiting", "thinking", "speaking", "idle"]
    (turn,) = run.cloud.turns
    conversation.assert_played(run, (turn, "whole"))
    begin, end = conversation.place_of(run, turn.utterance)
    conversation.assert_question_place(run, begin, end, run.at_ms("press"), run.at_ms("release"))
    clip_begin, clip_end = conversation.clip_place(run, "ask.wav")
    assert begin < clip_begin and clip_end < end


@pytest.mark.parametrize("interpreter", (CPYTHON, MPY64))
def test_a_question_begun_while_connecting_loses_nothing_when_the_link_comes(outcome, interpreter):
    run = outcome("asking when the connection comes", interpreter)
    assert run.outcomes == ["answered"] and run.errors == []
    (turn,) = run.cloud.turns
    conversation.assert_played(run, (turn, "whole"))
    begin, end = conversation.place_of(run, turn.utterance)
    conversation.assert_question_place(run, begin, end, run.at_ms("press"), run.at_ms("release"))
    updated = run.received("chat.updated")[0]
    assert run.sent("input_audio_buffer.append")[0].t_ms >= updated.t_ms, "no audio before the cloud knows its format"


@pytest.mark.parametrize("interpreter", (CPYTHON, MPY64))
@pytest.mark.parametrize("name, kind, waited_ms, notes_ms", [
    ("nobody there", "connect", 1000, [180]),
    ("the cloud says nothing", "timeout", 1200, [90, 90]),
])  # fmt: skip
def test_a_press_without_a_cloud_fails_aloud(outcome, name, interpreter, kind, waited_ms, notes_ms):
    run = outcome(name, interpreter)
    assert run.errors[-1] == kind, run.result.why()
    assert "failed" in run.outcomes and run.cloud.turns == []
    assert run.sent("input_audio_buffer.append") == []
    sounds = beeps(run)
    assert [length for _, length in sounds] == pytest.approx(notes_ms, abs=8), "the beeps of its kind"
    assert waited_ms - 10 <= sounds[0][0] - run.at_ms("press") <= waited_ms + 100 + 80 + 60 + conversation.slack_ms(run)
    loud = numpy.array(run.played)
    assert abs(loud).max() > 3000, "loud enough to be heard"


@pytest.mark.parametrize("interpreter", (CPYTHON, MPY64))
def test_listening_ends_by_itself(outcome, interpreter):
    run = outcome("a button that is never let go", interpreter)
    assert run.outcomes == ["answered"] and run.errors == []
    (turn,) = run.cloud.turns
    begin, end = conversation.place_of(run, turn.utterance)
    # The deadline is looked at in steps of 100 ms.
    conversation.assert_question_place(run, begin, end, run.at_ms("press"), run.state_ms("tail"))
    assert 1000 <= run.state_ms("tail") - run.at_ms("press") <= 1100 + conversation.slack_ms(run)
    conversation.assert_played(run, (turn, "whole"))


@pytest.mark.parametrize("interpreter", EVERYWHERE)
def test_a_link_at_rest_comes_back_for_a_press(outcome, interpreter):
    run = outcome("a rest", interpreter)
    assert run.outcomes == ["answered", "answered"] and run.errors == []
    conversation.assert_played(run, *[(turn, "whole") for turn in run.cloud.turns])
    begin, end = conversation.place_of(run, run.cloud.utterances[1])
    conversation.assert_question_place(run, begin, end, run.at_ms("press", 1), run.at_ms("release", 1))
    first, second = run.sent("chat.update")
    assert [link.close_code for link in run.cloud.connections] == [1000, 1000], "in good order"
    assert second.data["chat_config"].pop("conversation_id") == run.cloud.turns[0].conversation_id


def test_the_volume_keys_step_and_repeat(outcome):
    run = outcome("the volume keys")
    percents = [report["percent"] for report in run.result.of_kind("volume")]
    assert percents == list(range(110, percents[-1] - 1, -10)) and percents[-1] <= 80


@pytest.mark.parametrize("interpreter", EVERYWHERE)
def test_nothing_is_sent_behind_the_end_of_a_question(outcome, interpreter):
    for (name, where), run in outcome.all.items():
        if where != interpreter or isinstance(run, Exception):
            continue
        is_open = False
        presses = [t_ms for t_ms, what in run.result.run["actions"] if what == "press"]
        opened = 0
        for message in run.sent("input_audio_buffer.append", "input_audio_buffer.complete", "input_audio_buffer.clear"):
            if message.event_type == "input_audio_buffer.append":
                opened += not is_open
                is_open = True
                assert opened <= len([t_ms for t_ms in presses if t_ms <= message.t_ms]), "each question has its press"
            else:
                is_open = False


def test_no_run_did_what_none_may_do(outcome):
    conversation.assert_well_behaved(outcome.all)
