"""What the checks of the self-test share: the board, its settings, its hardware, and whoever answers questions."""

import gc

from .. import boards, config as settings, errors, hardware
from ..drivers import i2s, power

SPEAKER_HZ = 16_000


class Failed(Exception):
    """The sentence a person reads: cause and cure."""


class Skipped(Exception):
    """Why this could not be tested."""


class Bench:
    """board    the checked board data, None when there is none: board_error says why
    config      the settings, None when they are wrong or absent: config_error says why
    figures     what the check that runs has measured; every name carries its unit
    ask(name, text) -> True, False or None
    """

    def __init__(self, path, ports, ask):
        import machine

        self.machine = machine
        self.ports = ports
        self.ask = ask
        self.figures = {}
        self.config = self.board = None
        self.config_error = self.board_error = ""
        self.board_name = ""
        self._mic = self._speaker = None
        self._wlan = None
        power.full_speed(machine)
        try:
            self.config = settings.load(path)
        except errors.PipitError as error:
            self.config_error = error.text
        self.board_name = self.config.board if self.config else _board_of_wrong(path)
        try:
            self.board = boards.load(self.board_name)
        except errors.PipitError as error:
            self.board_error = error.text
        else:
            power.raise_pins(machine, self.board)

    def need_board(self):
        if self.board is None:
            raise Skipped(self.board_error)
        return self.board

    def need_config(self):
        if self.config is None:
            raise Skipped("no settings: " + self.config_error)
        return self.config

    # Hardware

    def input(self, number, pull_up=True):
        pin = self.machine.Pin
        return pin(number, pin.IN, pin.PULL_UP if pull_up else pin.PULL_DOWN)

    def pixel(self, data):
        return hardware.pixel(self.machine, data)

    def mic(self):
        """The open microphone; the same one until close_sound()."""
        if self._mic is None:
            self._mic = i2s.open_mic(self.machine, self.need_board()["mic"])
        return self._mic

    def speaker(self):
        """The open loudspeaker at SPEAKER_HZ."""
        if self._speaker is None:
            board = self.need_board()
            ibuf_bytes = boards.speaker_ibuf_bytes(board, SPEAKER_HZ)
            self._speaker = i2s.open_speaker(self.machine, board["speaker"], SPEAKER_HZ, ibuf_bytes)
        return self._speaker

    def close_sound(self):
        """Release both buses; may be called twice."""
        for port in (self._mic, self._speaker):
            if port is not None:
                try:
                    port.deinit()
                except errors.AudioError:
                    pass  # it is released already
        self._mic = self._speaker = None

    def wlan(self):
        if self._wlan is None:
            import network

            self._wlan = network.WLAN(network.STA_IF)
            self._wlan.active(True)
        return self._wlan

    def settime(self):
        """Set the chip's clock from the network; blocks for a second or two."""
        hardware.settime_from(self.config.ntp_host)()

    def collect(self):
        gc.collect()

    def close(self):
        self.close_sound()


def _board_of_wrong(path):
    from .. import config_edit

    return config_edit.Settings(path).board_name()
