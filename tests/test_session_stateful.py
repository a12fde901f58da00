"""The session in every order of events: by chance (Hypothesis), and every pair of state and event one by one.

What must hold is in session_world.World.check; that the speaker recovers is settle() and assert_works().
"""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from session_world import World

from firmware import errors, events
from firmware.session import states

MODES = ("ptt_hold", "ptt_toggle", "free")
PTT_ONLY = (states.CALLING_TAIL, states.WAITING, states.TAIL)
REFUSALS = (
    errors.LinkError("refused", errors.CONNECT), errors.LinkError("no name", errors.DNS),
    errors.LinkError("bad certificate", errors.TLS), errors.CloudError("busy", errors.BUSY),
    errors.CloudError("the token is old", errors.TOKEN), "silent",
)  # fmt: skip
CODES = (4000, 4002, 4027, 4100, 4104, 4105, 5000)


# -- reaching each state as a person and a network would


def to_offline(world):
    world.is_refusing = REFUSALS[0]
    world.pass_ms(100)
    for _ in range(100):
        if world.state == states.OFFLINE:
            return
        world.pass_ms(20)


def to_connecting(world):
    world.is_refusing = "silent"
    world.pass_ms(20)
    world.server.accepts = False


def to_idle(world):
    world.pass_ms(200)


def to_standby(world):
    to_idle(world)
    world.pass_ms(world.config.keep_link_ms + 200)


def begin(world):
    """Press as a question begins."""
    if world.mode == "ptt_hold":
        world.press()
    else:
        world.click()


def finish(world):
    """End the question that begin() began."""
    world.pass_ms(world.config.multi_tap_ms + 50)
    if world.mode == "ptt_hold":
        world.release()
    else:
        world.click()


def to_calling(world):
    to_connecting(world)
    begin(world)


def to_calling_tail(world):
    to_calling(world)
    finish(world)


def to_waiting(world):
    to_calling_tail(world)
    world.pass_ms(world.config.tail_ms + 20)


def to_listening(world):
    to_idle(world)
    begin(world)


def to_tail(world):
    to_listening(world)
    finish(world)


def to_thinking(world):
    world.server.answers_by_itself = False
    if world.mode == "free":
        to_listening(world)
        world.pass_ms(100)
        world.do(world.server.hear_speech)
        world.pass_ms(340)
    else:
        to_tail(world)
        world.pass_ms(world.config.tail_ms + 40)


def to_speaking(world):
    to_thinking(world)
    answer = world.server.answers[-1]
    world.do(lambda: world.server.create(answer))
    for _ in range(3):
        world.do(lambda: world.server.piece(answer))


def to_finishing(world):
    to_speaking(world)
    world.lose_link()


WAYS = {
    states.STANDBY: to_standby, states.OFFLINE: to_offline, states.CONNECTING: to_connecting,
    states.CALLING: to_calling,
    states.CALLING_TAIL: to_calling_tail, states.WAITING: to_waiting, states.IDLE: to_idle,
    states.LISTENING: to_listening, states.TAIL: to_tail, states.THINKING: to_thinking, states.SPEAKING: to_speaking,
    states.FINISHING: to_finishing,
}  # fmt: skip


def has_state(mode, state):
    return mode != "free" or state not in PTT_ONLY


# -- what may happen in any of them


