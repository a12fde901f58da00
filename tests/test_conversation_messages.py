"""Every legal way to write an answer is played to the sample; what is malformed is skipped, counted, and no more."""

import json

import conversation
import pytest
from conversation import CPYTHON, EVERYWHERE, MPY64, Scene, answers, ask
from tools.cloud import scenario


def _nasty():
    with open(scenario.FOLDER / "nasty_json.json", encoding="utf-8") as file:
        return json.load(file)


NASTY = _nasty()
PER_SCENE = 3


def nasty(first):
    """Some turns of that scenario, a little faster."""
    turns = [dict(turn, first_audio_ms=150) for turn in NASTY["turns"][first : first + PER_SCENE]]
    return dict(NASTY, turns=turns, recognise_ms=60, created_ms=20)


# Which of the 30 packets of an answer are hit by what; each takes its own audio with it, and nothing else.
MALFORMED = [
    {"kind": "illegal_base64", "nth": 2, "count": 1},
    {"kind": "cut_base64", "nth": 4, "count": 1, "chars": 1},
    {"kind": "cut_base64", "nth": 6, "count": 1, "chars": 2},
    {"kind": "wrong_type", "nth": 8, "count": 1},
    {"kind": "null_data", "nth": 10, "count": 1},
    {"kind": "no_data", "nth": 12, "count": 1},
]
STRANGERS = [
    {"kind": "malformed_json", "nth": 3},
    {"kind": "malformed_json", "nth": 3, "text": ""},
    {"kind": "malformed_json", "nth": 4, "text": "[" * 5000},
    {"kind": "malformed_json", "nth": 4, "text": '{"event_type":7,"data":"none"}'},
    {"kind": "malformed_json", "nth": 5, "text": '{"event_type":"of.tomorrow","data":{"content":"AAAA"}}'},
    {"kind": "not_an_object", "nth": 5},
    {"kind": "bad_utf8", "nth": 6},
    {"kind": "binary_message", "nth": 7, "bytes": 5000},
    {"kind": "huge_message", "nth": 8, "bytes": 300000},
    {"kind": "unknown_event", "nth": 9},
    {"kind": "empty_delta", "nth": 10},
]  # fmt: skip

SCENES = {
    "legal from %d" % first: Scene(
        "wait idle; " + (ask(300) + "wait turn; ") * PER_SCENE + "quit",
        on=EVERYWHERE,
        cloud=nasty(first),
        config={"downlink_codec": "pcm"},
    )
    for first in range(0, len(NASTY["turns"]), PER_SCENE)
}
SCENES["malformed audio"] = Scene(
    "wait idle; " + ask(300) + "wait turn; " + ask(300) + "wait turn outcome=answered; quit",
    on=EVERYWHERE,
    cloud=answers(1800, 600, faults=[MALFORMED]),
)
SCENES["strangers between"] = Scene(
    "wait idle; " + ask(300) + "wait turn; " + ask(300) + "wait turn outcome=answered; quit",
    on=EVERYWHERE,
    cloud=answers(1800, 600, faults=[STRANGERS]),
)
SCENES["half a sample at the end"] = Scene(
    "wait idle; " + ask(300) + "wait turn; " + ask(300) + "wait turn outcome=answered; quit",
    on=(CPYTHON, MPY64),
    cloud=answers(600, 600, faults=[[{"kind": "odd_packets", "lose_last_byte": True}]]),
    config={"downlink_codec": "pcm", "downlink_hz": 24000},
)
SCENES["packets of any size, late"] = Scene(
    "wait idle; " + ask(300) + "wait turn; quit",
    on=(CPYTHON, MPY64),
    cloud=answers(2500, faults=[[{"kind": "irregular_packets"}, {"kind": "jitter", "max_ms": 120}]]),
    config={"downlink_codec": "pcm", "pacing_frames": 0, "answer_max_s": 10, "prebuffer_ms": 400},
)
SCENES["ends that are missing"] = Scene(
    "wait idle; " + (ask(300) + "wait turn; ") * 3 + "quit",
    on=(CPYTHON, MPY64),
    cloud=answers(
        600, 600, 600,
        faults=[[{"kind": "no_audio_completed"}], [{"kind": "no_chat_completed"}], [{"kind": "no_transcript"}]],
    ),  # fmt: skip
)
SCENES["no words"] = Scene(
    "wait idle; sleep 400; press; sleep 400; release; wait error; "
    + ask(300, "bird.wav") + "wait turn outcome=answered; quit",
    on=(CPYTHON, MPY64),
    cloud=answers(600, silent_utterance="empty_transcript"),
    world={"noise_peak": 20},
)


