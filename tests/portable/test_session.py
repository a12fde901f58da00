"""The session with its parts replaced by notebooks: which orders are given, in which order, and when."""

import asyncio
import json

from check import now_ms, ports, run_stepped
from test_table import reached

from firmware import errors, events, report, trace
from firmware.session import runner, states, table

LIMITS = {
    "retry_ms": 300, "connect_limit_ms": 15000, "press_wait_ms": 5000, "keep_link_ms": 300000, "listen_max_ms": 60000,
    "tail_limit_ms": 1000, "answer_wait_ms": 20000, "stall_ms": 10000, "free_idle_ms": 120000,
}  # fmt: skip


class Notebook:
    """Stands for a part: every call is written into one shared list."""

    def __init__(self, name, orders, **fields):
        self._name = name
        self._orders = orders
        self._fields = fields

    def __getattr__(self, name):
        fields = self.__dict__["_fields"]
        if name in fields:
            return fields[name]

        def note(*args):
            self._orders.append((self._name + "." + name,) + args)
            return fields.get("_" + name)

        return note


class Session:
    """A runner in a test's words; `orders` is all it told its parts, `lines` all it told the person."""

    def __init__(self, mode="ptt_hold"):
        self.orders = []
        self.lines = []
        report.sink = lambda line: self.lines.append(json.loads(line))
        self.player = Notebook(
            "player", self.orders, samples_played=0, bytes_cut=0, underruns=0, underrun_ms=0, _flush=0
        )
        self.intake = Notebook("intake", self.orders, _offer=False)
        self.uplink = Notebook("uplink", self.orders, is_unsent=lambda: False, is_recording=True, was_resumed=False)
        self.cloud = Notebook(
            "cloud", self.orders, _interrupt=b"cancel", _clear=b"clear", reply=None, audio_buf=b"", audio_at=0, audio_n=4,
            malformed_count=0, unknown_count=0,
        )  # fmt: skip
        self.link = Notebook("link", self.orders, is_up=True, is_starting=False, _retry_delay_ms=400)
        self.runner = runner.Runner(
            mode, dict(LIMITS), ports(), trace.Trace(now_ms), self.player, self.intake, self.uplink, self.cloud, self.link, lambda s: None
        )
        self.runner.start()

    def after(self, *happened):
        """Post these events and return the orders they caused."""
        del self.orders[:]
        for event in happened:
            self.runner.post(event)
        return [order[0] for order in self.orders]

    def connected(self):
        self.after(events.DEADLINE, events.LINK_READY)
        assert self.runner.state == states.IDLE
        return self

    def speaking(self):
        self.connected().after(events.PRESS, events.RELEASE, events.UTTERANCE_END, events.AUDIO)
        return self

    def told(self, kind):
        return [line for line in self.lines if line["kind"] == kind]


def test_a_whole_turn():
    session = Session().connected()
    assert session.after(events.PRESS)[-2:] == ["link.send", "uplink.start"]
    assert session.runner.state == states.LISTENING
    assert session.after(events.RELEASE) == ["uplink.finish"]
    assert session.after(events.UTTERANCE_END) == []
    assert session.runner.state == states.THINKING
    assert session.after(events.AUDIO) == ["intake.begin"]
    assert session.after(events.AUDIO, events.AUDIO_DONE) == ["player.complete"]
    session.after(events.DRAINED)
    assert session.runner.state == states.IDLE
    turns = session.told("turn")
    assert len(turns) == 1 and turns[0]["outcome"] == "answered" and turns[0]["release_ms"] == 0


def test_barge_in_is_silence_first_then_cancel_then_recording():
    session = Session().speaking()
    orders = session.after(events.PRESS)
    assert orders[0] == "player.flush"
    assert orders.index("link.send") < orders.index("uplink.start")
    assert ("link.send", b"cancel") in session.orders
    assert session.runner.state == states.LISTENING
    assert session.told("turn")[0]["outcome"] == "interrupted"


def test_a_tap_takes_the_question_back():
    session = Session().connected()
    session.after(events.PRESS)
    assert "uplink.abort" in session.after(events.TAP)
    assert ("link.send", b"clear") in session.orders
    assert session.runner.state == states.IDLE
    assert session.told("turn")[0]["outcome"] == "discarded"


def test_a_question_taken_back_while_the_link_is_made_is_reported_at_once():
    for happened in (
        (events.PRESS, events.TAP),
        (events.PRESS, events.RELEASE, events.STOP),
        (events.PRESS, events.RELEASE, events.UTTERANCE_END, events.STOP),
        (events.PRESS, events.RELEASE, events.UTTERANCE_END, events.PRESS),
    ):
        session = Session()
        session.link._fields["is_up"] = False
        session.link._fields["is_starting"] = True
        session.after(events.DEADLINE)
        assert "link.send" not in session.after(*happened), "the cloud has heard nothing of it"
        assert [turn["outcome"] for turn in session.told("turn")] == ["discarded"], happened


