"""What happens to the board itself, and what fingers do at the worst instants."""

import errno
import json
import os
import tempfile

from . import DEVICE, fault

_YEAR_S = 31_557_600


# The processor


@fault("collector_pauses", DEVICE, ms=(20, 200), every_ms=(300, 3000), for_ms=(10_000, 40_000))
def collector_pauses(run, p):
    """Again and again everything stands still for the collector."""
    end_us = run.clock.now_us() + 1000 * p["for_ms"]

    def pause():
        if run.clock.now_us() < end_us:
            run.loop.pause_us += 1000 * p["ms"]
            run.clock.after_ms(p["every_ms"], pause)

    pause()
    return run.turn(run, "collect_ms", p["ms"])


@fault("slow_cpu", DEVICE, step_us=(300, 1500), for_ms=(10_000, 30_000))
def slow_cpu(run, p):
    """Each step of each task takes its time: a processor ten times slower than the speaker's."""
    return run.turn(run.loop, "step_us", p["step_us"])


@fault("no_memory", DEVICE, every=(2, 9), for_ms=(5000, 20_000))
def no_memory(run, p):
    """Every so many allocations for a message fails."""
    from firmware.clouds import coze
    from firmware.net import link

    calls = [0]

    def failing(function):
        def call(*arguments):
            calls[0] += 1
            if calls[0] % p["every"] == 0:
                raise MemoryError("memory allocation failed (storm)")
            return function(*arguments)

        return call

    class Json:
        loads = staticmethod(failing(coze.json.loads))
        dumps = staticmethod(coze.json.dumps)

    backs = [run.turn(coze, "json", Json), run.turn(link, "_with_headroom", failing(link._with_headroom))]

    def back():
        for one in backs:
            one()

    run.allows_memory_errors = True
    return back


@fault("clock_jump", DEVICE, years=(-60, 60), for_ms=(5000, 20_000))
def clock_jump(run, p):
    """The wall clock jumps by years, and the connection is made anew."""
    run.world.set_unix_s(run.world.unix_s() + p["years"] * _YEAR_S)
    run.network.reset_all()

    def back():
        run.world.set_unix_s(run.world.true_unix_s())

    return back


@fault("no_time", DEVICE, for_ms=(5000, 30_000))
def no_time(run, p):
    """The clock has forgotten the date, no time server answers, and the connection is made anew."""
    run.world.set_unix_s(946_684_800)
    run.world.ntp(False)
    run.network.reset_all()
    return lambda: run.world.ntp(True)


# The microphone and the loudspeaker


@fault("mic_fault", DEVICE, how=("zeros", "dc"), for_ms=(3000, 15_000))
def mic_fault(run, p):
    """The microphone delivers zeros, or one constant value."""
    return run.turn(run.room, "fault", p["how"])


def _bus(run, side, error):
    faults = run.world.i2s_faults
    faults[side] = error

    def back():
        faults.pop(side, None)

    return back


@fault("mic_silent", DEVICE, for_ms=(500, 8000))
def mic_silent(run, p):
    """The microphone delivers nothing at all."""
    return _bus(run, "rx", 0)


@fault("mic_error", DEVICE, for_ms=(50, 5000))
def mic_error(run, p):
    """Reading the microphone's bus is an error."""
    return _bus(run, "rx", errno.EIO)


@fault("speaker_error", DEVICE, for_ms=(50, 5000))
def speaker_error(run, p):
    """Writing to the loudspeaker's bus is an error."""
    return _bus(run, "tx", errno.EIO)


@fault("no_bus", DEVICE, for_ms=(1000, 6000))
def no_bus(run, p):
    """The microphone's bus fails, and no bus can be started meanwhile."""
    backs = [_bus(run, "init", errno.ENOMEM), _bus(run, "rx", errno.EIO)]

    def back():
        for one in backs:
            one()

    return back


# Fingers


@fault("bounce", DEVICE, ms=(1, 19), for_ms=(10_000, 60_000))
def bounce(run, p):
    """The keys bounce for as long as keys do."""
    return run.turn(run.world.buttons, "_bounce_us", 1000 * p["ms"])


@fault("volume_keys", DEVICE, every_ms=(200, 3000), for_ms=(5000, 20_000))
def volume_keys(run, p):
    """Somebody plays with the volume keys, without turning the sound off."""
    end_us = run.clock.now_us() + 1000 * p["for_ms"]
    rng = run.knob_rng

    def key():
        if run.clock.now_us() < end_us:
            percent = run.speaker.player.volume_percent
            run.world.volume_key("up" if percent < 60 else "down" if percent > 120 else rng.choice(("up", "down")))
            run.clock.after_ms(80, run.world.volume_key, None)
            run.clock.after_ms(max(200, p["every_ms"]), key)

    key()
    return None


