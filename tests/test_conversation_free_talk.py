"""Free talk in a room that echoes: a board that cannot cancel the echo does not talk to itself, and hears the user."""

import conversation
import numpy
import pytest
from conversation import CPYTHON, EVERYWHERE, MIC_KHZ, MPY64, Scene

ROOM = {"noise_peak": 40, "echo_percent": 40, "echo_delay_ms": 60}
# The same room for a board that adds 12 dB more: what is not the voice is a quarter as loud.
FAR = {"noise_peak": 10, "echo_percent": 10}
GATE_TAIL_MS = 250  # of boards/bread_compact_wifi.py
BOTH = (CPYTHON, MPY64)


def spoken(*files):
    """A scenario whose answers are speech, so that the cloud takes their echo for a user."""
    turns = [
        {"heard": "question %d" % i, "first_audio_ms": 200, "answer": [{"text": name, "audio": {"wav": name}}]}
        for i, name in enumerate(files, 1)
    ]
    return {"turns": turns, "recognise_ms": 60, "created_ms": 20}


FREE = {"mode": "free", "uplink_codec": "pcm", "downlink_codec": "pcm", "vad_silence_ms": 300}

SCENES = {
    "an echo and no gate": Scene(
        "wait idle; tap; wait listening; sleep 200; say bird.wav; wait turn; sleep 1000; tap; wait idle; quit",
        on=BOTH,
        cloud=spoken("night.wav", "night.wav"),
        config=FREE,
        world=ROOM,
    ),
    "an echo and the gate": Scene(
        "wait idle; tap; wait listening; sleep 200; say bird.wav; wait speaking; sleep 900; say halt.wav; wait turn; "
        "sleep 600; say bird.wav; wait turn; sleep 400; tap; wait idle; sleep 200; quit",
        on=EVERYWHERE,
        cloud=spoken("night.wav", "done.wav"),
        config=dict(FREE, board="bread_compact_wifi"),
        world=FAR,
    ),
    "a click where speech cannot": Scene(
        "wait idle; tap; wait listening; sleep 200; say bird.wav; wait speaking; sleep 700; tap; wait listening; "
        "sleep 500; say bird.wav; wait turn outcome=answered; tap; wait idle; quit",
        on=BOTH,
        cloud=spoken("night.wav", "done.wav"),
        config=dict(FREE, board="bread_compact_wifi", uplink_codec="g711a", downlink_codec="g711a"),
        world=FAR,
    ),
    "a press after the answer": Scene(
        "wait idle; say ask.wav; sleep 150; press; sleep 300; release; wait turn; "
        "sleep 300; press; sleep 600; release; wait turn; quit",
        on=BOTH,
        cloud=conversation.answers(600, 600),
        config={"board": "bread_compact_wifi", "uplink_codec": "pcm", "downlink_codec": "pcm", "preroll_ms": 600,
                "press_wait_ms": 4000},
        world=FAR,
    ),
    "the link goes while somebody speaks": Scene(
        "wait idle; tap; wait listening; say weather.wav; sleep 700; wifi down; wait error; sleep 600; wifi up; "
        "wait idle; wait clip_end; tap; wait listening; sleep 200; say bird.wav; wait turn outcome=answered; tap; wait idle; quit",
        on=BOTH,
        cloud=spoken("done.wav"),
        config=dict(FREE, retry_min_ms=50),
        world={"noise_peak": 40},
    ),
    "nobody says anything": Scene(
        "wait idle; tap; wait listening; wait idle 8000; sleep 100; quit",
        on=BOTH,
        config=dict(FREE, free_idle_ms=5000),
        world={"noise_peak": 40},
    ),
}


@pytest.fixture(scope="module")
def outcome(request, tmp_path_factory):
    return conversation.play(request, tmp_path_factory)


def stream_of(run):
    """(what the cloud got of a stream of free talk, what the microphone gave there, when in ms of the world).

    The gate's silence stands in the stream but not in the room, so it is placed by its head.
    """
    got = numpy.frombuffer(bytes(run.cloud.connections[0].uplink), dtype="<i2")
    room, times = conversation.given(run)
    at = conversation.find(room.tobytes(), got[: MIC_KHZ * 1000].tobytes())
    assert at >= 0
    return got, room[at : at + len(got)], times[at : at + len(got)] / MIC_KHZ


def sounds_ms(run):
    """[(begin, end)] in ms of the world, of the answers in the loudspeaker's record: pauses up to 1 s belong to one."""
    joined = []
    for first, end in run.result.speaker["spans"]:
        first_ms, end_ms = first * 1000 / run.rate_hz, end * 1000 / run.rate_hz
        if joined and first_ms - joined[-1][1] < 1000:
            joined[-1][1] = end_ms
        else:
            joined.append([first_ms, end_ms])
    return joined


