"""The composition root: builds every part from settings and board, hands each what it needs, runs them.

It decides nothing about sound, protocol or state: those have rooms of their own.
"""

import asyncio
import json

from unload import unload

from . import collector, compat, connector, errors, events, hardware, report, tasks, trace
from . import ports as world
from .audio import codec, gate, intake, player, recorder, uplink
from .clouds import coze
from .compat import const
from .drivers import button, i2s, led
from .net import link, wifi
from .session import gestures, runner, states

_PACKAGE = __name__.rpartition(".")[0]
_CONTROLS_POLL_MS = const(5)  # how late a button edge may be seen
_LED_EVERY_POLLS = const(4)
_LINK_EVERY_POLLS = const(200)
_POLLS_WRAP = const(20_000)  # a multiple of both
_CONNECT_SLACK_MS = const(5000)
_TAIL_LIMIT_MS = const(1000)
_VOLUME_STEP_PERCENT = const(10)
_VOLUME_MAX_PERCENT = const(150)
_LIMITS_FROM_CONFIG = (
    "press_wait_ms", "keep_link_ms", "listen_max_ms", "answer_wait_ms", "stall_ms", "free_idle_ms",
)  # fmt: skip
_RESTING = (states.IDLE, states.STANDBY, states.OFFLINE)

_speaker = None  # the last one made, for dump_trace


def run(config, board, ports=None, host=None):
    """Run the speaker until Ctrl-C. Returns errors.EXIT_OK, EXIT_BROKEN when a part broke, which is reported, or
    EXIT_RESTART when the host wants the board to be reset. host: a Host, or None without a serial port.
    """
    global _speaker
    try:
        speaker = Speaker(config, board, ports or world.real(), host)
    except errors.PipitError as error:
        report.say("error", compat.ticks_ms(), error_kind=error.kind, text=error.text)
        return errors.exit_code_of(error)
    finally:
        collector.pack(False)
    _speaker = speaker
    death = None
    try:
        death = asyncio.run(speaker.run())
    except KeyboardInterrupt:
        pass  # MicroPython, between two tasks
    finally:
        speaker.close()
    speaker.leave_watchdog(death)
    if death is not None:
        return errors.EXIT_BROKEN
    text = "stopped by Ctrl-C" if speaker.exit_code == errors.EXIT_OK else "restarted by the host"
    report.say("stop", compat.ticks_ms(), text=text)
    return speaker.exit_code


def dump_trace():
    """Print the event trace of the speaker that runs, or that Ctrl-C has stopped: for the REPL."""
    if _speaker is not None:
        for line in _speaker.trace.lines():
            print(line)


class Host:
    """port: serial/port.py, or None; slot: where this application lives, or None; path: of the settings file."""

    def __init__(self, port=None, slot=None, path=""):
        self.port = port
        self.slot = slot
        self.path = path


