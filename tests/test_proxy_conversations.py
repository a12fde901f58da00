"""Conversations through a proxy that spoils the connection: real sockets, TLS on, mostly on real MicroPython.

Each scene is followed by another turn, which must be as good as any.
"""

import asyncio

import conversation
import pytest
from conversation import CPYTHON, MPY32, MPY64, Scene, answers, ask

DELTA = "conversation.audio.delta"
LATER = 19  # of the pieces of an answer: the first 17 come at once, and these a second later
APPEND = "input_audio_buffer.append"
QUICK = {"retry_min_ms": 50, "idle_timeout_ms": 1500, "stall_ms": 2500}
PING_MS = 300  # of the cloud: a connection that lives is never as quiet as one that is dead
NEXT = "wait idle; " + ask(clip="again.wav") + "wait turn outcome=answered; quit"
ONE_TURN = "wait idle; " + ask() + "wait turn; "
SPEED_BYTES_PER_S = 6000  # G.711 in base64 and JSON takes three times as much


def for_a_while(begin, ms):
    """begin(proxy) now, and everything as good as new after so long."""

    async def wait(proxy):
        await asyncio.sleep(ms / 1000)
        proxy.clean()

    def action(proxy):
        begin(proxy)
        return wait(proxy)

    return action


def pieces_of(n):
    def begin(proxy):
        proxy.up.piece_bytes = proxy.down.piece_bytes = n

    return begin


def throttle_down(proxy):
    proxy.down.bytes_per_s = SPEED_BYTES_PER_S


def throttle_up(proxy):
    proxy.up.bytes_per_s = 3000


def refuse(proxy):
    proxy.is_refusing = True


def hide_the_end(proxy):
    proxy.down.hides_end = True


def clean(proxy):
    proxy.clean()


# What is whole after all: (plan, does an answer underrun?)
SLOW = {
    "byte by byte": ([("", 0, pieces_of(1))], False),
    "in pieces of 7": ([("", 0, pieces_of(7))], False),
    "a stall in the answer": ([(DELTA, LATER, for_a_while(lambda proxy: proxy.down.stall(), 1500))], True),
    "a stall in the question": ([(APPEND, 8, for_a_while(lambda proxy: proxy.up.stall(), 700))], False),
    "a throttled answer": ([(DELTA, 1, for_a_while(throttle_down, 2500))], True),
    "a stall while connecting": ([("", 0, for_a_while(lambda proxy: proxy.down.stall(), 700))], False),
    "refused at first": ([("boot", 1, for_a_while(refuse, 1500))], False),
}
# What costs a turn: (plan, its outcome, the kinds of the errors)
BROKEN = {
    "cut in the answer": ([(DELTA, LATER, lambda proxy: proxy.cut())], "cut", {"connect"}),
    "reset in the answer": ([(DELTA, LATER, lambda proxy: proxy.reset())], "cut", {"connect"}),
    "cut in the question": ([(APPEND, 10, lambda proxy: proxy.cut())], "failed", {"connect"}),
    "reset in the question": ([(APPEND, 10, lambda proxy: proxy.reset())], "failed", {"connect"}),
    "half-open in the question": ([(APPEND, 10, lambda proxy: proxy.forget())], "failed", {"timeout"}),
    "half-open in the answer": ([(DELTA, LATER, lambda proxy: proxy.forget())], "cut", {"timeout"}),
}

SCENES = {
    name: Scene(
        ONE_TURN + NEXT,
        on=(MPY64, MPY32) if name == "byte by byte" else (MPY64,),
        cloud=answers(500 if name == "byte by byte" else 1600, 400),
        config={"retry_min_ms": 50, "connect_timeout_ms": 5000},
        proxy=plan,
    )
    for name, (plan, _) in SLOW.items()
}
for _name, (_plan, _, _) in BROKEN.items():
    SCENES[_name] = Scene(
        ONE_TURN + NEXT,
        on=(CPYTHON, MPY64) if "half" in _name else (MPY64,),
        cloud=answers(3000, 500, ping_period_ms=PING_MS),
        config=QUICK,
        proxy=_plan,
    )
