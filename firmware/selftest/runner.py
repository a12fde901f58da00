"""The self-test: every check once, in order, each with PASS, FAIL or SKIP and its figures, and one JSON report.

    from firmware.selftest import runner
    runner.main()                       everything
    runner.main(only=("microphone",))   some

It runs instead of the speaker, on a board from the REPL and in the simulator. A check is an async function of a Bench;
it returns when all is well, raises Failed or Skipped with a sentence that names cause and cure, and writes figures
into bench.figures. It may raise anything else: the report goes on and calls it a FAIL.
"""

import asyncio
import sys

from unload import unload

from .. import compat, errors, ports as world, report
from . import bench as benches

# Name of the check -> the module that has the function of that name. Needs no network before "scan".
CHECKS = (
    ("pins", "parts"), ("memory", "parts"), ("led", "parts"), ("button", "parts"),
    ("microphone", "sound"), ("beep", "sound"), ("loop", "sound"),
    ("i2s", "claims"), ("clocks", "claims"), ("stop", "claims"), ("frames", "claims"), ("collector", "claims"),
    ("scan", "network"), ("wifi", "network"), ("clock", "network"), ("tls", "network"), ("agent", "network"),
)  # fmt: skip
PASS = "PASS"
FAIL = "FAIL"
SKIP = "SKIP"


def main(path="config.json", only=None, ask=None, ports=None):
    """Run the checks named in `only`, or all; print the report. Returns errors.EXIT_OK, or EXIT_BROKEN after a FAIL.

    ask(name, text) -> True or False, what a person answered, None when nobody did; None: nobody is there.
    """
    ports = ports or world.real()
    bench = benches.Bench(path, ports, ask or (lambda name, text: None))
    results = []
    try:
        asyncio.run(_run(bench, only, results))
    except KeyboardInterrupt:
        pass  # what was tested so far is reported
    finally:
        bench.close()
    counts = {verdict: sum(1 for result in results if result["verdict"] == verdict) for verdict in (PASS, FAIL, SKIP)}
    report.say(
        "selftest", ports.ticks_ms(), product="pipit", board=bench.board_name, system=_system(), results=results,
        passed=counts[PASS], failed=counts[FAIL], skipped=counts[SKIP], is_whole=len(results) == len(_wanted(only)),
    )  # fmt: skip
    return errors.EXIT_BROKEN if counts[FAIL] or not counts[PASS] else errors.EXIT_OK


def _wanted(only):
    return [row for row in CHECKS if not only or row[0] in only]


async def _run(bench, only, results):
    for name, module_name in _wanted(only):
        report.say("testing", bench.ports.ticks_ms(), name=name)
        result = await _check(bench, name, module_name)
        results.append(result)
        report.say("check", bench.ports.ticks_ms(), **result)
        bench.close_sound()
        bench.collect()


async def _check(bench, name, module_name):
    """One check as it stands in the report."""
    bench.figures = {}
    verdict, text = PASS, ""
    began_ms = bench.ports.ticks_ms()
    try:
        module = getattr(__import__("firmware.selftest." + module_name).selftest, module_name)
        await getattr(module, name)(bench)
    except benches.Failed as error:
        verdict, text = FAIL, error.args[0]
    except benches.Skipped as error:
        verdict, text = SKIP, error.args[0]
    except errors.PipitError as error:
        verdict, text = FAIL, error.text
    except Exception as error:  # a part that answers in a way nobody thought of is a finding, not an end
        verdict, text = FAIL, "the check broke: " + compat.format_exception(error).strip().split("\n")[-1]
    finally:
        unload("firmware.selftest", (module_name,))
    took_ms = compat.ticks_diff(bench.ports.ticks_ms(), began_ms)
    return {"name": name, "verdict": verdict, "text": text, "took_ms": took_ms, "figures": bench.figures}


def _system():
    version = ".".join([str(part) for part in tuple(sys.implementation.version)[:3]])
    machine = getattr(sys.implementation, "_machine", sys.platform)
    return "%s %s, %s" % (sys.implementation.name, version, machine)
