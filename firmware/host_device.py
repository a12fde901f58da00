"""What a speaker shows and does for a host at its serial port: the `device` of serial/desk.py.

One class for a speaker that runs and one for a board that is not set up yet; loaded when a host has sent something.
"""

import sys

from unload import unload

from . import VERSION, errors, report, tasks, trace as tr
from .compat import const, mem_free_bytes, ticks_diff
from .errors import ConfigError, LinkError
from .session.states import CONNECTING, IDLE, OFFLINE, STANDBY

_REST_POLL_MS = const(50)
_REST_WAIT_MS = const(8000)  # a host gives up after 30 s, and joining a network takes half of that

_WITHOUT_TURN = (STANDBY, OFFLINE, CONNECTING, IDLE)


class _Settings:
    """firmware/config_edit.py behind a door: loaded for each call, with the judge of the settings."""

    def __init__(self, path):
        self._path = path

    def change(self, values, removed=(), is_dry=False):
        return self._call("change", values, removed, is_dry)

    def read_redacted(self):
        return self._call("read_redacted")

    def problem(self):
        return self._call("problem")

    def _call(self, name, *args):
        try:
            from . import config_edit

            return getattr(config_edit.Settings(self._path), name)(*args)
        finally:
            unload(__name__.rpartition(".")[0], ("config_edit", "config_rules", "config_table"))


class _Device:
    """led, trace, ports, wifi: the parts; unit: this chip's name; end(exit_code): end the program in order."""

    def __init__(self, path, board_name, unit, ports, trace, led, wifi, end):
        self.settings = _Settings(path)
        self._board_name = board_name
        self._unit = unit
        self._ports = ports
        self._trace = trace
        self._led = led
        self._wifi = wifi
        self._end = end
        self._error = None
        self._start_ms = ports.ticks_ms()
        self.spawn = tasks.spawn

    def hello(self):
        version = sys.implementation.version
        return {
            "product": "pipit",
            "version": VERSION,
            "board": self._board_name,
            "chip": getattr(sys.implementation, "_machine", sys.platform).split(" with ")[-1],
            "unit": self._unit,
            "os": "%d.%d.%d" % (version[0], version[1], version[2]),
        }

    def _status(self, state, mode, volume_percent, error):
        ssid, address, rssi_dbm = self._wifi.details()
        return {
            "state": state,
            "wifi": {"ssid": ssid, "address": address, "rssi_dbm": rssi_dbm},
            "mode": mode,
            "volume_percent": volume_percent,
            "last_error": None if error is None else {"error_kind": error.kind, "text": error.text},
            "heap_free_bytes": mem_free_bytes(),
            "uptime_ms": max(0, ticks_diff(self._ports.ticks_ms(), self._start_ms)),  # right for six days
        }

    def trace_lines(self):
        return self._trace.lines()

    def is_wifi_up(self):
        return self._wifi.is_up

    def report_error(self, error):
        self._error = error
        self._trace.add(tr.ERROR, errors.KINDS.index(error.kind))
        self._led.flash(error.kind)
        report.say("error", self._ports.ticks_ms(), error_kind=error.kind, text=error.text)

    def restart(self):
        self._end(errors.EXIT_RESTART)

    def _judge(self, ssid, password):
        """ConfigError for what no network can have, before anything is given up for it."""
        if not ssid:
            raise ConfigError("wifi_ssid", "is empty: name a network")
        self.settings.change({"wifi_ssid": ssid, "wifi_password": password}, (), True)

    async def _join(self, ssid, password, timeout_ms):
        """Into that network, and into the settings once it has worked."""
        values = {"wifi_ssid": ssid, "wifi_password": password}
        self._wifi.leave()  # also the same network: the password is to be tried
        await self._wifi.up(ssid, password, timeout_ms)
        try:
            self.settings.change(values)
        except OSError as error:
            raise ConfigError("", "the network works, but the disk refuses the settings: %s" % error)
        self._error = None
        report.say("wifi", self._ports.ticks_ms(), ssid=ssid, address=self._wifi.details()[1])


class SpeakerDevice(_Device):
    """speaker: app.Speaker, running."""

    def __init__(self, path, speaker):
        _Device.__init__(
            self, path, speaker.config.board, speaker.unit, speaker.ports, speaker.trace, speaker.led, speaker.wifi,
            speaker.end,
        )  # fmt: skip
        self._speaker = speaker

    def status(self):
        speaker = self._speaker
        error = speaker.session.error or self._error
        return self._status(speaker.session.state, speaker.config.mode, speaker.player.volume_percent, error)

    def set_volume(self, percent):
        return self._speaker.set_volume(percent)

    def changed(self, keys):
        """The settings are read at the start: a restart takes them over."""

    async def scan(self):
        await self._until_it_rests()
        if self._wifi.is_up:
            return self._wifi.scan()
        self._speaker.connector.pause()  # while it joins, the radio cannot listen around
        try:
            self._wifi.leave()
            return self._wifi.scan()
        finally:
            self._go_on()

    async def join(self, ssid, password):
        self._judge(ssid, password)
        await self._until_it_rests()
        config = self._speaker.config
        self._speaker.connector.pause()
        try:
            await self._join(ssid, password, config.wifi_timeout_ms)
            config.wifi_ssid = ssid
            config.wifi_password = password
        finally:
            self._go_on()

    def _go_on(self):
        self._speaker.connector.resume()
        self._speaker.session.hurry()

    async def _until_it_rests(self):
        """While the cloud thinks it is quiet, too; but what takes the Wi-Fi then takes the answer."""
        ports = self._ports
        began_ms = ports.ticks_ms()
        while self._speaker.session.state not in _WITHOUT_TURN or not self._speaker.is_quiet():
            if ticks_diff(ports.ticks_ms(), began_ms) >= _REST_WAIT_MS:
                raise LinkError("not during a conversation: try again when the speaker rests", errors.BUSY)
            await ports.sleep_ms(_REST_POLL_MS)


class BlankDevice(_Device):
    """blank: blank.Blank, which waits for its settings."""

    def __init__(self, path, blank):
        _Device.__init__(
            self, path, blank.board_name, blank.unit, blank.ports, blank.trace, blank.led, blank.wifi, blank.end
        )
        self._blank = blank

    def status(self):
        shown = self.settings.read_redacted()["config"]
        return self._status(
            "unprovisioned", shown.get("mode", ""), shown.get("volume_percent", 0), self._error or self._blank.error
        )

    def set_volume(self, percent):
        raise ConfigError("", "the speaker is not set up yet: it has no sound; set volume_percent instead")

    def changed(self, keys):
        self._blank.look_again()

    async def scan(self):
        return self._wifi.scan()

    async def join(self, ssid, password):
        self._judge(ssid, password)
        await self._join(ssid, password, self._blank.wifi_timeout_ms)
        self._blank.look_again()
