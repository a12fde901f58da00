"""The user interrupts: silence comes at once, nothing of the old answer is ever heard again, the new one is whole."""

import json

import conversation
import pytest
from conversation import CPYTHON, EVERYWHERE, MPY64, Scene, answers, ask
from tools.cloud import scenario

BARGE_IN_MS = 20  # promised: from the press to the last sample that is not silence


def limit_ms(run):
    """What a busy machine may make of a single one."""
    return 55 + conversation.slack_ms(run)


def late_cancel():
    """The scenario of that name with an answer of noise in each turn, then a turn without any fault."""
    with open(scenario.FOLDER / "late_cancel.json", encoding="utf-8") as file:
        data = json.load(file)
    data["turns"].append({"heard": "the last question", "answer": [{"text": "Whole.", "audio": {}}]})
    for number, turn in enumerate(data["turns"], 1):
        ms = 8000 if turn.get("faults") else 900
        turn["answer"][0]["audio"] = {"signal": "noise", "ms": ms, "seed": number}
        turn["first_audio_ms"] = 200
    return dict(data, recognise_ms=60, created_ms=20)


SCENES = {
    "four barge-ins that end badly": Scene(
        "wait idle; " + (ask() + "wait speaking; sleep 400; ") * 4 + ask()
        + "wait turn outcome=answered; sleep 1200; quit",
        on=(CPYTHON, MPY64),
        cloud=late_cancel(),
        config={"downlink_codec": "pcm"},
    ),
    "three barge-ins": Scene(
        "wait idle; " + ask() + "".join("wait speaking; sleep %d; " % ms + ask(300) for ms in (400, 637, 811))
        + "wait turn outcome=answered; sleep 100; quit",
        on=EVERYWHERE,
        cloud=answers(6000, 6000, 6000, 700),
        config={"downlink_codec": "pcm", "downlink_hz": 24000},
    ),
    "two quick barge-ins": Scene(
        "wait idle; " + ask() + "wait speaking; sleep 400; " + ask(300) + "wait heard; " + ask()
        + "wait turn outcome=answered; sleep 2000; quit",
        on=EVERYWHERE,
        # The second question gets its name only while the third is being asked, and its answer goes on for long.
        cloud=answers(
            6000, 6000, 900, recognise_ms=400, faults=[[{"kind": "late_audio", "for_ms": 1500}]] * 2
        ),
    ),
    "dead on arrival": Scene(
        "wait idle; " + ask() + "wait heard; tap; wait turn outcome=discarded; sleep 2000; " + ask()
        + "wait turn outcome=answered; quit",
        on=(CPYTHON, MPY64),
        cloud=answers(6000, 900, recognise_ms=400, faults=[[{"kind": "late_audio", "for_ms": 1500}]]),
    ),
    "speech over the answer": Scene(
        "wait idle; tap; wait listening; sleep 200; say bird.wav; wait speaking; sleep 500; say halt.wav; "
        "wait turn outcome=answered; tap; wait idle; quit",
        on=EVERYWHERE,
        cloud=answers(8000, 900, faults=[[{"kind": "late_audio", "for_ms": 1000}]]),
        config={"mode": "free", "downlink_codec": "pcm", "vad_silence_ms": 300},
        world={"noise_peak": 50},
    ),
    "a click over the answer": Scene(
        "wait idle; tap; wait listening; sleep 200; say bird.wav; wait speaking; sleep 600; tap; wait listening; "
        "sleep 300; say bird.wav; wait turn outcome=answered; tap; wait idle; quit",
        on=(CPYTHON, MPY64),
        cloud=answers(8000, 700),
        config={"mode": "free", "vad_silence_ms": 300},
        world={"noise_peak": 50},
    ),
    "only a keyword interrupts": Scene(
        "wait idle; tap; wait listening; sleep 200; say bird.wav; wait speaking; sleep 300; say halt.wav; "
        "wait clip_end; sleep 800; say halt.wav; wait turn outcome=answered; tap; wait idle; quit",
        on=(CPYTHON,),
        cloud=dict(
            answers(8000, 700, 700),
            turns=[
                dict(turn, heard=heard)
                for turn, heard in zip(answers(8000, 700, 700)["turns"], ("tell me", "oh how nice", "please stop now"))
            ],
        ),
        config={"mode": "free", "vad_silence_ms": 300, "interrupt_keywords": ["please stop"]},
        world={"noise_peak": 50},
    ),
}


@pytest.fixture(scope="module")
def outcome(request, tmp_path_factory):
    return conversation.play(request, tmp_path_factory)


def ends_ms(run, heard):
    """When the last sample of an answer left the loudspeaker, in ms of the world."""
    return heard.end * 1000 / run.rate_hz


@pytest.mark.parametrize("interpreter", EVERYWHERE)
def test_a_press_silences_the_answer_at_once(outcome, interpreter, show_figure):
    run = outcome("three barge-ins", interpreter)
    assert run.outcomes == ["interrupted"] * 3 + ["answered"] and run.errors == []
    turns = run.cloud.turns
    heard = conversation.assert_played(run, *[(turn, "part") for turn in turns[:3]], (turns[3], "whole"))
    delays_ms = [ends_ms(run, heard[i]) - run.at_ms("press", i + 1) for i in range(3)]
    show_figure("barge-in, %s: silence after %s ms" % (interpreter, ", ".join("%.1f" % ms for ms in delays_ms)))
    assert min(delays_ms) <= BARGE_IN_MS and max(delays_ms) <= limit_ms(run)
    assert [turn.cancel_code for turn in turns] == [2, 2, 2, 0], "the cloud was told to stop"