def happenings():
    """{name: action(world)}: every event of the table by itself, and everything that has more behind it."""
    found = {}
    for event in events.TABLE_EVENTS:
        # Some are only ever posted when they are true.
        if event not in (events.UTTERANCE_END, events.OVERFLOW, events.DRAINED, events.LINK_READY):
            found["event " + event] = lambda world, event=event: world.do(lambda: world.session.post(event))
    found["a press"] = World.press
    found["a click"] = World.click
    found["two clicks"] = lambda world: (world.click(), world.pass_ms(60), world.click())
    found["five clicks"] = lambda world: [(world.click(), world.pass_ms(60)) for _ in range(5)]
    found["a release, if it is held"] = lambda world: world.is_down and world.release()
    found["the link is lost"] = World.lose_link
    found["the link is lost for a while"] = lambda world: (
        setattr(world, "is_refusing", REFUSALS[0]), world.lose_link(), world.pass_ms(700)
    )  # fmt: skip
    found["the link carries nothing"] = lambda world: (setattr(world, "is_link_slow", True), world.pass_ms(1500))
    found["the microphone dies"] = lambda world: (setattr(world, "is_mic_dead", True), world.pass_ms(1500))
    found["a fault of the microphone"] = lambda world: world.do(
        lambda: world.uplink.is_recording and world.session.fault(events.FAILED, errors.AudioError("deaf"))
    )
    for code in CODES:
        found["error %d" % code] = lambda world, code=code: world.do(lambda: world.server.error(code))
    found["an answer to the last question"] = lambda world: latest(world, "create", "piece", "end")
    found["its first sound"] = lambda world: latest(world, "create", "piece")
    found["it fails"] = lambda world: latest(world, "create", "fail")
    found["a late piece of an old answer"] = lambda world: oldest(world, "piece")
    found["the end of an old answer"] = lambda world: oldest(world, "end")
    found["a cancellation that nobody asked for"] = lambda world: world.do(world.server.canceled)
    found["nothing for a second"] = lambda world: world.pass_ms(1000)
    found["nothing for ever"] = lambda world: world.pass_ms(9000)
    return found


def latest(world, *steps):
    if world.server.answers:
        take(world, world.server.answers[-1], steps)


def oldest(world, *steps):
    if world.server.answers and world.server.answers[0].is_created:
        take(world, world.server.answers[0], steps)


def take(world, answer, steps):
    for step in steps:
        if step != "create" or not answer.is_created:
            world.do(lambda: getattr(world.server, step)(answer))


HAPPENINGS = happenings()


@pytest.mark.parametrize("mode", MODES)
def test_every_pair_of_state_and_event_recovers(mode, show_figure):
    pairs = 0
    for state in [state for state in WAYS if has_state(mode, state)]:
        for name, action in HAPPENINGS.items():
            world = World(mode)
            try:
                WAYS[state](world)
                assert world.state == state
                action(world)
                world.settle()
                world.assert_works()
                world.settle()
            except AssertionError as error:
                raise AssertionError("%s, %s, %s: %s" % (mode, state, name, error)) from error
            finally:
                world.close()
            pairs += 1
    show_figure("session, %s: %d pairs of state and event, each followed by a turn that was answered" % (mode, pairs))


def test_a_cloud_that_drops_an_answer_costs_one_turn_more_at_the_most():
    """It may be confounded with the next question's; from then on every press gets its answer."""
    for drop in ("waited for", "stopped", "pressed over"):
        world = World("ptt_hold")
        world.settle()
        to_thinking(world)
        world.server.answers[-1].is_ended = True
        if drop == "waited for":
            world.pass_ms(world.config.answer_wait_ms + 200)
        elif drop == "stopped":
            world.click()
            world.pass_ms(60)
            world.click()
        else:
            world.press()
        world.settle()
        if drop != "waited for":
            world.ask()
            world.settle()
        world.assert_works()
        world.close()


@pytest.mark.parametrize("mode", ("ptt_hold", "ptt_toggle"))
def test_a_question_asked_while_an_attempt_fails_goes_out_with_the_next_one(mode):
    for state in (states.CALLING, states.CALLING_TAIL, states.WAITING):
        world = World(mode, press_wait_ms=3000, uplink_queue_ms=4000)
        WAYS[state](world)
        world.is_refusing = None
        world.lose_link()
        world.pass_ms(40)
        assert world.state == state, "the recording goes on"
        assert world.errors, "the attempt has failed"
        world.server.be_good()
        if state == states.CALLING:
            finish(world)
        world.settle()
        assert [turn["outcome"] for turn in world.turns] == ["answered"], (mode, state)
        world.close()


