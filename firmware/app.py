"""The composition root: builds every part from settings and board, hands each what it needs, runs them.

It decides nothing about sound, protocol or state: those have rooms of their own.
"""

import asyncio
import json

from . import boards, collector, compat, connector, errors, events, report, tasks, trace
from . import ports as world
from .audio import codec, gate, intake, player, recorder, uplink
from .clouds import coze
from .compat import const
from .drivers import button, i2s, led
from .net import link, wifi
from .session import gestures, runner, states

_CONTROLS_POLL_MS = const(5)  # how late a button edge may be seen
_LED_EVERY_POLLS = const(4)
_WIFI_EVERY_POLLS = const(200)
_CONNECT_SLACK_MS = const(5000)
_TAIL_LIMIT_MS = const(1000)
_VOLUME_STEP_PERCENT = const(10)
_VOLUME_MAX_PERCENT = const(150)
_LIMITS_FROM_CONFIG = (
    "press_wait_ms", "keep_link_ms", "listen_max_ms", "answer_wait_ms", "stall_ms", "free_idle_ms",
)  # fmt: skip
_RESTING = (states.IDLE, states.STANDBY, states.OFFLINE)

_speaker = None  # the last one made, for dump_trace


def run(config, board, ports=None):
    """Run the speaker until Ctrl-C. Returns errors.EXIT_OK, or EXIT_BROKEN when a part broke, which is reported."""
    global _speaker
    try:
        speaker = Speaker(config, board, ports or world.real())
    except errors.PipitError as error:
        report.say("error", compat.ticks_ms(), error_kind=error.kind, text=error.text)
        return errors.exit_code_of(error)
    _speaker = speaker
    death = None
    try:
        death = asyncio.run(speaker.run())
    except KeyboardInterrupt:
        pass  # MicroPython, between two tasks
    finally:
        speaker.close()
    if death is not None:
        return errors.EXIT_BROKEN
    report.say("stop", compat.ticks_ms(), text="stopped by Ctrl-C")
    return errors.EXIT_OK


def dump_trace():
    """Print the event trace of the speaker that runs, or that Ctrl-C has stopped: for the REPL."""
    if _speaker is not None:
        for line in _speaker.trace.lines():
            print(line)


