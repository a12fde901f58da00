"""The connection on bad days: refused, untrusted, dropped, silent, flooded. It says so, and the next turn works."""

import json

import conversation
import pytest
from conversation import CPYTHON, EVERYWHERE, MPY64, TOKEN, Scene, answers, ask

BOTH = (CPYTHON, MPY64)
ACCEPTED = 12  # packets of 60 ms that arrive before an answer breaks off


def at_setup(code, msg="no"):
    return answers(700, connection_faults=[{"kind": "error", "on": "chat.created", "code": code, "msg": msg}])


def at_update(end):
    return answers(700, connection_faults=[{"kind": "close_for_update", "end": end}])


REFUSED = {  # name: (kind of the error, on which interpreters, how)
    "error 4000 at set-up": ("config", BOTH, {"cloud": at_setup(4000)}),
    "error 4100 at set-up": ("token", BOTH, {"cloud": at_setup(4100, "the token %s is invalid" % TOKEN)}),
    "error 4009 at set-up": ("busy", BOTH, {"cloud": at_setup(4009)}),
    "error 4027 at set-up": ("refused", BOTH, {"cloud": at_setup(4027)}),
    "HTTP 401": ("token", BOTH, {"cloud": answers(700, refuse_status=401)}),
    "HTTP 403": ("refused", BOTH, {"cloud": answers(700, refuse_status=403)}),
    "HTTP 404": ("config", (CPYTHON,), {"cloud": answers(700, refuse_status=404)}),
    "HTTP 503": ("busy", EVERYWHERE, {"cloud": answers(700, refuse_status=503)}),
    "a token that is not theirs": ("token", BOTH, {"server": {"token": "another"}}),
    "a token refused by an event": (
        "token", BOTH, {"server": {"token": "another"}, "cloud": answers(700, token_refusal="event")}
    ),
    "a wrong Sec-WebSocket-Accept": ("protocol", EVERYWHERE, {"cloud": answers(700, wrong_accept=True)}),
    "closed for our settings": ("busy", BOTH, {"cloud": at_update("close")}),
    "cut off for our settings": ("connect", BOTH, {"cloud": at_update("stream")}),
    "reset for our settings": ("connect", BOTH, {"cloud": at_update("reset")}),
    "a stranger's certificate": ("tls", EVERYWHERE, {"roots": "stranger"}),
    "a certificate of another host": ("tls", EVERYWHERE, {"server": {"tls_hosts": ("cloud.example",)}}),
    "no root at all": ("config", EVERYWHERE, {"roots": "none"}),
}  # fmt: skip

BROKEN = {  # name: (fault of the first answer, kind of the error, does the connection survive?, on)
    "the stream ends": ({"kind": "drop", "end": "stream"}, "connect", False, EVERYWHERE),
    "a close frame": ({"kind": "drop", "end": "close", "code": 1011}, "busy", False, BOTH),
    "a close frame without an error": ({"kind": "drop", "end": "close", "code": 1000}, "connect", False, BOTH),
    "an error event": ({"kind": "error", "code": 5000, "then": "stop"}, "busy", True, EVERYWHERE),
    "an error of this question": ({"kind": "error", "code": 4105, "then": "stop"}, "turn", True, BOTH),
    "an error and a close": ({"kind": "error", "code": 4027, "then": "close"}, "refused", False, (CPYTHON,)),
    "the turn fails": ({"kind": "failed", "code": 4013}, "busy", True, BOTH),
    "the answer stalls": ({"kind": "stall", "for_ms": 4000}, "timeout", True, BOTH),
    "a masked frame": ({"kind": "masked_frame"}, "protocol", False, EVERYWHERE),
    "reserved bits": ({"kind": "reserved_bits"}, "protocol", False, BOTH),
    "a long control frame": ({"kind": "long_control"}, "protocol", False, BOTH),
    "a stray continuation": ({"kind": "stray_continuation"}, "protocol", False, BOTH),
}

SCENES = {
    name: Scene("wait error 8000; sleep 100; quit", on=on, **how) for name, (_, on, how) in REFUSED.items()
}
for _name, (_fault, _kind, _, _on) in BROKEN.items():
    _again = "" if _kind == "refused" else "wait idle; " + ask(clip="again.wav") + "wait turn outcome=answered; "
    SCENES[_name] = Scene(
        "wait idle; " + ask() + "wait turn; " + _again + "quit",
        on=_on,
        cloud=answers(3000, 600, faults=[[dict(_fault, nth=ACCEPTED)]]),
        config={"retry_min_ms": 50, "stall_ms": 2000},
    )