@pytest.mark.parametrize("mode", MODES)
def test_attempts_to_connect_are_never_a_storm(mode):
    """From wherever the link is lost: 100 ms doubled up to 800, with chance; a press comes on top."""
    for state in WAYS:
        if has_state(mode, state) and state != states.STANDBY:
            world = World(mode)
            WAYS[state](world)
            world.is_refusing = REFUSALS[0]
            world.lose_link()
            before = world.attempts
            world.pass_ms(10_000)
            assert 8 <= world.attempts - before <= 30, (mode, state, world.attempts - before)
            world.close()


# -- by chance


class Life(RuleBasedStateMachine):
    """A speaker's life in one mode; at its end everything is well again, and it must be as good as new."""

    mode = ""

    def __init__(self):
        super().__init__()
        self.world = World(self.mode)

    @rule(ms=st.sampled_from((0, 20, 60, 100, 260, 300, 420, 700, 1600, 5000)))
    def time_passes(self, ms):
        self.world.pass_ms(ms)

    @precondition(lambda self: not self.world.is_down)
    @rule()
    def press(self):
        self.world.press()

    @precondition(lambda self: self.world.is_down)
    @rule()
    def release(self):
        self.world.release()

    @rule(refusal=st.sampled_from((None,) + REFUSALS))
    def connecting_ends_so(self, refusal):
        self.world.is_refusing = refusal

    @rule(kind=st.sampled_from((errors.CONNECT, errors.WIFI, errors.TIMEOUT)))
    def lose_link(self, kind):
        self.world.lose_link(kind)

    @rule(is_slow=st.booleans())
    def uplink_slow(self, is_slow):
        self.world.is_link_slow = is_slow

    @rule(is_dead=st.booleans())
    def mic_dead(self, is_dead):
        self.world.is_mic_dead = is_dead

    @rule(by_itself=st.booleans(), accepts=st.booleans(), acknowledges=st.booleans())
    def manners_of_the_cloud(self, by_itself, accepts, acknowledges):
        server = self.world.server
        server.answers_by_itself, server.accepts, server.acknowledges_cancel = by_itself, accepts, acknowledges

    @precondition(lambda self: self.mode == "free")
    @rule()
    def somebody_speaks(self):
        self.world.do(self.world.server.hear_speech)

    @precondition(lambda self: self.world.server.answers)
    @rule(data=st.data(), step=st.sampled_from(("piece", "end", "fail")))
    def step_of_an_answer(self, data, step):
        """Of any question, in any order, but first created, and created in the order of the questions."""
        server = self.world.server
        answer = data.draw(st.sampled_from(server.answers))
        for older in server.answers[: answer.number]:
            if not older.is_created and not older.is_ended:
                self.world.do(lambda: server.create(older))
        if answer.is_created:
            self.world.do(lambda: getattr(server, step)(answer))

    @rule(code=st.sampled_from(CODES))
    def error_of_the_cloud(self, code):
        self.world.do(lambda: self.world.server.error(code))

    @rule()
    def cancellation(self):
        self.world.do(self.world.server.canceled)

    @rule()
    def fault_of_the_microphone(self):
        HAPPENINGS["a fault of the microphone"](self.world)

    @invariant()
    def what_always_holds(self):
        self.world.check()

    def teardown(self):
        try:
            self.world.settle()
            self.world.pass_ms(11_000)  # what the cloud still owed is forgotten
            self.world.settle()
            self.world.assert_works()
        finally:
            self.world.close()


def life(mode_):
    class ThisLife(Life):
        mode = mode_

    ThisLife.__name__ = "Life_" + mode_
    test = ThisLife.TestCase
    test.settings = settings(
        max_examples=50, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
    )
    return test


TestHold = life("ptt_hold")
TestToggle = life("ptt_toggle")
TestFree = life("free")