class Speaker:
    """One speaker: its parts, in the order in which they are made."""

    def __init__(self, config, board, ports):
        import machine
        import network

        self.config = config
        self.ports = ports
        self.trace = trace.Trace(ports.ticks_ms)
        self.collector = collector.Collector(ports, self.trace)
        self._is_thinking = False
        self._remarks = boards.remarks(board, config)
        _raise_pins(machine, board)
        self._make_controls(machine, board)
        self._make_audio(machine, board)
        self._make_session(network, board, machine)

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
        pixel = None
        if board["led"] is not None:
            import neopixel

            pixel = neopixel.NeoPixel(machine.Pin(board["led"]["pin"], machine.Pin.OUT), board["led"]["count"])
        self._led = led.Led(pixel, self.ports.ticks_ms)

    def _make_audio(self, machine, board):
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
        self.uplink = uplink.Uplink(
            codec.uplink(config.uplink_codec), config.uplink_queue_ms, config.preroll_ms, self.trace, config.tail_ms,
            on_end=lambda: self.session.post(events.UTTERANCE_END),
            on_overflow=lambda: self.session.post(events.OVERFLOW),
        )  # fmt: skip
        self._mic = i2s.open_mic(machine, board["mic"])
        self.recorder = recorder.Recorder(
            self._mic, self.uplink, sound_gate, ports, self.trace, board["mic"]["gain_q8"], self._on_mic_error
        )

    def _make_session(self, network, board, machine):
        config = self.config
        self.cloud = coze.Coze(config, user_id=_unit_id(machine))
        self._wifi = wifi.Wifi(network.WLAN(network.STA_IF), self.ports, self.trace)
        self.connector = connector.Connector(
            config, self.ports, self.trace, self.cloud, self._wifi, _settime(config), self._is_quiet,
            self._new_link, self._on_lost,
        )  # fmt: skip
        self.session = runner.Runner(
            config.mode, _limits(config), self.ports, self.trace, self.player, self._intake, self.uplink, self.cloud,
            self.connector, self._show_state,
        )  # fmt: skip
        self.session.call_tool = self._call_tool
        self.session.show_error = self._led.flash
        self._gestures = gestures.Gestures(
            config.mode == "ptt_hold", config.tap_ms, config.multi_tap_ms, self.session.post
        )

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
        is_over = asyncio.Event()
        deaths = []

        def on_death(error):
            deaths.append(error)
            is_over.set()

        self.session.start()
        for name, coro in (
            ("recorder", self.recorder.run()),
            ("player", self.player.run()),
            ("deadline", self.session.run()),
            ("controls", self._run_controls()),
        ):
            tasks.spawn(coro, name, on_death)
        try:
            await is_over.wait()
        except asyncio.CancelledError:
            pass  # Ctrl-C on CPython
        self.player.flush()
        await self.connector.shut_down()
        tasks.stop_all()
        if not deaths or isinstance(deaths[0], KeyboardInterrupt):
            return None
        return deaths[0]

    def close(self):
        """Silence everything; may be called twice."""
        for port in (self._speaker, self._mic):
            try:
                port.deinit()
            except errors.AudioError:
                pass  # it is silent already
        self._led.off()

    async def _run_controls(self):
        """Buttons every few ms, the LED and the Wi-Fi now and then."""
        polls = 0
        while True:
            self._poll_buttons()
            if polls % _LED_EVERY_POLLS == 0:
                self._led.step()
                if self._is_thinking:
                    self._is_thinking = False  # once a question, some ms after its last byte
                    self.collector.collect_if_low()
            if polls % _WIFI_EVERY_POLLS == 0:
                self.connector.check_wifi()
            polls = (polls + 1) % _WIFI_EVERY_POLLS
            await self.ports.sleep_ms(_CONTROLS_POLL_MS)

    def _poll_buttons(self):
        edge = self._button.poll()
        if edge == button.DOWN:
            self._gestures.down(self.ports.ticks_ms())
        elif edge == button.UP:
            self._gestures.up(self.ports.ticks_ms())
        if self._louder is not None and self._louder.poll():
            self._set_volume(self.player.volume_percent + _VOLUME_STEP_PERCENT)
        if self._softer is not None and self._softer.poll():
            self._set_volume(self.player.volume_percent - _VOLUME_STEP_PERCENT)

    # What the parts ask for

    def _set_volume(self, percent):
        self.player.volume_percent = percent = min(_VOLUME_MAX_PERCENT, max(0, percent))
        self._led.show_volume(percent)
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
        return json.dumps({"percent": self._set_volume(percent)})

    def _show_state(self, state):
        self._led.show(led.pattern_name(state, self.config.mode == "free"))
        if state in _RESTING and not self.player.is_audible:
            self.collector.collect()
        self._is_thinking = state == states.THINKING

    def _is_quiet(self):
        # Free talk has gaps rather than an end: waiting for its end would be waiting for ever.
        is_question = self.uplink.is_recording and not self.uplink.is_streaming
        return not is_question and self.player.is_idle and not self.player.is_audible

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


def _raise_pins(machine, board):
    """What must be high while the speaker runs: first the board's own power, then the amplifier."""
    for pin in board.get("hold_high", ()):
        machine.Pin(pin, machine.Pin.OUT, value=1)
    if board["amp_enable"] is not None:
        machine.Pin(board["amp_enable"], machine.Pin.OUT, value=1)


def _unit_id(machine):
    """This unit's name towards the cloud, so that two speakers do not share one conversation."""
    return "pipit-" + "".join("%02x" % byte for byte in machine.unique_id())


def _settime(config):
    """A function that sets the machine's clock from the network; it blocks for a second or two."""

    def settime():
        import ntptime

        ntptime.host = config.ntp_host
        ntptime.settime()

    return settime


def _limits(config):
    """How long each state may last, in ms, by the names of session/states.py."""
    limits = {name: getattr(config, name) for name in _LIMITS_FROM_CONFIG}
    limits["retry_ms"] = 1
    limits["connect_limit_ms"] = (
        config.wifi_timeout_ms + config.clock_timeout_ms + config.connect_timeout_ms + _CONNECT_SLACK_MS
    )
    limits["tail_limit_ms"] = config.tail_ms + _TAIL_LIMIT_MS
    return limits