@pytest.mark.parametrize("interpreter", EVERYWHERE)
def test_an_answer_begins_when_the_prebuffer_is_there(outcome, interpreter, show_figure):
    run = outcome("three barge-ins", interpreter)
    holds_ms = [turn["first_sample_ms"] - turn["first_delta_ms"] for turn in run.turns[:3]]
    sends_ms = [turn["complete_ms"] - turn["release_ms"] for turn in run.turns]
    show_figure(
        "latency, %s: release to last byte of the question %s ms (tail 120), first delta to sample %s ms (hold 120)"
        % (interpreter, sends_ms, holds_ms)
    )
    assert min(holds_ms) >= 120 and min(holds_ms) <= 140 and max(holds_ms) <= 140 + limit_ms(run)
    assert max(sends_ms) <= 120 + 20 + limit_ms(run)


@pytest.mark.parametrize("interpreter", (CPYTHON, MPY64))
def test_what_comes_after_a_cancel_is_never_heard(outcome, interpreter):
    run = outcome("four barge-ins that end badly", interpreter)
    turns = run.cloud.turns
    assert run.outcomes == ["interrupted"] * 4 + ["answered"] and run.errors == []
    conversation.assert_played(run, *[(turn, "part") for turn in turns[:4]], (turns[4], "whole"))
    for turn in (turns[0], turns[1], turns[3]):
        assert len(turn.sent) > turn.sent_at_cancel_bytes, "the cloud did go on after the cancel"
    assert ["canceled" in turn.times_ms for turn in turns] == [True, False, True, True, False]
    assert len(run.sent("conversation.chat.cancel")) == 4


@pytest.mark.parametrize("interpreter", EVERYWHERE)
def test_an_interruption_before_the_answer_has_a_name(outcome, interpreter):
    run = outcome("two quick barge-ins", interpreter)
    first, dead, last = run.cloud.turns
    assert run.outcomes == ["interrupted", "interrupted", "answered"] and run.errors == []
    conversation.assert_played(run, (first, "part"), (last, "whole"))
    (created,) = [m for m in run.received("conversation.chat.created") if m.data["id"] == dead.chat_id]
    assert run.at_ms("press", 2) < created.t_ms < run.at_ms("release", 2), "its name came while the next was asked"
    assert len(dead.sent) > 0, "and then its audio"
    assert [m for m in run.sent("conversation.chat.cancel") if m.t_ms >= created.t_ms], "so it was cancelled then"


@pytest.mark.parametrize("interpreter", (CPYTHON, MPY64))
def test_a_question_taken_back_before_its_answer_has_a_name(outcome, interpreter):
    run = outcome("dead on arrival", interpreter)
    dead, last = run.cloud.turns
    assert run.outcomes == ["interrupted", "discarded", "answered"] and run.errors == []
    conversation.assert_played(run, (last, "whole"))
    assert dead.is_canceled and dead.cancel_code == 2 and len(dead.sent) > 0
    texts = [report["text"] for report in run.result.of_kind("said")]
    assert texts == ["Answer 2."], "nor is anything of it shown"


@pytest.mark.parametrize("interpreter", EVERYWHERE)
def test_speech_silences_the_answer(outcome, interpreter, show_figure):
    run = outcome("speech over the answer", interpreter)
    first, second = run.cloud.turns
    assert run.outcomes == ["interrupted", "answered"] and run.errors == []
    heard, _ = conversation.assert_played(run, (first, "part"), (second, "whole"))
    started = run.received("input_audio_buffer.speech_started")[1]
    delay_ms = ends_ms(run, heard) - started.t_ms
    show_figure("barge-in by speech, %s: silence %.1f ms after the cloud's speech_started" % (interpreter, delay_ms))
    assert delay_ms <= limit_ms(run)
    assert first.cancel_code == 1 and run.sent("conversation.chat.cancel") == [], "the cloud stopped by itself"


@pytest.mark.parametrize("interpreter", (CPYTHON, MPY64))
def test_a_click_over_the_answer_and_listening_goes_on(outcome, interpreter):
    run = outcome("a click over the answer", interpreter)
    first, second = run.cloud.turns
    assert run.outcomes == ["interrupted", "answered"] and run.errors == []
    heard, _ = conversation.assert_played(run, (first, "part"), (second, "whole"))
    assert ends_ms(run, heard) - run.at_ms("press", 1) <= limit_ms(run)
    assert first.cancel_code == 2


def test_only_the_keyword_silences_the_answer(outcome):
    run = outcome("only a keyword interrupts")
    first, second = run.cloud.turns
    assert run.outcomes == ["interrupted", "answered"] and run.errors == []
    heard, _ = conversation.assert_played(run, (first, "part"), (second, "whole"))
    assert ends_ms(run, heard) > run.at_ms("say halt.wav", 1), "other words over it did not"
    (canceled,) = run.received("conversation.chat.canceled")
    assert ends_ms(run, heard) - canceled.t_ms <= limit_ms(run)
    assert second.heard == "please stop now"


def test_no_run_did_what_none_may_do(outcome):
    conversation.assert_well_behaved(outcome.all)
