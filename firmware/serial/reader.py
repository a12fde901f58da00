"""Reads what a host sends and hands it on: packets of Improv, lines of JSON, Ctrl-C.

A UART without flow control keeps 260 bytes for the interpreter, which are 22 ms at 115 200 baud, and a sleep of the ESP32
port ends with one of its ticks of 10 ms. So this looks each 10 ms, 20 at the most, and takes in one go what comes in one
tick (115 bytes). Who answers is loaded when the first packet or line has come.
"""

import improv

from .. import report
from ..compat import const, format_exception, ticks_diff

_IDLE_POLL_MS = const(10)
_BUSY_POLL_MS = const(4)
_BUSY_MS = const(200)  # since the last byte
_PACKET_WAIT_MS = const(500)  # a packet comes in one go
_BURST_BYTES = const(128)  # then everybody else has a turn


class Reader:
    """port: see port.py; ports: the firmware's; make_desk(): whoever answers, made once;
    on_interrupt(): Ctrl-C. desk: packet(kind, data), line(data), refuse(text), broken_packet().
    """

    def __init__(self, port, ports, make_desk, on_interrupt):
        self._port = port
        self._ports = ports
        self._make_desk = make_desk
        self._desk = None
        self._parser = improv.Parser(self)
        self.interrupt = on_interrupt

    async def run(self):
        """For ever; who starts it has taken Ctrl-C over (port.take_ctrl_c)."""
        ports = self._ports
        last_ms = ports.ticks_ms()
        is_busy = False
        while True:
            if self._read_burst():
                last_ms = ports.ticks_ms()
                is_busy = True
            elif is_busy:
                quiet_ms = ticks_diff(ports.ticks_ms(), last_ms)
                if self._parser.is_waiting:
                    if quiet_ms >= _PACKET_WAIT_MS:
                        self._parser.expire()
                        last_ms = ports.ticks_ms()
                elif quiet_ms >= _BUSY_MS:
                    is_busy = False
            await ports.sleep_ms(_BUSY_POLL_MS if is_busy else _IDLE_POLL_MS)

    def _read_burst(self):
        port = self._port
        parser = self._parser
        for n in range(_BURST_BYTES):
            byte = port.read()
            if byte < 0:
                return n > 0
            parser.feed(byte)
        return True

    # What the parser found

    def packet(self, kind, data):
        self._hand_over("packet", kind, data)

    def line(self, data):
        self._hand_over("line", data)

    def long_line(self):
        self._hand_over("refuse", "the line is longer than %d bytes: send less at once" % improv.LINE_MAX_BYTES)

    def broken(self):
        self._hand_over("broken_packet")

    def _hand_over(self, name, *args):
        """A fault of ours, or no memory, must not end the speaker because somebody sent something: it is reported."""
        try:
            if self._desk is None:
                self._desk = self._make_desk()
            getattr(self._desk, name)(*args)
        except Exception as error:
            report.say("error", self._ports.ticks_ms(), error_kind="bug", text=format_exception(error))