class Speaker:
    """One speaker: its parts, in the order in which they are made."""

    def __init__(self, config, board, ports, host=None):
        import machine
        import network

        from . import boards  # this one and the next are needed for a moment
        from .drivers import power

        power.full_speed(machine)
        self.config = config
        self.ports = ports
        self.exit_code = errors.EXIT_OK
        self.unit = boards.unit_id(machine)
        self._host = host or Host()
        self._is_confirmed = False  # to main.py, that this application comes to rest
        self._over = asyncio.Event()
        self.trace = trace.Trace(ports.ticks_ms)
        self.collector = collector.Collector(ports, self.trace)
        self._is_thinking = False
        self._polls = 0  # of the controls, wraps
        self._remarks = boards.remarks(board, config)
        power.raise_pins(machine, board)
        unload(_PACKAGE + ".drivers", ("power",))
        # While the heap is whole: loading the table takes much room for a moment, and the buffer is in one piece.
        rows = runner.rows_for(config.mode)
        if config.websocket != "aiohttp":
            link.reserve(config)
        self._make_controls(machine, board)
        self._make_audio(machine, board)
        self._make_session(network, board, machine, rows)
        unload(_PACKAGE, ("boards",))

    # Parts

    def _make_controls(self, machine, board):
        def make_button(pins, kind):
            if pins is None:
                return None
            pull = machine.Pin.PULL_UP if pins["pull_up"] else None
            pin = machine.Pin(pins["pin"], machine.Pin.IN, pull)
            return kind(pin, self.ports.ticks_ms, pins["active_low"])

        self._button = make_button(board["button"], button.Button)
        self._louder = make_button(board["volume_up"], button.Repeater)
        self._softer = make_button(board["volume_down"], button.Repeater)
        self.led = led.Led(hardware.pixel(machine, board["led"]), self.ports.ticks_ms)

    def _make_audio(self, machine, board):
        from . import boards

        config = self.config
        ports = self.ports
        down = codec.downlink(config.downlink_codec, config.downlink_hz)
        sound_gate = gate.Gate(board["is_duplex"], board["gate_tail_ms"])
        ibuf_bytes = boards.speaker_ibuf_bytes(board, down.rate_hz)
        self._speaker = i2s.open_speaker(machine, board["speaker"], down.rate_hz, ibuf_bytes)
        ring_bytes = config.ring_bytes or config.ring_needed_bytes()
        self.player = player.Player(
            self._speaker, ring_bytes, down, config.prebuffer_ms, ports, self.trace, sound_gate, config.volume_percent,
            on_first_sample=lambda: self.session.first_sample(),
            on_drained=lambda: self.session.drained(),
            on_error=self._on_speaker_error,
        )  # fmt: skip
        self._intake = intake.Intake(self.player, config.ring_full_wait_ms, ports)
        queue_ms = config.uplink_queue_ms or config.queue_needed_ms()
        self.uplink = uplink.Uplink(
            codec.uplink(config.uplink_codec), queue_ms, config.preroll_ms, self.trace, config.tail_ms,
            on_end=lambda: self.session.post(events.UTTERANCE_END),
            on_overflow=lambda: self.session.post(events.OVERFLOW),
        )  # fmt: skip
        self._mic = i2s.open_mic(machine, board["mic"])
        self.recorder = recorder.Recorder(
            self._mic, self.uplink, sound_gate, ports, self.trace, board["mic"]["gain_q8"], self._on_mic_error
        )
        self.uplink.opened = self.recorder.opened
        self.uplink.backlog_frames = self.recorder.backlog_frames

    def _make_session(self, network, board, machine, rows):
        config = self.config
        self.cloud = coze.Coze(config, user_id=self.unit, ring=self.player.ring)
        self.wifi = wifi.Wifi(network.WLAN(network.STA_IF), self.ports, self.trace)
        self.connector = connector.Connector(
            config, self.ports, self.trace, self.cloud, self.wifi, hardware.settime_from(config.ntp_host),
            self.is_quiet, self._new_link, self._on_lost,
        )  # fmt: skip
        self.session = runner.Runner(
            config.mode, _limits(config), self.ports, self.trace, self.player, self._intake, self.uplink, self.cloud,
            self.connector, self._show_state, rows,
        )  # fmt: skip
        self.session.call_tool = self._call_tool
        self.session.show_error = self.led.flash
        self._gestures = gestures.Gestures(
            config.mode == "ptt_hold", config.tap_ms, config.multi_tap_ms, self.session.post
        )
        self._watchdog = self._make_watchdog(machine) if config.watchdog_ms else None

    def _make_watchdog(self, machine):
        from . import watchdog  # seldom wanted

        def player_passes():
            self.player.nudge()
            return self.player.passes

        parts = (
            ("controls", lambda: self._polls), ("recorder", lambda: self.recorder.passes), ("player", player_passes),
        )  # fmt: skip
        limit_ms = self.config.watchdog_ms
        return watchdog.Watchdog(machine, limit_ms, self.ports, self.trace, self.session, states.STATES, parts)

    def _new_link(self):
        parts = (self.config, self.ports, self.trace, self.uplink, self.cloud, self.session, self._intake)
        if self.config.websocket == "aiohttp":
            from .net import ws_aiohttp  # seldom wanted, and large with aiohttp behind it

            return ws_aiohttp.AiohttpLink(*parts)
        return link.Link(*parts)

    # Life

    async def run(self):
        """Run until Ctrl-C. Returns None then, or the error of a part whose task died: none dies unseen."""
        now_ms = self.ports.ticks_ms
        report.say("boot", now_ms(), board=self.config.board, mode=self.config.mode)
        for text in self.config.warnings + self._remarks:
            report.say("warning", now_ms(), text=text)
        deaths = []

        def on_death(error):
            deaths.append(error)
            self._over.set()

        self.session.start()
        for name, coro in (
            ("recorder", self.recorder.run()),
            ("player", self.player.run()),
            ("deadline", self.session.run()),
            ("controls", self._run_controls()),
        ):
            tasks.spawn(coro, name, on_death)
        if self._host.port is not None:
            tasks.spawn(self._serial_reader().run(), "serial", on_death)
        if self._watchdog is not None:
            self._watchdog.report_last()
            tasks.spawn(self._watchdog.run(), "watchdog", on_death)
        try:
            await self._over.wait()
        except asyncio.CancelledError:
            pass  # Ctrl-C on CPython
        self.player.flush()
        await self.connector.shut_down()
        tasks.stop_all()
        if not deaths or isinstance(deaths[0], KeyboardInterrupt):
            return None
        return deaths[0]

    def end(self, exit_code):
        """End in order, as by Ctrl-C; run() then returns."""
        self.exit_code = exit_code
        self._over.set()

    def _serial_reader(self):
        from .serial import reader  # a desktop has no serial port of its own

        def make_desk():
            from . import host_device
            from .serial import desk

            device = host_device.SpeakerDevice(self._host.path, self)
            return desk.Desk(device, self._host.port, self.ports)

        return reader.Reader(self._host.port, self.ports, make_desk, lambda: self.end(errors.EXIT_OK))

    def close(self):
        """Silence everything; may be called twice."""
        for port in (self._speaker, self._mic):
            try:
                port.deinit()
            except errors.AudioError:
                pass  # it is silent already
        self.led.off()

    def leave_watchdog(self, death):
        """At the end: whoever stopped the speaker is not reset, and a broken speaker is started anew."""
        if self._watchdog is not None and death is None:
            self._watchdog.retire()
        elif self._watchdog is not None:
            self._watchdog.keep_death()

    async def _run_controls(self):
        """Buttons every few ms, the LED and the connection now and then."""
        while True:
            polls = self._polls
            self._poll_buttons()
            if polls % _LED_EVERY_POLLS == 0:
                self.led.step()
                if self._is_thinking:
                    self._is_thinking = False  # once a question, some ms after its last byte
                    self.collector.collect_if_low()
            if polls % _LINK_EVERY_POLLS == 0:
                self.connector.check()
            self._polls = (polls + 1) % _POLLS_WRAP
            await self.ports.sleep_ms(_CONTROLS_POLL_MS)

    def _poll_buttons(self):
        edge = self._button.poll()
        if edge == button.DOWN:
            self._gestures.down(self.ports.ticks_ms())
        elif edge == button.UP:
            self._gestures.up(self.ports.ticks_ms())
        if self._louder is not None and self._louder.poll():
            self.set_volume(self.player.volume_percent + _VOLUME_STEP_PERCENT)
        if self._softer is not None and self._softer.poll():
            self.set_volume(self.player.volume_percent - _VOLUME_STEP_PERCENT)

    # What the parts ask for

    def set_volume(self, percent):
        """Loudness from now on, 0 to 150 percent; what is beyond is the nearest of these. Returns it."""
        percent = min(_VOLUME_MAX_PERCENT, max(0, percent))
        self.player.set_volume(percent)
        self.led.show_volume(percent)
        report.say("volume", self.ports.ticks_ms(), percent=percent)
        return percent

    def _call_tool(self, name, arguments):
        """The tools of this device, for an agent that declares them as client-side plugins."""
        if name != "set_volume":
            return json.dumps({"error": "this speaker has no tool named %s" % name[:40]})
        try:
            percent = int(json.loads(arguments)["percent"])
        except (ValueError, KeyError, TypeError, OverflowError, RuntimeError):  # RuntimeError: nested too deep
            return json.dumps({"error": "set_volume wants {\"percent\": 0..%d}" % _VOLUME_MAX_PERCENT})
        return json.dumps({"percent": self.set_volume(percent)})

    def _show_state(self, state):
        self.led.show(led.pattern_name(state, self.config.mode == "free"))
        if state in _RESTING and not self.player.is_audible():
            self.collector.collect()
            self._confirm(state)
        self._is_thinking = state == states.THINKING

    def _confirm(self, state):
        """An application on trial has shown that it works when it first rests with the connection made."""
        if not self._is_confirmed and state != states.OFFLINE:
            self._is_confirmed = True
            from . import slots  # once

            slots.confirm_and_tell(self._host.slot, self.ports)
            unload(_PACKAGE, ("slots", "disk"))

    def is_quiet(self):
        """The loop may block: nobody would hear it."""
        # Free talk has gaps rather than an end: waiting for its end would be waiting for ever.
        is_question = self.uplink.is_recording and not self.uplink.is_streaming
        return not is_question and self.player.is_idle() and not self.player.is_audible()

    def _on_lost(self, event, error):
        self.session.fault(event, error)

    def _on_mic_error(self, error):
        if self.uplink.is_recording:
            self.session.fault(events.FAILED, error)
        else:
            self.session.remark(error)

    def _on_speaker_error(self, error):
        if self.session.state in (states.SPEAKING, states.FINISHING):
            self.session.fault(events.FAILED, error)
            self.session.drained()  # nothing of the answer is left to be heard
        else:
            self.session.remark(error)


def _limits(config):
    """How long each state may last, in ms, by the names of session/states.py."""
    limits = {name: getattr(config, name) for name in _LIMITS_FROM_CONFIG}
    limits["retry_ms"] = 1
    limits["connect_limit_ms"] = (
        config.wifi_timeout_ms + config.clock_timeout_ms + config.connect_timeout_ms + _CONNECT_SLACK_MS
    )
    limits["tail_limit_ms"] = config.tail_ms + _TAIL_LIMIT_MS
    return limits
