"""`python -m tools cloud`: the emulated cloud for any Coze client, until Ctrl-C."""

import argparse
import asyncio
import contextlib
import json
import signal
import sys

from . import faults, scenario
from .recorder import Printer
from .server import CloudServer

_ABOUT = """\
An emulated Coze realtime voice cloud (/v1/chat) on this machine, for any client that speaks that protocol.

It prints one JSON line on standard output with what a client needs, then serves until Ctrl-C:
  {"url": "ws://localhost:8765/v1/chat", "token": "T", "ca_pem": null, "ca_der_folder": null, "scenario": "default"}
Give your client the URL (plus ?bot_id= and any digits) and the header `Authorization: Bearer T`.
What it hears and answers is told on standard error as it happens.
"""

_EXAMPLES = """\
examples:
  python -m tools cloud --port 8765 --plain --token T      no TLS, for a first try
  python -m tools cloud --tls .cloud                       TLS; .cloud/ca.pem and .cloud/roots/*.der are its root
  python -m tools cloud --scenario my.json --record out    your own answers; sound and messages land in out/

A scenario is a JSON file: turns (what is heard, what is answered: text with a WAV file or a made-up signal) and
faults (what goes wrong; --list-faults). A wrong key is named when the file is read; tools/cloud/scenario.py lists
all of them. Scenarios that come along: %s.
"""


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m tools cloud", description=_ABOUT, epilog=_EXAMPLES % ", ".join(scenario.names()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=int, default=0, help="TCP port (default: a free one)")
    parser.add_argument("--host", help="address to bind and to print (default: loopback only)")
    link = parser.add_mutually_exclusive_group()
    link.add_argument("--plain", action="store_true", help="ws:// without TLS")
    link.add_argument("--tls", metavar="DIR", help="wss://; the authority's root is written to this folder "
                                                   "(default: wss:// with a temporary folder)")
    parser.add_argument("--token", default="pat_emulated", help="the token clients must bear (default: %(default)s)")
    parser.add_argument("--scenario", default="default", metavar="FILE",
                        help="a scenario file, or the name of one that comes along (default: %(default)s)")
    parser.add_argument("--record", metavar="DIR", help="write what was heard and sent as WAV, and every message")
    parser.add_argument("--seed", type=int, default=1, help="of jitter and packet sizes (default: %(default)s)")
    parser.add_argument("--list-faults", action="store_true", help="list every fault a scenario can hold, and end")
    parser.add_argument("--quiet", action="store_true", help="nothing on standard error")
    return parser


def _catalogue():
    lines = ["A fault in a scenario: {\"kind\": its name, and parameters that differ from those shown}.", ""]
    for kind in faults.KINDS.values():
        lines.append("%s  %s" % (kind.name, json.dumps(kind.parameters) if kind.parameters else ""))
        lines += ["    " + line.strip() for line in kind.act.__doc__.splitlines()]
    return "\n".join(lines)


def run_cli(argv):
    """argv: the words behind the verb. Returns the exit code: 0, or 2 for a mistake of the user."""
    options = _parser().parse_args(argv)
    if options.list_faults:
        print(_catalogue())
        return 0
    printer = None if options.quiet else Printer(lambda line: print(line, file=sys.stderr, flush=True))
    try:
        server = CloudServer(
            options.scenario, token=options.token, host=options.host, port=options.port,
            tls=False if options.plain else options.tls or True,
            tls_hosts=("localhost", "127.0.0.1", "::1") + ((options.host,) if options.host else ()),
            record=options.record, seed=options.seed, observer=printer,
        )
        asyncio.run(_serve(server))
    except (OSError, scenario.ScenarioError) as error:
        print("cloud: %s" % error, file=sys.stderr)
        return 2
    return 0


async def _serve(server):
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stop.set)
    async with server:
        print(json.dumps({
            "url": server.url, "token": server.token, "ca_pem": server.ca_pem, "ca_der_folder": server.ca_der_folder,
            "scenario": server.scenario.name,
        }), flush=True)
        await stop.wait()