NEXT = "wait idle; " + ask(clip="again.wav") + "wait turn outcome=answered; quit"
SCENES["no clock"] = Scene(
    "ntp down; wait error 8000; ntp up; " + NEXT, on=BOTH, config={"clock_timeout_ms": 1000, "retry_min_ms": 50},
    blocks=True,
)  # fmt: skip
SCENES["no clock and no wish for one"] = Scene("ntp down; " + NEXT, config={"tls_verify": False}, roots="none")
SCENES["an empty answer to our settings"] = Scene(
    "wait error 12000; sleep 100; quit",
    on=BOTH,
    cloud=answers(700, connection_faults=[{"kind": "slow_updated", "by_ms": 60000}]),
    config={"wifi_timeout_ms": 1000, "clock_timeout_ms": 1000, "connect_timeout_ms": 1000},
)
SCENES["a slow answer to our settings"] = Scene(
    NEXT, on=BOTH, cloud=answers(700, connection_faults=[{"kind": "slow_updated", "by_ms": 2000}])
)
SCENES["Wi-Fi gone at rest"] = Scene(
    "wait idle; wifi down; wait error error_kind=wifi; sleep 300; wifi up; " + NEXT,
    on=BOTH,
    config={"retry_min_ms": 50},
)
SCENES["Wi-Fi gone in an answer"] = Scene(
    "wait idle; " + ask() + "wait speaking; sleep 300; wifi down; wait turn; wifi up; " + NEXT,
    on=EVERYWHERE,
    cloud=answers(5000, 600),
    config={"retry_min_ms": 50},
)
SCENES["Wi-Fi gone in a question"] = Scene(
    "wait idle; say ask.wav; sleep 150; press; sleep 250; wifi down; wait turn; release; sleep 400; wifi up; " + NEXT,
    on=BOTH,
    cloud=answers(600),
    config={"retry_min_ms": 50},
)
SCENES["a flood"] = Scene(
    "wait idle; " + ask() + "wait turn; " + NEXT,
    on=EVERYWHERE,
    cloud=answers(12000, 600, synthesis_speed=1000.0, ping_period_ms=250),
    config={"pacing_frames": 0, "answer_max_s": 5, "ring_full_wait_ms": 500},
)


@pytest.fixture(scope="module")
def outcome(request, tmp_path_factory):
    return conversation.play(request, tmp_path_factory)


def cases(table):
    """(name, interpreter) for each row; the interpreters stand in its last tuple."""
    return [(name, each) for name, row in table.items() for cell in row if type(cell) is tuple for each in cell]


def same_settings(run):
    """Every chat.update is the whole first one, with the id of the conversation that it goes on with."""
    first, *others = [message.data for message in run.sent("chat.update")]
    assert first["input_audio"] and first["output_audio"] and first["event_subscriptions"]
    for again in others:
        assert again["chat_config"].pop("conversation_id") == run.cloud.turns[0].conversation_id
        assert again == first
    return len(others) + 1


@pytest.mark.parametrize("name, interpreter", cases(REFUSED))
def test_a_refusal_is_told_by_its_kind(outcome, name, interpreter):
    run = outcome(name, interpreter)
    assert set(run.errors) == {REFUSED[name][0]}, run.result.why()
    assert run.result.states()[-1] == "offline" and run.cloud.utterances == []
    report = run.result.of_kind("error")[0]
    assert len(report["text"]) > 30, "cause and cure in words"
    if REFUSED[name][0] == "tls" or name == "no root at all":
        assert run.cloud.connections == [] and run.cloud.cloud.refusals == [], "the token went to nobody"


@pytest.mark.parametrize("name, interpreter", cases(BROKEN))
def test_what_was_accepted_is_played_and_the_turn_counts_as_cut(outcome, name, interpreter):
    run = outcome(name, interpreter)
    assert run.outcomes[0] == "cut", run.result.why()
    assert run.errors[0] == BROKEN[name][1]
    others = [(turn, "whole") for turn in run.cloud.turns[1:]]
    heard = conversation.assert_played(run, (run.cloud.turns[0], "part"), *others)[0]
    assert len(heard.samples) == ACCEPTED * 480, "to the last sample of what had come, and no more"
    assert run.turns[0]["samples_played"] == len(heard.samples)


@pytest.mark.parametrize("name, interpreter", [case for case in cases(BROKEN) if BROKEN[case[0]][1] != "refused"])
def test_the_next_turn_works_after_a_broken_one(outcome, name, interpreter):
    run = outcome(name, interpreter)
    assert run.outcomes == ["cut", "answered"] and len(run.errors) == 1
    assert len(run.cloud.connections) == same_settings(run) == (1 if BROKEN[name][2] else 2)
    if not BROKEN[name][2]:
        again_ms = run.sent("chat.update")[1].t_ms - run.result.report_ms(run.turns[0])
        assert again_ms < 1000, "the first attempt comes within a second"


