"""Starts the programs of tools/bench/device in folders of their own and reads the JSON lines they print."""

import asyncio
import contextlib
import json
import os
import shutil
import tempfile

from tools import ToolError
from tools.sim import runner

INTERPRETERS = ("micropython", "micropython32", "cpython")
BITS = {"micropython": 64, "micropython32": 32}


class Done:
    """exit_code, reports (the JSON lines), text (the other lines and stderr)."""

    def __init__(self, exit_code, reports, text):
        self.exit_code = exit_code
        self.reports = reports
        self.text = text


@contextlib.contextmanager
def folder(cloud, roots, config):
    """A folder with config.json and tls_roots/, mode 0700. cloud: has url and token; roots: a folder of DER files."""
    path = tempfile.mkdtemp(prefix="pipit-bench-")
    try:
        shutil.copytree(roots, os.path.join(path, "tls_roots"))
        values = {
            "board": "sim", "cloud_url": cloud.url, "token": cloud.token, "bot_id": runner.BOT_ID,
            "wifi_ssid": "bench", "wifi_password": "benchbench",
        }  # fmt: skip
        write(path, "config.json", dict(values, **config))
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def write(folder_path, name, values):
    path = os.path.join(folder_path, name)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(values, file)
    return path


def command_for(interpreter, heap_bytes=None):
    """interpreter: one of INTERPRETERS, or 64 or 32."""
    names = {64: "micropython", 32: "micropython32"}
    return runner.command_for(names.get(interpreter, interpreter), heap_bytes)


async def run(command, cwd, limit_s):
    """Done. A child that takes longer is killed: exit code -1."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        out, errors = await asyncio.wait_for(process.communicate(), limit_s)
    except asyncio.TimeoutError:
        return Done(-1, [], "it did not come to its end in %d s" % limit_s)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    reports = []
    other = []
    for line in out.decode("utf-8", "replace").splitlines():
        try:
            reports.append(json.loads(line))
        except ValueError:
            other.append(line)
    other.append(errors.decode("utf-8", "replace")[-3000:])
    return Done(process.returncode, [report for report in reports if isinstance(report, dict)], "\n".join(other))


async def run_well(command, cwd, limit_s):
    """As run(), for a child whose failure is nobody's plan: ToolError then."""
    done = await run(command, cwd, limit_s)
    if done.exit_code or not done.reports:
        raise ToolError("a measured program failed (exit code %d):\n%s" % (done.exit_code, done.text))
    return done
