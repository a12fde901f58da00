"""A scripted speaker behind a pty: what Console and provision talk to in tests, without the firmware.

It keeps settings and a tls_roots folder in memory, judges settings by the firmware's own validator, and can be told to
be noisy, slow, deaf or wrong.
"""

import base64
import hashlib
import json
import os
import pty
import select
import threading
import tty

from firmware import config as settings
from firmware.errors import ConfigError


class SpeakerPeer:
    """With it as a context, `port` is the path of its pty; `commands` every command that arrived.

    config      what stands in its config.json
    before      bytes sent in front of every reply (log text, half a line)
    cut         True: replies leave one byte at a time
    deaf        commands (by "do") that are not answered
    after_start reports sent when it was first asked for its status after a restart, in order
    """

    def __init__(self, config=None, before=b"", cut=False, deaf=(), after_start=(), hello_after=0, dies_at=None):
        self.config = dict(config or {})
        self.roots = {}
        self.commands = []
        self.before = before
        self.cut = cut
        self.deaf = set(deaf)
        self.after_start = list(after_start)
        self.status = {"state": "idle", "wifi": {"ssid": "home", "address": "192.168.1.9", "rssi_dbm": -60}}
        self._hello_after = hello_after  # so many greetings are ignored
        self._dies_at = dies_at  # the number of the command at which the cable is pulled
        self._parts = {}
        self.restarts = 0

    def __enter__(self):
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        self.port = os.ttyname(self._slave)
        self._wake, self._waker = os.pipe()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        os.write(self._waker, b"x")
        self._thread.join(5)
        for fd in (self._master, self._slave, self._wake, self._waker):
            try:
                os.close(fd)
            except OSError:
                pass

    def did(self, do):
        return [command for command in self.commands if command["do"] == do]

    def say(self, kind, **fields):
        self.send(json.dumps(dict(fields, kind=kind, t_ms=1)).encode() + b"\r\n")

    def send(self, data):
        if self.cut:
            for i in range(len(data)):
                os.write(self._master, data[i : i + 1])
        else:
            os.write(self._master, data)

    def _run(self):
        line = b""
        while True:
            ready, _, _ = select.select([self._master, self._wake], [], [])
            if self._wake in ready:
                return
            try:
                line += os.read(self._master, 4096)
            except OSError:
                return
            *whole, line = line.split(b"\n")
            for each in whole:
                if each.strip() and not self._answer(each):
                    return

    def _answer(self, line):
        """False when the cable is pulled."""
        command = json.loads(line)
        if command["do"] == "hello" and self._hello_after:
            self._hello_after -= 1
            return True
        self.commands.append(command)
        if self._dies_at is not None and len(self.commands) >= self._dies_at:
            os.close(self._master)
            return False
        if command["do"] in self.deaf:
            return True
        try:
            replies = getattr(self, "_do_" + command["do"])(command)
        except ConfigError as error:
            replies = {"ok": False, "error_kind": "config", "text": error.text}
        for reply in replies if isinstance(replies, list) else [replies]:
            if self.before:
                self.send(self.before)
            self.say("reply", **dict({"ok": True, "id": command["id"], "do": command["do"]}, **reply))
        if command["do"] == "status" and self.restarts:
            while self.after_start:
                report = self.after_start.pop(0)
                self.status["state"] = report.get("state", self.status["state"])
                self.say(**report)
        return True

    def _do_hello(self, command):
        return {"product": "pipit", "version": "1", "board": "bread_compact_wifi", "chip": "ESP32-S3", "unit": "00"}

    def _do_status(self, command):
        return dict({"mode": "ptt_hold", "volume_percent": 70, "last_error": None}, **self.status)

    def _do_config(self, command):
        return {"config": settings.parse(json.dumps(dict({"bot_id": "1", "token": "t"}, **self.config))).redacted()}

    def _do_set(self, command):
        merged = dict(self.config, **command["values"])
        settings.parse(json.dumps(merged))
        changed = sorted(key for key in command["values"] if self.config.get(key) != merged[key])
        if not command.get("dry"):
            self.config = merged
        return {"changed": changed, "restart_needed": True}

    def _do_reset(self, command):
        for key in list(self.config) if command.get("all") else command.get("keys", ()):
            self.config.pop(key, None)
        return {}

    def _do_put(self, command):
        name = command["path"]
        if not name.startswith("tls_roots/") or not name.endswith(".der"):
            return {"ok": False, "error_kind": "config", "text": "only tls_roots/NAME.der can be put"}
        if command.get("remove"):
            self.roots.pop(name[len("tls_roots/") :], None)
            return {}
        data = self._parts.get(name, b"") if command["at"] else b""
        assert len(data) == command["at"]
        self._parts[name] = data + base64.b64decode(command["data"])
        if command["last"]:
            whole = self._parts.pop(name)
            assert hashlib.sha256(whole).hexdigest() == command["sha256"]
            self.roots[name[len("tls_roots/") :]] = whole
        return {}

    def _do_trace(self, command):
        return [{"lines": ["1 A 0"], "more": True}, {"lines": ["2 B 0"]}]

    def _do_restart(self, command):
        self.restarts += 1
        return {}