# Settings


@fault("settings_changed", DEVICE, every_ms=(400, 4000), for_ms=(5000, 30_000))
def settings_changed(run, p):
    """A host at the serial port turns the volume, sets settings and asks for the status while somebody talks. What is
    set waits for a restart, what is wrong is refused, and the conversation notices neither."""
    host = _SerialHost(run)
    end_us = run.clock.now_us() + 1000 * p["for_ms"]

    def ask():
        if run.clock.now_us() < end_us:
            host.ask()
            run.clock.after_ms(p["every_ms"], ask)

    ask()
    return host.end


class _SerialHost:
    """The desk of the speaker's console, with a settings file of its own; every reply is checked."""

    def __init__(self, run):
        from firmware import host_device
        from firmware.serial import desk

        self._run = run
        self._folder = tempfile.TemporaryDirectory(prefix="pipit-storm-settings-")
        path = os.path.join(self._folder.name, "config.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump({key: value for key, value in run.settings.items() if key != "tls_roots"}, file)
        device = host_device.SpeakerDevice(path, run.speaker)
        self._desk = desk.Desk(device, None, run.speaker.ports)
        self._asked = 0
        self._expected = {}  # id -> function of the reply: is it right?
        self._is_gone = False
        run.on_reply.append(self._on_reply)

    def ask(self):
        percent = self._run.knob_rng.randint(60, 120)
        mode = self._run.config.mode
        requests = (
            ({"do": "volume", "percent": percent}, lambda r: r["ok"] and r["percent"] == percent),
            ({"do": "set", "values": {"volume_percent": percent}}, lambda r: r["ok"] and (
                r["restart_needed"] is bool(r["changed"]))),
            ({"do": "set", "values": {"token": "pat_of_somebody_else", "listen_max_ms": 30_000}}, lambda r: r["ok"]),
            ({"do": "set", "values": {"volume_percent": 999}}, lambda r: not r["ok"]),
            ({"do": "mode", "mode": "free"}, lambda r: r["ok"]),
            ({"do": "status"}, lambda r: r["ok"] and r["mode"] == mode),
            ({"do": "config"}, lambda r: r["ok"]),
            ({"do": "trace"}, lambda r: r["ok"] or r["error_kind"] == "busy"),
        )
        request, is_right = requests[self._asked % len(requests)]
        self._asked += 1
        self._run.asked += 1
        number = self._run.asked
        self._expected[number] = is_right
        self._desk.line(json.dumps(dict(request, id=number)).encode())
        # A long reply takes its time on the UART, in which this host may have gone.
        if request["do"] != "trace" and number in self._expected and not self._is_gone:
            self._run.violate(4, "the console does not answer %s" % request)

    def _on_reply(self, report):
        is_right = self._expected.get(report["id"])
        if is_right is None:
            return
        if not report.get("more"):
            del self._expected[report["id"]]
        if not is_right(report):
            self._run.violate(4, "the console answers wrongly: %s" % report)

    def end(self):
        self._is_gone = True
        self._run.on_reply.remove(self._on_reply)
        self._folder.cleanup()


# Each of these, at the very instant at which each state begins.
STATES = ("standby", "offline", "connecting", "calling", "calling_tail", "waiting", "idle", "listening", "tail",
          "thinking", "speaking", "finishing")  # fmt: skip
ACTS = ("press", "tap", "two taps", "five taps", "hold", "reset", "close", "error", "failed", "canceled", "wifi",
        "audio")  # fmt: skip
# Free talk has no end that a button says, so no last syllable to wait for, and what is said while the link is made goes
# on when it is there.
_NOT_IN_FREE = ("calling_tail", "waiting", "tail")
_PAUSE_MS = 1500  # between two acts; otherwise nothing would ever come of anything
_STIR_MS = 8000
_STIR_LASTS_MS = 4000
_STIR_LATENCY_MS = 500
_FOLLOWERS = {"connecting": "waiting", "calling": "waiting", "calling_tail": "waiting"}


@fault("worst_instants", DEVICE, first=(0, len(ACTS) - 1), late_ms=(0, 0, 5, 20, 100, 400), for_ms=(30_000, 90_000))
def worst_instants(run, p):
    """Every pair of a state and a thing that can happen, one after the other, at the instant the state begins."""
    return _Instants(run, p["first"], p["late_ms"]).end


def possible_states(mode):
    return tuple(state for state in STATES if mode != "free" or state not in _NOT_IN_FREE)


def possible_pairs(mode):
    """The (state, act) that a speaker of this mode can meet."""
    return [(state, act) for state in possible_states(mode) for act in ACTS]


class _Instants:
    """Each state has its turn with each act that this run has not seen in it, in order. So that the states of a lost
    link come as well, the connection is cut now and then, and its successor takes its time; so that a whole question
    waits for the link, one is asked meanwhile."""

    def __init__(self, run, first, late_ms):
        self._run = run
        self._next = dict.fromkeys(STATES, first)
        self._gave_way = dict.fromkeys(STATES, False)
        self._late_ms = late_ms
        self._due_us = 0
        self._is_over = False
        self._slow = None  # what ends the slowness under way
        run.on_state.append(self._on_state)
        run.clock.after_ms(_STIR_MS, self._stir)

    def end(self):
        self._is_over = True
        self._run.on_state.remove(self._on_state)
        self._calm()

    def _stir(self):
        if not self._is_over:
            self._calm()
            self._slow = self._run.turn(self._run.network.weather, "latency_ms", _STIR_LATENCY_MS)
            self._run.network.reset_all()
            self._run.clock.after_ms(_STIR_LASTS_MS, self._calm)
            self._run.clock.after_ms(_STIR_MS + self._run.knob_rng.randrange(_STIR_MS), self._stir)

    def _calm(self):
        if self._slow is not None:
            self._slow()
            self._slow = None

    def _left(self, state):
        """How many acts this state has not met in this run."""
        return sum((state, act) not in self._run.pairs_met for act in ACTS)

    def _gives_way(self, state):
        """Every second time a state leaves the one that comes of it alone, if that one lacks more."""
        follower = _FOLLOWERS.get(state)
        is_poorer = follower in possible_states(self._run.config.mode) and self._left(follower) > self._left(state)
        self._gave_way[state] = is_poorer and not self._gave_way[state]
        return self._gave_way[state]

    def _is_done(self, state):
        """This state has met every act, and another one has not."""
        states = possible_states(self._run.config.mode)
        return not self._left(state) and any(self._left(one) for one in states)

    def _ask_meanwhile(self):
        """A whole question waits for the link only if somebody asks one now."""
        self._fingers(*((0, 500) if self._run.config.mode == "ptt_hold" else (0, 80, 500, 80)))

    def _act_for(self, state):
        """The next act in order, if there is one that the state has not met."""
        for i in range(len(ACTS)):
            act = ACTS[(self._next[state] + i) % len(ACTS)]
            if (state, act) not in self._run.pairs_met:
                break
        else:
            act = ACTS[self._next[state] % len(ACTS)]
        self._next[state] = ACTS.index(act) + 1
        return act

    def _on_state(self, state):
        run = self._run
        if self._gives_way(state):
            if state == "connecting":
                self._ask_meanwhile()
            return
        if run.clock.now_us() < self._due_us or self._is_done(state):
            return
        act = self._act_for(state)
        self._due_us = run.clock.now_us() + 1000 * _PAUSE_MS
        run.pairs_met.add((state, act))
        run.clock.after_ms(self._late_ms, self._act, act)

    def _act(self, act):
        if not self._is_over:
            getattr(self, "_" + act.replace(" ", "_"))()

    def _fingers(self, *times_ms):
        """Down, up, down, ... after so many ms each."""
        person = self._run.person
        at_ms = 0
        for i, ms in enumerate(times_ms):
            at_ms += ms
            self._run.clock.after_ms(at_ms, person.release if i % 2 else person.press)

    def _press(self):
        self._fingers(0, 600)

    def _tap(self):
        self._fingers(0, 60)

    def _two_taps(self):
        self._fingers(0, 60, 120, 60)

    def _five_taps(self):
        self._fingers(*(0, 60) + 4 * (120, 60))

    def _hold(self):
        self._fingers(0, 3000)

    def _reset(self):
        self._run.network.reset_all()

    def _close(self):
        from tools.cloud import outgoing

        self._with_far(lambda far: far.link.end(outgoing.Close(1011, "storm")))

    def _error(self):
        self._with_far(lambda far: far.link.send_error(5000, "storm"))

    def _failed(self):
        self._with_far(lambda far: far.link.fail(far.link._speaking, 4013, "storm"))

    def _canceled(self):
        from tools.cloud import events

        self._with_far(lambda far: far.link.send(events.TURN_CANCELED, {"code": 1, "msg": "storm"}))

    def _audio(self):
        from tools.cloud import records

        def speak(far):
            if far.link._speaking is None:
                far.link._play(records.GENERATED, self._run.stage.script(0).answer)

        self._with_far(speak)

    def _with_far(self, act):
        far = self._run.far_end()
        if far is not None and far.link.settings is not None:
            act(far)
            far._go_on()

    def _wifi(self):
        self._run.world.wifi(False)
        self._run.clock.after_ms(700, self._run.world.wifi, True)