SCENES["half-open at rest"] = Scene(
    "wait idle; sleep 300; wait error 6000; " + NEXT,
    on=(MPY64,), config=QUICK, cloud=answers(500, ping_period_ms=PING_MS),
    proxy=[("state", 3, lambda proxy: proxy.forget())],
)  # fmt: skip
SCENES["an uplink slower than speech"] = Scene(
    "wait idle; say ask.wav; sleep 150; press; wait error error_kind=slow 15000; sleep 100; release; " + NEXT,
    on=(MPY64, MPY32),
    cloud=answers(500),
    config={"uplink_codec": "pcm", "press_wait_ms": 500, "preroll_ms": 300, "uplink_queue_ms": 800},
    proxy=[(APPEND, 1, throttle_up), ("error", 1, clean)],
)  # fmt: skip
SCENES["a goodbye of TLS without the end of TCP"] = Scene(
    ONE_TURN + NEXT,
    on=(CPYTHON, MPY64),
    cloud=answers(3000, 500, ping_period_ms=PING_MS, faults=[[{"kind": "drop", "end": "stream", "nth": LATER}]]),
    config=QUICK,
    proxy=[("", 0, hide_the_end), ("error", 1, clean)],
)  # fmt: skip


@pytest.fixture(scope="module")
def outcome(request, tmp_path_factory):
    return conversation.play(request, tmp_path_factory)


def cases(table):
    return [(name, interpreter) for name in table for interpreter in SCENES[name].on]


@pytest.mark.parametrize("name, interpreter", cases(SLOW))
def test_what_only_takes_longer_is_whole_to_the_last_sample(outcome, name, interpreter):
    run = outcome(name, interpreter)
    assert run.outcomes == ["answered", "answered"], run.result.why()
    assert set(run.errors) == ({"connect"} if name == "refused at first" else set())
    conversation.assert_played(run, *[(turn, "whole") for turn in run.cloud.turns])
    for utterance in run.cloud.utterances:
        conversation.place_of_g711(run, utterance)
        assert utterance.fate == "completed"
        assert utterance.duration_ms >= 300 + 450, "nothing of the question is missing"
    if SLOW[name][1]:
        assert run.turns[0]["underruns"] >= 1, "the silence inside the answer was noticed"


@pytest.mark.parametrize("name, interpreter", cases(BROKEN))
def test_what_breaks_costs_one_turn_and_the_next_one_works(outcome, name, interpreter):
    run = outcome(name, interpreter)
    _, first, kinds = BROKEN[name]
    assert run.outcomes == [first, "answered"], run.result.why()
    assert set(run.errors) == kinds
    answered = [turn for turn in run.cloud.turns if turn.utterance.fate == "completed"]
    parts = [(answered[0], "part")] if first == "cut" else []
    conversation.assert_heard_then_beeps(run, parts, (answered[-1], "whole"), has_beeps=first == "failed")
    assert len(run.cloud.connections) == 2


def test_a_connection_that_is_half_open_at_rest_is_found_out_in_time(outcome):
    run = outcome("half-open at rest", MPY64)
    assert run.errors == ["timeout"] and run.outcomes == ["answered"], run.result.why()
    found_ms = run.result.report_ms(run.result.of_kind("error")[0]) - run.state_ms("idle")
    assert QUICK["idle_timeout_ms"] - 100 <= found_ms <= QUICK["idle_timeout_ms"] + 1100
    conversation.assert_played(run, (run.cloud.turns[-1], "whole"))


@pytest.mark.parametrize("interpreter", SCENES["an uplink slower than speech"].on)
def test_an_uplink_slower_than_speech_is_told_aloud_and_the_next_press_works(outcome, interpreter):
    run = outcome("an uplink slower than speech", interpreter)
    assert run.errors == ["slow"] and run.outcomes == ["failed", "answered"], run.result.why()
    assert run.traced("uplink_drop"), "how much was lost is in the trace"
    conversation.assert_heard_then_beeps(run, [], (run.cloud.turns[-1], "whole"), has_beeps=True)
    question = run.cloud.utterances[-1]
    assert question.fate == "completed"
    conversation.place_of(run, question)
    assert len(run.cloud.connections) == 1, "slow is not broken"


@pytest.mark.parametrize("interpreter", SCENES["a goodbye of TLS without the end of TCP"].on)
def test_a_goodbye_of_tls_alone_is_noticed_at_the_idle_timeout_at_the_latest(outcome, interpreter):
    """MicroPython's readinto swallows an alert right behind data; that of TCP is then all that tells."""
    run = outcome("a goodbye of TLS without the end of TCP", interpreter)
    assert run.outcomes == ["cut", "answered"], run.result.why()
    error = run.result.of_kind("error")[0]
    late_ms = run.result.report_ms(error) - run.received(DELTA)[LATER - 1].t_ms
    assert late_ms < (500 if interpreter == CPYTHON else QUICK["idle_timeout_ms"] + 1200)


def test_no_run_did_what_none_may_do(outcome):
    conversation.assert_well_behaved(outcome.all)