def test_a_question_interrupted_before_it_was_sent_is_cleared_not_cancelled():
    session = Session().connected()
    session.after(events.PRESS, events.RELEASE, events.UTTERANCE_END)
    session.uplink._fields["is_unsent"] = lambda: True
    session.cloud._fields["_interrupt"] = None
    session.after(events.PRESS)
    sent = [order[1] for order in session.orders if order[0] == "link.send"]
    assert sent == [b"clear"]
    assert [order[0] for order in session.orders].index("uplink.abort") < [order[0] for order in session.orders].index("uplink.start")


def test_a_lost_link_while_speaking_plays_what_was_accepted_and_then_reconnects():
    session = Session().speaking()
    session.after()
    session.link._fields["is_up"] = False
    session.runner.fault(events.LINK_LOST, errors.LinkError("gone"))
    assert session.runner.state == states.FINISHING
    assert "player.flush" not in [order[0] for order in session.orders]
    session.after(events.DRAINED)
    assert session.runner.state == states.OFFLINE
    assert session.told("turn")[0]["outcome"] == "cut"


def test_a_press_while_the_rest_is_played_asks_anew():
    session = Session().speaking()
    session.link._fields["is_up"] = False
    session.runner.fault(events.LINK_LOST, errors.LinkError("gone"))
    orders = session.after(events.PRESS)
    assert session.runner.state == states.CALLING
    assert orders[0] == "player.flush" and "uplink.start" in orders and "link.start" in orders


def test_a_press_while_connecting_records_and_fails_aloud_in_time():
    session = Session()
    session.after(events.DEADLINE)
    assert session.runner.state == states.CONNECTING

    async def main():
        watch = asyncio.create_task(session.runner.run())
        session.runner.post(events.PRESS)
        assert ("uplink.start", False) in session.orders
        began_ms = now_ms()
        session.runner.post(events.RELEASE)
        session.runner.post(events.UTTERANCE_END)
        while session.runner.state == states.WAITING:
            await ports().sleep_ms(10)
        watch.cancel()
        return now_ms() - began_ms

    waited_ms = run_stepped(main)
    assert 5000 <= waited_ms <= 5150, waited_ms
    orders = [order[0] for order in session.orders]
    assert "uplink.abort" in orders and "player.alert" in orders
    assert session.told("turn")[0]["outcome"] == "failed"


def test_no_state_but_rest_outlives_its_deadline():
    """Left alone in any state, the session comes to rest."""
    for mode in ("ptt_hold", "ptt_toggle", "free"):
        for state in reached(table.table_for(mode)):
            session = Session(mode)

            async def main():
                session.runner.state = state
                session.runner._set_deadline(1)
                watch = asyncio.create_task(session.runner.run())
                await ports().sleep_ms(200_000)
                watch.cancel()

            run_stepped(main, limit_ms=400_000)
            resting = (states.IDLE, states.STANDBY, states.CONNECTING, states.OFFLINE)
            assert session.runner.state in resting, (mode, state, session.runner.state)


def test_a_long_answer_that_is_still_heard_is_not_cut():
    session = Session()

    async def main():
        session.speaking()
        watch = asyncio.create_task(session.runner.run())
        for _ in range(60):
            await ports().sleep_ms(1000)
            session.player._fields["samples_played"] += 16000
        await ports().sleep_ms(LIMITS["stall_ms"] - 200)
        heard = session.runner.state
        await ports().sleep_ms(400)
        stalled = session.runner.state
        await ports().sleep_ms(LIMITS["stall_ms"] + 200)
        watch.cancel()
        return heard, stalled

    assert run_stepped(main) == (states.SPEAKING, states.FINISHING), "silence is counted from the last sample on"
    assert session.runner.state == states.IDLE and session.told("turn")[0]["outcome"] == "cut"


def test_audio_is_played_only_while_an_answer_is_expected():
    session = Session().connected()
    session.after(events.PRESS)
    session.cloud._fields["_receive"] = events.AUDIO
    session.after()
    session.runner.receive(bytearray(4), 0, 4)
    assert "intake.offer" not in [order[0] for order in session.orders]
    session.after(events.RELEASE, events.UTTERANCE_END)
    session.runner.receive(bytearray(4), 0, 4)
    assert [order[0] for order in session.orders][-2:] == ["intake.begin", "intake.offer"]


