"""The composition root: reads the settings, builds every part from the board, hands each what it needs, runs them.

It decides nothing about sound, protocol or state: those have rooms of their own.
"""

import asyncio
import gc
import json

from . import boards, compat, config as settings, connector, errors, events, ports as world, report, tasks, trace
from .audio import codec, gate, player, recorder, uplink
from .clouds import coze
from .compat import const
from .drivers import button, i2s, led
from .net import link, wifi
from .session import gestures, runner, table

CONFIG_PATH = "config.json"

_CONTROLS_POLL_MS = const(5)  # how late a button edge may be seen
_LED_EVERY_POLLS = const(4)
_WIFI_EVERY_POLLS = const(200)
_CONNECT_SLACK_MS = const(5000)
_TAIL_LIMIT_MS = const(1000)
_VOLUME_STEP_PERCENT = const(10)
_RESTING = (table.IDLE, table.STANDBY, table.OFFLINE)

EXIT_OK = 0
EXIT_SETTINGS = 2


def main(path=None, ports=None):
    """Run the speaker until Ctrl-C. Returns 0, or 2 when the settings are wrong (the reason is reported)."""
    try:
        config = settings.load(path or CONFIG_PATH)
        speaker = Speaker(config, boards.load(config.board), ports or world.real())
    except errors.PipitError as error:
        report.say("error", compat.ticks_ms(), error_kind=error.kind, text=error.text)
        return EXIT_SETTINGS
    try:
        asyncio.run(speaker.run())
    except KeyboardInterrupt:
        report.say("stop", compat.ticks_ms(), text="stopped by Ctrl-C")
    finally:
        speaker.close()
    return EXIT_OK


class Speaker:
    """One speaker: its parts, in the order in which they are made."""

    def __init__(self, config, board, ports):
        import machine
        import network

        self.config = config
        self.ports = ports
        self.trace = trace.Trace(ports.ticks_ms)
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
        down = codec.downlink(config.downlink_codec, config.downlink_hz)
        self._gate = gate.Gate(board["is_duplex"], board["gate_tail_ms"])
        self._speaker = i2s.Speaker(lambda: _open_speaker(machine, board, down.rate_hz), down.rate_hz)
        ring_bytes = config.ring_bytes or config.ring_needed_bytes()
        self.player = player.Player(self._speaker, ring_bytes, down, config.prebuffer_ms, self.ports, self.trace)
        self.player.volume_percent = config.volume_percent
        self.uplink = uplink.Uplink(
            codec.uplink(config.uplink_codec), config.uplink_queue_ms, config.preroll_ms, config.tail_ms, self.trace
        )
        self._mic = i2s.Mic(lambda: _open_mic(machine, board["mic"]))
        self.recorder = recorder.Recorder(
            self._mic, self.uplink, self._gate, self.ports, self.trace, board["mic"]["gain_q8"]
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
            config.mode, _limits(config), self.ports, self.trace, self.player, self.uplink, self.cloud,
            self.connector, self._show_state,
        )  # fmt: skip
        self._gestures = gestures.Gestures(
            config.mode == "ptt_hold", config.tap_ms, config.multi_tap_ms, self.session.post
        )

    def _new_link(self):
        return None

    # Life

    async def run(self):
        self.session.start()
        await asyncio.gather()

    def close(self):
        """Silence everything; may be called twice."""
