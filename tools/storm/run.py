"""One run: a seed, a plan and some minutes become a speaker, a person, a network, a cloud, and what came of them."""

import asyncio
import gc
import hashlib
import json
import random
import tempfile

import numpy

from firmware import trace as tr
from tools.cloud import protocol
from tools.storm import checks, plans, standins
from tools.storm.cloud_end import CloudEnd, Portal
from tools.storm.knobs import Knobs
from tools.storm.loop import Clock, Loop, Stuck
from tools.storm.network import Network
from tools.storm.person import Person
from tools.storm.room import Room
from tools.storm.stage import Stage

UNIX_START_S = 1_800_000_000
TOKEN = "pat_never-to-be-seen-in-a-storm-4711"
WIFI_PASSWORD = "never-to-be-seen-in-the-air"
TICK_MS = 100
LAST_LINES = 60
_HASTY_AUDIO_MS = 120
_TURNS_PER_LINK = 100  # of a run that is asked for a number of turns
_COLLECT_MS = 12  # of an undisturbed collection
_TICKS_PERIOD = 1 << 30

_MODES = ("ptt_hold", "ptt_hold", "ptt_toggle", "free")
_BOARDS = ("bread_compact_wifi", "sim")
_CODECS = (("pcm", "pcm", 16000), ("g711a", "g711a", 8000), ("pcm", "pcm", 24000), ("g711u", "g711u", 8000),
           ("g711a", "pcm", 16000), ("pcm", "g711a", 8000))  # fmt: skip
_PACINGS = (
    {"pacing_frames": 17, "pacing_frame_ms": 60}, {"pacing_frames": 22, "pacing_frame_ms": 50}, {"pacing_frames": 0},
)  # fmt: skip


# The ESP32 port waits for FreeRTOS, which ticks 100 times a second (mpconfigport.h, MICROPY_EVENT_POLL_HOOK).
ESP32_TICK_MS = 10
_UART_BYTE_US = 87  # at 115 200 baud
_UART_BUFFER_BYTES = 128


class Job:
    """What a run is made from.

    faults      list of plans.Planned; None: drawn from plan and seed
    settings    of config.json, over those that the seed draws
    answer_ms   (least, most) length of an answer, None: as the stage has it
    is_patient  nobody interrupts
    turns       the run is over after so many short ones; 0: after `minutes`
    tick_ms     a loop with nothing to do looks around only so often; 0: at once
    """

    def __init__(
        self, seed, plan="all", minutes=5.0, faults=None, settings=None, answer_ms=None, is_patient=False, turns=0,
        tick_ms=0,
    ):  # fmt: skip
        self.seed = seed
        self.turns = turns
        self.tick_ms = tick_ms
        self.plan = plan
        self.minutes = minutes
        self.is_drawn = faults is None
        self.faults = plans.draw(plan, seed, minutes) if faults is None else faults
        self.settings = settings or {}
        self.answer_ms = answer_ms
        self.is_patient = is_patient

    def command(self):
        """One line that runs it again."""
        if self.turns:
            text = "python -m tools storm --seed %d --turns %d" % (self.seed, self.turns)
        else:
            text = "python -m tools storm --seed %d --runs 1 --minutes %g" % (self.seed, round(self.minutes, 4))
        if self.tick_ms != ESP32_TICK_MS:
            text += " --tick-ms %d" % self.tick_ms
        if self.turns:
            return text
        if self.is_drawn:
            return "%s --plan %s" % (text, self.plan)
        return '%s --faults "%s"' % (text, " ".join(fault.written() for fault in self.faults))


def draw_settings(rng):
    """A config.json for one run; every mode, codec, pacing and board has its turn."""
    up, down, down_hz = rng.choice(_CODECS)
    settings = {
        "board": rng.choice(_BOARDS),
        "cloud_url": "wss://cloud.example/v1/chat",
        "bot_id": "7400000000000000001",
        "token": TOKEN,
        "wifi_ssid": "storm",
        "wifi_password": WIFI_PASSWORD,
        "mode": rng.choice(_MODES),
        "uplink_codec": up,
        "downlink_codec": down,
        "downlink_hz": down_hz,
        "prebuffer_ms": rng.choice((60, 120, 300)),
        "log_transcripts": rng.random() < 0.5,
        "volume_percent": rng.choice((70, 100)),
    }
    settings.update(rng.choice(_PACINGS))
    return settings


