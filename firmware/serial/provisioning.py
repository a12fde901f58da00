"""Answers the packets of Improv: state, device information, networks in the air, Wi-Fi settings.

A network is stored only when it has worked. Improv knows one word for all that can fail on the way; the cause goes
into the reports, onto the LED and into the trace, as that of any other error (device.report_error).
"""

import improv

from .. import errors

_OS = "MicroPython"


class Provisioning:
    """device: what desk.py describes; write(bytes) to the port; start_job(coro): False when one is running."""

    def __init__(self, device, write, start_job):
        self._device = device
        self._write = write
        self._start_job = start_job
        self._is_provisioning = False

    def packet(self, kind, data):
        if kind != improv.RPC:
            return  # a device's packet: nobody asked us
        try:
            command, data = improv.command(data)
        except ValueError:
            self.error(improv.INVALID_RPC)
            return
        self.error(improv.NO_ERROR)  # the specification wants it at every command
        if command == improv.WIFI_SETTINGS:
            self._join(data)
        elif command == improv.GET_STATE:
            self._tell_state()
            if not self._is_provisioning and self._device.is_wifi_up():
                self._write(improv.result(command, ()))
        elif command == improv.GET_INFO:
            self._write(improv.result(command, self._info()))
        elif command == improv.GET_NETWORKS:
            self._start(self._scan())
        elif command == improv.HOSTNAME or command == improv.DEVICE_NAME:
            self._tell_name(command, data)
        elif command == improv.GET_NETWORK_STATE:
            flags = improv.SUPPORTS_WIFI | (improv.IS_ONLINE if self._device.is_wifi_up() else 0)
            self._write(improv.result(command, (str(flags),)))
        else:
            self.error(improv.UNKNOWN_RPC)

    def error(self, code):
        self._write(improv.packet(improv.ERROR_STATE, bytes((code,))))

    def _tell_state(self):
        state = improv.PROVISIONED if self._device.is_wifi_up() else improv.READY
        if self._is_provisioning:
            state = improv.PROVISIONING
        self._write(improv.packet(improv.CURRENT_STATE, bytes((state,))))

    def _info(self):
        hello = self._device.hello()
        return ("Pipit", hello["version"], "%s/%s" % (hello["board"], hello["chip"]), hello["unit"], _OS, hello["os"])

    def _tell_name(self, command, data):
        """The name of a unit is made of its chip's number and cannot be changed."""
        if data:
            self.error(improv.BAD_HOSTNAME if command == improv.HOSTNAME else improv.UNKNOWN_RPC)
        else:
            self._write(improv.result(command, (self._device.hello()["unit"],)))

    def _start(self, job):
        if not self._start_job(job):
            self.error(improv.UNKNOWN_ERROR)  # one thing at a time

    async def _scan(self):
        try:
            networks = await self._device.scan()
        except errors.PipitError as error:
            self._device.report_error(error)
            self.error(improv.UNKNOWN_ERROR)
            return
        for ssid, rssi_dbm, is_open in networks:
            texts = (ssid, str(rssi_dbm), "NO" if is_open else "YES")
            self._write(improv.result(improv.GET_NETWORKS, texts))
        self._write(improv.result(improv.GET_NETWORKS, ()))

    def _join(self, data):
        try:
            ssid, password = improv.wifi_settings(data)
        except ValueError:
            self.error(improv.INVALID_RPC)
            return
        self._start(self._try(ssid, password))

    async def _try(self, ssid, password):
        self._is_provisioning = True
        self._tell_state()
        code = improv.UNKNOWN_ERROR
        try:
            await self._device.join(ssid, password)
            code = improv.NO_ERROR
        except errors.PipitError as error:
            code = improv.UNABLE_TO_CONNECT
            self._device.report_error(error)
        finally:
            self._is_provisioning = False
            self._tell_state()
            if code != improv.NO_ERROR:
                self.error(code)  # last, because it ends the command for the client
        if code == improv.NO_ERROR:
            self._write(improv.result(improv.WIFI_SETTINGS, ()))