@pytest.fixture(scope="module")
def outcome(request, tmp_path_factory):
    return conversation.play(request, tmp_path_factory)


@pytest.mark.parametrize("interpreter", EVERYWHERE)
@pytest.mark.parametrize("nth", range(len(NASTY["turns"])), ids=[turn["heard"] for turn in NASTY["turns"]])
def test_every_legal_form_is_played_to_the_sample(outcome, nth, interpreter):
    run = outcome("legal from %d" % (nth - nth % PER_SCENE), interpreter)
    assert run.outcomes == ["answered"] * PER_SCENE and run.errors == [], run.result.why()
    turn = run.cloud.turns[nth % PER_SCENE]
    assert turn.heard == NASTY["turns"][nth]["heard"]
    conversation.assert_played(run, *[(turn, "whole") for turn in run.cloud.turns])
    strays = [fault for turn in run.cloud.turns for fault in turn.script.faults if fault["kind"] == "not_an_object"]
    assert run.traced("malformed") == list(range(1, len(strays) + 1))


@pytest.mark.parametrize("interpreter", EVERYWHERE)
def test_malformed_audio_is_skipped_piece_by_piece_and_counted(outcome, interpreter):
    run = outcome("malformed audio", interpreter)
    first, second = run.cloud.turns
    assert run.outcomes == ["answered", "answered"] and run.errors == []
    assert first.broken_deltas == len(MALFORMED) and len(first.sent) == len(first.planned) - 480 * len(MALFORMED)
    heard = conversation.listen.find_answer(run.played, conversation.array("h", first.pcm))
    assert len(heard.samples) == len(first.sent), "all that could be read"
    # A delta without any audio in it is empty rather than malformed.
    assert run.traced("malformed") == [1, 2, 3]
    assert len(run.cloud.connections) == 1
    assert conversation.listen.find_answer(run.played, conversation.array("h", second.pcm), heard.end) is not None


@pytest.mark.parametrize("interpreter", EVERYWHERE)
def test_strange_messages_between_the_pieces_are_skipped_and_counted(outcome, interpreter):
    run = outcome("strangers between", interpreter)
    assert run.outcomes == ["answered", "answered"] and run.errors == [], run.result.why()
    conversation.assert_played(run, *[(turn, "whole") for turn in run.cloud.turns])
    assert run.traced("too_big") == [1] and run.traced("unknown_event")[-1] >= 2
    assert run.traced("malformed")[-1] in (4, 5), "bad UTF-8 is a text like any other to some JSON readers"
    assert len(run.cloud.connections) == 1


@pytest.mark.parametrize("interpreter", (CPYTHON, MPY64))
def test_half_a_sample_at_the_end_does_not_shift_the_next_answer(outcome, interpreter):
    run = outcome("half a sample at the end", interpreter)
    first, second = run.cloud.turns
    assert run.outcomes == ["answered", "answered"] and run.errors == []
    assert len(first.sent) % 2 == 1
    first.sent.pop()
    heard, _ = conversation.assert_played(run, (first, "part"), (second, "whole"))
    assert len(heard.samples) == len(first.planned) // 2 - 1


@pytest.mark.parametrize("interpreter", (CPYTHON, MPY64))
def test_packets_of_any_size_at_any_time(outcome, interpreter):
    run = outcome("packets of any size, late", interpreter)
    (turn,) = run.cloud.turns
    assert run.outcomes == ["answered"] and len({size for _, size in turn.packets}) > 3
    conversation.assert_played(run, (turn, "whole"))


@pytest.mark.parametrize("interpreter", (CPYTHON, MPY64))
def test_an_end_that_is_missing_is_not_missed(outcome, interpreter):
    run = outcome("ends that are missing", interpreter)
    assert run.outcomes == ["answered"] * 3 and run.errors == []
    conversation.assert_played(run, *[(turn, "whole") for turn in run.cloud.turns])


@pytest.mark.parametrize("interpreter", (CPYTHON, MPY64))
def test_a_question_without_words_fails_aloud_and_at_once(outcome, interpreter):
    run = outcome("no words", interpreter)
    assert run.errors == ["turn"] and run.outcomes == ["failed", "answered"]
    assert run.result.report_ms(run.result.of_kind("error")[0]) - run.at_ms("release") < 600
    assert run.result.speaker["spans"][0][0] * 1000 / run.rate_hz < run.at_ms("press", 1), "beeps"


def test_no_run_did_what_none_may_do(outcome):
    conversation.assert_well_behaved(outcome.all)
