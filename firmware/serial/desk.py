"""Answers the lines of JSON with which a host asks a speaker: one reply for each, {"kind": "reply", ...}.

A line is {"do": word, "id": number, ...}. The replies say "ok": true, or "ok": false with error_kind and text. What is
asked often is answered here; what changes a file is in errands.py, which is loaded for one errand and let go of.

`device` is what the desk speaks for (firmware/host_device.py):

    hello(), status()          dicts for the replies of that name
    set_volume(percent)        -> percent; ConfigError where there is no sound
    trace_lines()              iterable of texts
    settings                   firmware/config_edit.py: change(), read_redacted(), tables of what may be written
    is_wifi_up(), scan(), join(ssid, password)    the latter two to be awaited; PipitError
    report_error(error)        on serial, on the LED, in the trace
    changed(keys)              settings were written
    restart()                  an orderly end, then a reset
    spawn(coro, name)
"""

from unload import unload

from .. import errors, report
from ..compat import const

_ERRANDS = ("config", "set", "reset", "mode", "volume", "put")
_TRACE_LINES = const(8)  # of one reply: a reply takes some ms of the serial port


class Desk:
    """port: see port.py; ports: the firmware's."""

    def __init__(self, device, port, ports):
        self._device = device
        self._port = port
        self._ports = ports
        self._provisioning = None
        self._has_job = False

    # What the reader hands over

    def packet(self, kind, data):
        self._improv().packet(kind, data)

    def broken_packet(self):
        from improv import INVALID_RPC

        self._improv().error(INVALID_RPC)

    def refuse(self, text, request=None, kind=errors.PROTOCOL):
        """Answer that it was not done, and why."""
        self._reply(request, ok=False, error_kind=kind, text=text)

    def line(self, data):
        request = None
        try:
            request = _object_of(bytes(data))
            self._judge(request)
        except errors.PipitError as error:
            self.refuse(error.text, request, error.kind)
        except OSError as error:
            self.refuse("the disk refuses: %s" % error, request, errors.CONFIG)
        except MemoryError:
            self.refuse("no memory for this now: try again while the speaker rests", request)

    def _judge(self, request):
        if request is None or not isinstance(request.get("do"), str):
            self.refuse('not understood: send one JSON object a line, {"do": "hello", "id": 1}')
        elif type(request.get("id", 0)) not in (int, float):
            request["id"] = None
            self.refuse("id: is to be a number", request)
        else:
            self._do(request)

    # Commands

    def _do(self, request):
        word = request["do"]
        device = self._device
        if word == "hello":
            self._reply(request, **device.hello())
        elif word == "status":
            self._reply(request, **device.status())
        elif word == "trace":
            if not self._start_job(self._tell_trace(request)):
                self.refuse("busy: something else is being done, try again", request, errors.BUSY)
        elif word == "restart":
            self._reply(request)
            device.restart()
        elif word in _ERRANDS:
            self._run_errand(request)
        else:
            self.refuse("no such command; there are hello, status, trace, restart, " + ", ".join(_ERRANDS), request)

    def _run_errand(self, request):
        try:
            from . import errands

            fields = errands.DO[request["do"]](self._device, request)
        finally:
            unload(__name__.rpartition(".")[0], ("errands",))
        self._reply(request, **fields)
        if fields.get("changed"):
            self._device.changed(fields["changed"])

    async def _tell_trace(self, request):
        lines = list(self._device.trace_lines())
        while len(lines) > _TRACE_LINES:
            self._reply(request, lines=lines[:_TRACE_LINES], more=True)
            lines = lines[_TRACE_LINES:]
            await self._ports.sleep_ms(0)
        self._reply(request, lines=lines, more=False)

    def _reply(self, request, ok=True, **fields):
        request = request or {}
        report.say("reply", self._ports.ticks_ms(), id=request.get("id"), do=request.get("do"), ok=ok, **fields)

    # One job at a time

    def _start_job(self, job):
        if self._has_job:
            job.close()
            return False
        self._has_job = True
        self._device.spawn(self._run_job(job), "errand")
        return True

    async def _run_job(self, job):
        try:
            await job
        finally:
            self._has_job = False

    def _improv(self):
        if self._provisioning is None:
            from . import provisioning

            self._provisioning = provisioning.Provisioning(self._device, self._port.write, self._start_job)
        return self._provisioning


def _object_of(data):
    """The JSON object in `data`, None when it is none. (MicroPython's json takes a line that was cut off for whole.)"""
    from json_strict import loads

    try:
        found = loads(data)
    except ValueError:  # UnicodeError is one, too
        return None
    finally:
        unload("", ("json_strict",))  # 5 KB that nobody else needs while the speaker runs
    return found if isinstance(found, dict) else None