@pytest.mark.parametrize("interpreter", BOTH)
def test_without_the_gate_it_would_interrupt_itself(outcome, interpreter):
    run = outcome("an echo and no gate", interpreter)
    assert run.outcomes[0] == "interrupted" and run.cloud.turns[0].cancel_code == 1
    started = run.received("input_audio_buffer.speech_started")
    assert len(started) >= 2 and run.result.run["actions"][-1][0] > started[1].t_ms, "nobody else had spoken"


@pytest.mark.parametrize("interpreter", EVERYWHERE)
def test_with_the_gate_the_answer_is_whole_and_the_user_is_heard_afterwards(outcome, interpreter):
    run = outcome("an echo and the gate", interpreter)
    assert run.outcomes == ["answered", "answered"] and run.errors == [], run.result.why()
    conversation.assert_played(run, *[(turn, "whole") for turn in run.cloud.turns])
    assert len(run.cloud.utterances) == 2, "neither the echo nor what was said over it"
    assert any("cannot interrupt" in report["text"] for report in run.result.of_kind("warning"))


@pytest.mark.parametrize("interpreter", EVERYWHERE)
def test_the_cloud_gets_silence_while_we_are_heard_and_every_sample_else(outcome, interpreter):
    run = outcome("an echo and the gate", interpreter)
    got, room, at_ms = stream_of(run)
    is_silenced = got != room
    assert not got[is_silenced].any(), "what is not the room is silence"
    may_be_silenced = numpy.zeros(len(got), dtype=bool)
    slack = conversation.slack_ms(run)
    for first_ms, end_ms in sounds_ms(run):
        must = (at_ms >= first_ms) & (at_ms < end_ms + GATE_TAIL_MS)
        assert not got[must].any(), "exact silence while the answer is audible, and a tail of %d ms" % GATE_TAIL_MS
        # The gate closes when the DMA gets the sound, 80 ms ahead at most, and both of its edges are whole frames.
        may_be_silenced |= (at_ms >= first_ms - 80 - 40 - slack) & (at_ms < end_ms + GATE_TAIL_MS + 40 + slack)
        echo = (at_ms >= first_ms + 60) & (at_ms < end_ms + 60)
        assert abs(room[echo]).max() > 1000, "there was something to hear"
    assert not (is_silenced & ~may_be_silenced).any(), "silence at no other time"
    assert len(got) > MIC_KHZ * 5000, "the stream went on all the time"


@pytest.mark.parametrize("interpreter", BOTH)
def test_a_click_interrupts_where_speech_cannot(outcome, interpreter):
    run = outcome("a click where speech cannot", interpreter)
    first, second = run.cloud.turns
    assert run.outcomes == ["interrupted", "answered"] and run.errors == []
    conversation.assert_played(run, (first, "part"), (second, "whole"))


@pytest.mark.parametrize("interpreter", BOTH)
def test_the_pre_roll_does_not_reach_back_into_our_own_voice(outcome, interpreter):
    run = outcome("a press after the answer", interpreter)
    assert run.outcomes == ["answered", "answered"]
    begin, end = conversation.place_of(run, run.cloud.utterances[1])
    (_, end_ms), _ = sounds_ms(run)
    assert run.at_ms("press", 1) - 600 < end_ms < run.at_ms("press", 1) - 300, "it could have reached back there"
    assert GATE_TAIL_MS <= begin / MIC_KHZ - end_ms <= GATE_TAIL_MS + 16 + 20 + 16 + conversation.slack_ms(run)
    assert abs(numpy.array(run.room[begin:end])).max() <= ROOM["noise_peak"], "no echo in the question"


@pytest.mark.parametrize("interpreter", BOTH)
def test_a_link_that_goes_ends_free_talk_aloud_and_it_can_be_begun_again(outcome, interpreter):
    run = outcome("the link goes while somebody speaks", interpreter)
    assert run.errors[0] == "wifi" and run.outcomes == ["failed", "answered"]
    assert run.result.speaker["spans"][0][0] * 1000 / run.rate_hz < run.at_ms("wifi up"), "beeps"
    assert len(run.cloud.connections) == 2
    appends = [message for message in run.sent("input_audio_buffer.append") if message.connection == 2]
    assert appends[0].t_ms >= run.at_ms("press", 1), "nothing is sent before it was begun again"


@pytest.mark.parametrize("interpreter", BOTH)
def test_free_talk_ends_when_nobody_speaks(outcome, interpreter):
    run = outcome("nobody says anything", interpreter)
    assert run.outcomes == [] and run.errors == [] and run.cloud.turns == []
    assert 5000 <= run.state_ms("idle", 1) - run.at_ms("press") <= 5150 + conversation.slack_ms(run)
    assert run.sent("input_audio_buffer.append")[-1].t_ms <= run.state_ms("idle", 1) + 20 + conversation.slack_ms(run)


def test_no_run_did_what_none_may_do(outcome):
    conversation.assert_well_behaved(outcome.all)