@pytest.mark.parametrize("interpreter", BOTH)
def test_without_the_time_nothing_is_trusted(outcome, interpreter):
    run = outcome("no clock", interpreter)
    assert set(run.errors) == {"clock"} and run.outcomes == ["answered"]
    assert "ntp_host" in run.result.of_kind("error")[0]["text"]
    assert len(run.cloud.connections) == 1, "and none before the time was known"


def test_who_verifies_nothing_is_told_so_at_every_start(outcome):
    run = outcome("no clock and no wish for one")
    assert run.outcomes == ["answered"] and run.errors == []
    assert any("tls_verify" in report["text"] for report in run.result.of_kind("warning"))


@pytest.mark.parametrize("interpreter", BOTH)
def test_a_cloud_that_never_accepts_the_settings_is_given_up(outcome, interpreter):
    run = outcome("an empty answer to our settings", interpreter)
    assert run.errors == ["timeout"]
    assert run.result.states()[-1] == "offline"


@pytest.mark.parametrize("interpreter", BOTH)
def test_a_cloud_that_takes_its_time_is_waited_for(outcome, interpreter):
    run = outcome("a slow answer to our settings", interpreter)
    assert run.errors == [] and run.outcomes == ["answered"]
    assert run.state_ms("idle") - run.sent("chat.update")[0].t_ms >= 2000


@pytest.mark.parametrize("interpreter", BOTH)
def test_wifi_that_comes_back_is_used_again(outcome, interpreter):
    run = outcome("Wi-Fi gone at rest", interpreter)
    assert run.errors[0] == "wifi" and run.outcomes == ["answered"]
    conversation.assert_played(run, (run.cloud.turns[0], "whole"))
    assert len(run.cloud.connections) == 2


@pytest.mark.parametrize("interpreter", EVERYWHERE)
def test_wifi_that_goes_in_an_answer_cuts_it_behind_what_had_come(outcome, interpreter):
    run = outcome("Wi-Fi gone in an answer", interpreter)
    first, second = run.cloud.turns
    assert run.errors[0] == "wifi" and run.outcomes == ["cut", "answered"]
    heard, _ = conversation.assert_played(run, (first, "part"), (second, "whole"))
    assert len(heard.samples) == 17 * 480, "the first window, which came at once"
    assert same_settings(run) == 2


@pytest.mark.parametrize("interpreter", BOTH)
def test_wifi_that_goes_in_a_question_fails_it_aloud(outcome, interpreter):
    run = outcome("Wi-Fi gone in a question", interpreter)
    assert run.errors[0] == "wifi" and run.outcomes == ["failed", "answered"]
    spans = run.result.speaker["spans"]
    assert spans[0][0] * 1000 / run.rate_hz < run.at_ms("wifi up"), "at once"
    beeps = [span for span in spans if span[1] < spans[-1][0]]
    assert len(beeps) == 1 and beeps[0][1] - beeps[0][0] == pytest.approx(3 * 720, abs=60), "three notes: Wi-Fi"
    assert run.cloud.turns[0].utterance.number == len(run.cloud.utterances)


@pytest.mark.parametrize("interpreter", EVERYWHERE)
def test_a_flood_fills_the_ring_and_nothing_else_stops(outcome, interpreter):
    run = outcome("a flood", interpreter)
    first, second = run.cloud.turns
    assert run.outcomes == ["cut", "answered"] and run.errors == [], run.result.why()
    heard, _ = conversation.assert_played(run, (first, "part"), (second, "whole"))
    report = run.turns[0]
    assert 40_000 <= len(heard.samples) == report["samples_played"], "the ring holds 5 s"
    assert len(heard.samples) + report["bytes_cut"] == len(first.sent) == len(first.planned)
    assert len(run.cloud.connections) == 1
    (link,) = run.cloud.connections
    assert link.pings > 20 and link.missed_pongs <= 2, "every ping was answered meanwhile"


def test_the_server_is_named_in_a_refusal_for_its_support(outcome):
    run = outcome("HTTP 503")
    report = run.result.of_kind("error")[0]
    refusal = run.cloud.cloud.refusals[0]
    assert report["log_id"] == json.loads(refusal.body)["detail"]["logid"]


def test_no_run_did_what_none_may_do(outcome):
    conversation.assert_well_behaved(outcome.all)