def test_every_pair_of_state_and_event_is_survived():
    for mode in ("ptt_hold", "ptt_toggle", "free"):
        for state in states.STATES:
            for event in events.TABLE_EVENTS:
                session = Session(mode)
                session.runner.state = state
                session.runner.fault(event, errors.LinkError("x"))
                assert session.runner.state in states.STATES


def test_free_talk_starts_goes_on_after_an_answer_and_ends_by_a_click():
    session = Session("free").connected()
    assert ("uplink.start", True) in (session.after(events.PRESS), session.orders)[1]
    session.after(events.SPEECH_STARTED, events.SPEECH_STOPPED)
    assert session.runner.state == states.THINKING
    session.after(events.AUDIO, events.AUDIO_DONE, events.DRAINED)
    assert session.runner.state == states.LISTENING
    assert "uplink.abort" in session.after(events.PRESS)
    assert session.runner.state == states.IDLE


def test_free_talk_speech_over_the_answer_silences_it():
    session = Session("free").connected()
    session.after(events.PRESS, events.SPEECH_STARTED, events.SPEECH_STOPPED, events.AUDIO)
    assert session.after(events.SPEECH_STARTED)[0] == "player.flush"
    assert session.runner.state == states.LISTENING
    assert session.told("turn")[0]["outcome"] == "interrupted"


def test_free_talk_that_goes_on_before_the_answer_begins_is_no_answer():
    session = Session("free").connected()
    session.after(events.PRESS, events.SPEECH_STARTED, events.SPEECH_STOPPED, events.SPEECH_STARTED)
    session.after(events.SPEECH_STOPPED, events.CANCELLED)
    session.after(events.SPEECH_STARTED, events.SPEECH_STOPPED, events.NOTHING_HEARD)
    assert [turn["outcome"] for turn in session.told("turn")] == ["interrupted", "interrupted", "discarded"]


def test_five_taps_ask_for_provisioning_from_any_state():
    for state in states.STATES:
        session = Session()
        session.runner.state = state
        session.after(events.PROVISION)
        assert session.told("provision") and session.runner.state == state


def test_a_touch_within_the_tail_does_not_lose_the_question():
    session = Session().connected()
    session.after(events.PRESS, events.RELEASE, events.PRESS)
    assert session.runner.state == states.LISTENING
    session.uplink._fields["was_resumed"] = True
    assert session.after(events.TAP) == ["uplink.finish"]
    assert session.runner.state == states.TAIL


def test_speech_that_nobody_asked_for_ends_where_it_began():
    """A prologue in free talk: the microphone was never opened, so the speaker must not look as if it listened."""
    for ending in (events.DRAINED, events.CANCELLED, events.SPEECH_STARTED):
        session = Session("free").connected()
        session.uplink._fields["is_recording"] = False
        session.after(events.AUDIO)
        session.after(ending)
        assert session.runner.state == states.IDLE, ending
    session = Session("free").connected()
    session.uplink._fields["is_recording"] = False
    session.after(events.AUDIO)
    assert "uplink.start" in session.after(events.PRESS)
    assert session.runner.state == states.LISTENING


def test_a_question_cut_off_by_the_end_of_free_talk_is_dead():
    session = Session("free").connected()
    session.after(events.PRESS, events.SPEECH_STARTED, events.PRESS)
    assert session.runner.state == states.IDLE
    assert "cloud.interrupt" in session.after(events.SPEECH_STOPPED)


def test_an_answer_that_failed_half_way_is_dead():
    for mode in ("ptt_hold", "free"):
        rows = table.table_for(mode)
        _, effects = rows[(states.SPEAKING, events.FAILED)]
        assert "interrupt" in effects
        assert effects[0] == "cut"


def test_a_remark_is_shown_once_and_changes_nothing():
    session = Session().connected()
    for _ in range(3):
        session.runner.remark(errors.AudioError("the microphone is deaf"))
    assert len(session.told("error")) == 1
    assert session.runner.state == states.IDLE


def test_a_cause_that_is_gone_is_not_waited_for():
    session = Session()

    async def main():
        session.runner.post(events.DEADLINE)
        session.runner.fault(events.LINK_LOST, errors.LinkError("no network", errors.NETWORK))
        task = asyncio.create_task(session.runner.run())
        await ports().sleep_ms(100)
        assert session.runner.state == states.OFFLINE
        session.runner.hurry()
        await ports().sleep_ms(150)
        assert session.runner.state == states.CONNECTING
        session.runner.hurry()
        await ports().sleep_ms(150)
        assert session.runner.state == states.CONNECTING, "nothing else is hurried"
        task.cancel()

    run_stepped(main)
