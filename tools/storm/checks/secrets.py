"""Promise 7: a secret never appears in a trace, a log or an error."""

import base64

from . import Check


class Secrets(Check):
    number = 7

    def __init__(self, run):
        super().__init__(run)
        self._secrets = []
        for secret in run.secrets:
            self._secrets += [secret, base64.b64encode(secret.encode()).decode()[:-4], secret[4:-4]]

    def on_line(self, line):
        for secret in self._secrets:
            if secret in line:
                self.violate("a secret was told: %s" % line.replace(secret, "***")[:200])

    def on_end(self):
        for line in self.run.speaker.trace.lines():
            self.on_line(line)
        self.on_line(repr(self.run.config.redacted()))