class Run:
    """The parts, and the record of what happened. `result()` after `play()`."""

    def __init__(self, job, checkers=None, prepare=None):
        """prepare(run): called when all is made, before it begins (tests break parts here)."""
        from firmware import boards, config
        from simworld import world

        self.job = job
        self.rng = random.Random("run %d" % job.seed)
        self.clock = Clock()
        self.loop = Loop(self.clock)
        self.loop.tick_us = 1000 * job.tick_ms or 1
        self.knobs = Knobs()
        self.turn = self.knobs.turn
        self.settings = draw_settings(self.rng)
        self.settings.update(job.settings)
        self.settings["tls_roots"] = roots_folder()
        self.config = config.parse(json.dumps(self.settings))
        self.board = boards.load(self.config.board)
        self.room = Room(job.seed, self.board["mic"]["gain_q8"])
        self.world = world.World(clock=self.clock, wifi_ms=400, true_unix_s=UNIX_START_S)
        self.world.ear = self.room
        standins.fresh(self.world)
        self.stage = Stage(self._chance("stage"))
        if job.answer_ms is not None:
            self.stage.answer_ms = job.answer_ms
        self.network = Network(self.clock, self.loop, self._chance("network"), self._answer)
        self.world.on_wifi = self.network.set_wifi
        unix_ms = UNIX_START_S * 1000
        self.cloud = protocol.Cloud(self.stage, self._chance("cloud"), TOKEN, unix_ms, observer=self)
        self.person = Person(self.world, self.room, self.clock, self._chance("person"), self.config.mode)
        self.person.is_patient = job.is_patient
        if job.turns:
            self.stage.first_audio_ms = _HASTY_AUDIO_MS
        self.start_ticks = self.rng.choice((0, _TICKS_PERIOD - 30_000, self.rng.randrange(_TICKS_PERIOD)))
        self.violations = []  # (t_ms, number, text)
        self.lines = []  # reports, the newest
        self._uart_until_us = 0  # when the last byte printed will have left
        self.knob_rng = self._chance("knobs")  # for what a fault draws while it lasts
        self.on_state = []  # functions called with each state that the speaker tells
        self.on_reply = []  # functions called with each reply of its console
        self.asked = 0  # requests to its console
        self.pairs_met = set()  # (state, act) of plans/device.py
        self.allows_memory_errors = False
        self.secrets = (TOKEN, WIFI_PASSWORD)
        self.active_faults = {}  # plans.Planned -> what ends it
        self.faults_seen = []  # [start_ms, end_ms, name, text]
        self.calm_from_ms = None if job.faults else 0  # when the last fault was over
        self._faults_left = len(job.faults)
        self.network_faults = 0  # under way
        self.disturbances = 0  # how often one began or ended
        self.collect_ms = _COLLECT_MS
        self.recoveries_ms = []  # from the end of the last fault under way until the link was up again
        self._down_since_ms = None
        self.conversation_id = ""  # what a new connection must go on with
        self.turns = []  # `turn` reports with t_ms of the clock
        self.states = []  # (t_ms, state)
        self.counts = dict.fromkeys(("turns", "answered", "interrupted", "failed", "cut", "discarded", "underruns"), 0)
        self._digest = hashlib.blake2b(digest_size=16)
        self._end = None
        self._hooks = None
        self.crash = None  # an exception of the simulation itself
        self.speaker = self._make_speaker()
        self.checks = [cls(self) for cls in (checkers if checkers is not None else checks.all_checks())]
        self._hook_sound()
        self._put_keys()
        if prepare is not None:
            prepare(self)
        self._hooks = {name: self._of_checks(name) for name in (
            "on_trace", "on_report", "on_line", "on_message", "on_dac", "on_ping_sent", "on_ping", "on_pong",
            "on_attempt", "on_tick",
        )}  # fmt: skip
        self.network.on_attempt = lambda: self._tell("on_attempt")

    def _of_checks(self, name):
        """The bound hooks that a check has really overridden: most do not listen to most things."""
        plain = getattr(checks.Check, name)
        return [getattr(check, name) for check in self.checks if getattr(type(check), name) is not plain]

    def _chance(self, name):
        return random.Random("%s %d" % (name, self.job.seed))

    def _make_speaker(self):
        from firmware import app, collector, report, trace
        from firmware.ports import Ports

        run = self

        class ToldTrace(trace.Trace):
            def add(self, code, arg=0):
                super().add(code, arg)
                run._on_trace(code, arg)

        class CollectorPause:
            """gc as firmware/collector.py sees it: a pause of stepped time."""

            @staticmethod
            def collect():
                run.clock.sleep_us(1000 * run.collect_ms)

        report.sink = self._on_line
        chance = self._chance("speaker")
        ports = Ports(
            self.ticks_ms, self.loop.sleep_ms, chance.randbytes, self.world.unix_s, self.network.resolve,
            self.network.connect,
        )  # fmt: skip
        kept = trace.Trace, collector.gc
        trace.Trace = ToldTrace
        collector.gc = CollectorPause
        try:
            speaker = app.Speaker(self.config, self.board, ports, app.Host())
        finally:
            trace.Trace = kept[0]
        self._real_gc = kept[1]
        return speaker

    def ticks_ms(self):
        return (self.clock._now_us // 1000 + self.start_ticks) & (_TICKS_PERIOD - 1)

    def _put_keys(self):
        for key in ("button", "volume_up", "volume_down"):
            pins = self.board.get(key)
            if pins:
                self.world.buttons.add(pins["pin"], pins["active_low"])
                if key == "button":
                    self.world.button_pin = pins["pin"]
                else:
                    self.world.volume_pins[key[7:]] = pins["pin"]

    def _hook_sound(self):
        record = self.world.speaker
        plain = record.put

        def put(mv, samples, has_sound):
            if has_sound:
                self._tell("on_dac", record.at, record.rate_hz, numpy.frombuffer(bytes(mv), numpy.int16))
            plain(mv, samples, has_sound)

        record.put = put

    # What happens

    def _tell(self, name, *arguments):
        """To whoever listens. A checker's own mistake ends the run, and is no fault of the speaker that called."""
        try:
            for hook in self._hooks[name]:
                hook(*arguments)
        except Exception as error:
            self.crash = self.crash or error
            self.stop()

    def _on_trace(self, code, arg):
        if code == tr.LINK_UP:
            self._on_link_up()
        self._digest.update(b"%d %d %d\n" % (self.clock._now_us, code, arg))
        if self._hooks is not None:
            self._tell("on_trace", code, arg)

    def _send_over_uart(self, n_bytes):
        """print() of the ESP32 port waits, tick by tick, until the UART's buffer has taken the last byte, whether or not
        anybody listens there (ports/esp32/uart.c).
        """
        now_us = self.clock._now_us
        self._uart_until_us = max(self._uart_until_us, now_us) + n_bytes * _UART_BYTE_US
        wait_us = self._uart_until_us - _UART_BUFFER_BYTES * _UART_BYTE_US - now_us
        tick_us = self.loop.tick_us
        if tick_us > 1 and wait_us > 0:
            self.clock.sleep_us(-(-(now_us + wait_us) // tick_us) * tick_us - now_us)

    def _on_line(self, line):
        self._digest.update(line.encode())
        self.lines.append((self.clock.now_ms, line))
        self._send_over_uart(len(line) + 2)
        if len(self.lines) > LAST_LINES:
            self.lines.pop(0)
        report = json.loads(line)
        kind = report["kind"]
        if kind == "state":
            self.states.append((self.clock.now_ms, report["state"]))
            self.person.on_state(report["state"])
            for function in list(self.on_state):
                function(report["state"])
        elif kind == "turn":
            self._on_turn(report)
        elif kind == "reply":
            for function in list(self.on_reply):
                function(report)
        self._tell("on_line", line)
        self._tell("on_report", report)

    def _on_turn(self, report):
        report["t_ms_device"] = report["t_ms"]
        report["t_ms"] = self.clock.now_ms
        self.turns.append(report)
        self.counts["turns"] += 1
        self.counts[report["outcome"]] += 1
        self.counts["underruns"] += report["underruns"]
        if self.job.turns:
            if self.counts["turns"] >= self.job.turns:
                self.stop()
            elif self.counts["turns"] % _TURNS_PER_LINK == 0:
                self.calm_from_ms = self.clock.now_ms
                self.network.reset_all()

    def far_end(self):
        """The cloud's end of the connection in use, None when there is none."""
        for connection in reversed(self.network.connections):
            far = connection.far
            if not connection.is_closed and getattr(far, "link", None) is not None and not far.is_over:
                return far
        return None

    def _on_link_up(self):
        if self._down_since_ms is not None:
            self.recoveries_ms.append(self.clock.now_ms - self._down_since_ms)
            self._down_since_ms = None
        self.conversation_id = self.far_end().link.conversation.id

    # The cloud's observer (tools/cloud/records.py)

    def message(self, connection, direction, now_ms, event_type, text):
        if event_type == "error" and direction == "down" and '"code":4002' in text:
            self.conversation_id = ""

    def utterance_ended(self, utterance):
        pass

    def turn_settled(self, turn):
        pass

    def connection_ended(self, connection):
        pass

    # The far ends' watch

    def on_wire(self, direction, data):
        self._digest.update(data)

    def on_message(self, far, message):
        self._tell("on_message", far, message)

    def on_breach(self, text):
        self.violate(1, "the speaker broke the WebSocket protocol: " + text)

    def on_ping_sent(self, far, connection, payload):
        self._tell("on_ping_sent", far, connection, payload)

    def on_ping(self, far, payload):
        self._tell("on_ping", far, payload)

    def on_pong(self, far, payload):
        self._tell("on_pong", far, payload)

    def _answer(self, door):
        return Portal() if door == "portal" else CloudEnd(self.cloud, self.clock, self)

    def violate(self, number, text):
        """A promise is broken: the run ends here, and what follows from it is not looked at."""
        if not self.violations:
            self.violations.append((self.clock.now_ms, number, text))
        self.stop()

    def stop(self):
        if self._end is not None and not self._end.done():
            self._end.set_result(None)

    # The course of things

    def play(self):
        """Let it happen. Returns self."""
        self.person.start(self.person.hurry() if self.job.turns else None)
        for planned in self.job.faults:
            self.clock.after_ms(planned.at_ms, self._begin_fault, planned)
        self.clock.after_ms(int(self.job.minutes * 60_000), self.stop)
        self._tick()
        is_collecting = gc.isenabled()
        gc.disable()  # nothing here is left to cycles for long, and a run is short
        try:
            self.loop.run_until_complete(self._main())
        except Stuck as stuck:
            self.violations.append((self.clock.now_ms, 4, str(stuck)))
        finally:
            self._close()
            if self.crash is not None:
                raise self.crash
            if is_collecting:
                gc.enable()
                gc.collect()
        return self

    async def _main(self):
        self._end = self.loop.create_future()
        speaker = asyncio.ensure_future(self.speaker.run())
        await asyncio.wait((speaker, self._end), return_when=asyncio.FIRST_COMPLETED)
        if speaker.done():
            self.violate(4, "the program of the speaker came to an end: %r" % (speaker.result(),))
            return
        if self.counts["turns"] < self.job.turns:
            self.violate(4, "%d turns in %g minutes, %d were to come"
                         % (self.counts["turns"], self.job.minutes, self.job.turns))
        if not self.violations:
            for check in self.checks:
                check.on_end()
        self._end = None
        speaker.cancel()
        await asyncio.wait((speaker,), timeout=10)

    def _close(self):
        from firmware import collector

        for end in self.active_faults.values():
            if end is not None:
                end()  # some of them hold more than this run's own objects
        self.active_faults.clear()
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        try:
            self.loop.run_until_complete(asyncio.sleep(0.01))
        except Stuck:
            pass
        self.speaker.close()
        self.world.finish()
        self.loop.close()
        asyncio.set_event_loop(None)
        collector.gc = self._real_gc

    def _tick(self):
        self.clock.after_ms(TICK_MS, self._tick)
        self._tell("on_tick")
        if self.loop.died:
            self.violate(4, "a task died unseen: %r" % self.loop.died[0])

    def _begin_fault(self, planned):
        shown = [self.clock.now_ms, None, planned.name, planned.text()]
        self.faults_seen.append(shown)
        self._count_disturbance(planned, 1)
        self.active_faults[planned] = planned.kind.begin(self, planned.parameters)
        self.clock.after_ms(planned.parameters["for_ms"], self._end_fault, planned, shown)

    def _end_fault(self, planned, shown):
        end = self.active_faults.pop(planned)
        if end is not None:
            end()
        self._count_disturbance(planned, -1)
        if not self.active_faults and not self.speaker.connector.is_up:
            self._down_since_ms = self.clock.now_ms
        shown[1] = self.clock.now_ms
        self._faults_left -= 1
        if not self._faults_left:
            self.calm_from_ms = self.clock.now_ms
            self.person.calm_down()

    def _count_disturbance(self, planned, change):
        if planned.kind.group == plans.NETWORK:
            self.network_faults += change
            self.disturbances += 1

    @property
    def is_disturbed(self):
        """A fault of the network is under way."""
        return self.network_faults > 0

    @property
    def digest(self):
        return self._digest.hexdigest()


_roots = None


def roots_folder():
    """A folder with one root certificate in DER form: TLS itself is not simulated here, its set-up is."""
    global _roots
    if _roots is None:
        from tools.cloud.authority import Authority

        _roots = tempfile.TemporaryDirectory(prefix="pipit-storm-")
        folder = Authority(_roots.name, ("cloud.example",)).der_folder
        _roots.path = str(folder)
    return _roots.path
