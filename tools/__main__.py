"""`python -m tools VERB ...`: finds the verb's module, imports only that one, and turns its errors into sentences."""

import difflib
import importlib
import os
import sys

from tools import ROOT, ToolError, printable

# Verb, the module whose run_cli(arguments) -> exit code does it, and what it is for.
VERBS = (
    ("demo", "tools.demo", "hold a conversation between the simulated speaker and the emulated cloud"),
    ("sim", "tools.sim.cli", "run the speaker on this computer, against either cloud"),
    ("cloud", "tools.cloud.cli", "serve the emulated Coze cloud, for the simulator or any Coze client"),
    ("doctor", "tools.board.doctor", "look at the connected board and say what to do next"),
    ("flash", "tools.board.flash", "write a MicroPython image to an ESP32-S3"),
    ("image", "tools.board.image", "build one flashable file of the speaker's whole file system"),
    ("deploy", "tools.board.deploy", "compile the speaker and copy what changed to a board"),
    ("provision", "tools.board.provision", "set Wi-Fi, agent and token of a speaker over USB"),
    ("monitor", "tools.board.monitor", "watch a speaker's serial port, in words"),
    ("selftest", "tools.board.selftest", "test a board, or the simulated one, and print a report"),
    ("config", "tools.check_config", "check a config.json as the speaker does; show it without its secrets"),
    ("bench", "tools.bench.cli", "measure time, heap and latency of the speaker on this computer"),
    ("storm", "tools.storm.cli", "hours of conversation on bad networks and bad days, replayable from a seed"),
    ("soak", "tools.soak.cli", "a thousand turns on real MicroPython, and what they leave in the heap"),
    ("size", "tools.size", "compile every device file and print its size"),
    ("mpy", "tools.mpy", "get a real MicroPython for this computer and print where it is"),
)
NEEDS_PYTHON = (3, 10)

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, what a shell expects


def main(arguments):
    """Exit code of the verb; 2 when the command line is wrong, 1 when the verb cannot do its work."""
    if sys.version_info < NEEDS_PYTHON:
        found = sys.version.split()[0]
        print("Python %d.%d or later is needed, this is %s" % (NEEDS_PYTHON + (found,)), file=sys.stderr)
        return EXIT_USAGE
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(help_text())
        return 0 if arguments else EXIT_USAGE
    verb = arguments[0]
    modules = {name: module for name, module, _ in VERBS}
    if verb not in modules:
        print(unknown_text(verb), file=sys.stderr)
        return EXIT_USAGE
    return run_verb(verb, modules[verb], arguments[1:])


def run_verb(verb, module_name, arguments):
    if sys.stdin is None:  # closed by who started us: nobody is there to ask
        sys.stdin = open(os.devnull, encoding="utf-8")
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal that lacks a letter of ours or of the cloud's shows its code
            stream.reconfigure(errors="backslashreplace")
    if os.path.join(ROOT, "lib") not in sys.path:
        sys.path.insert(1, os.path.join(ROOT, "lib"))  # the device has its /lib on the path too
    sys.argv = ["python -m tools " + verb] + arguments  # what argparse prints as the name of the program
    try:
        return importlib.import_module(module_name).run_cli(arguments) or 0
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of our output (`| head`) has left; the interpreter must not complain about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except ModuleNotFoundError as error:
        if is_ours(error.name):
            raise
        return fail(verb, missing_package_text(error.name))
    except (ToolError, OSError) as error:
        if os.environ.get("PIPIT_DEBUG"):
            raise
        return fail(verb, os_text(error) if isinstance(error, OSError) else str(error))


def os_text(error):
    """An OSError without its number: "FILE: No such file or directory"."""
    words = [str(word) for word in (error.filename, error.strerror) if word]
    return ": ".join(words) or str(error)


def fail(verb, text):
    print("%s: %s" % (verb, printable(text, keep="\n")), file=sys.stderr)  # a board or a file may have had its say in it
    return EXIT_FAILED


def is_ours(module_name):
    """True for a module of this repository: its absence is a bug of ours, not a missing package."""
    return (module_name or "").split(".")[0] in ("tools", "firmware", "boards")


def missing_package_text(name):
    return (
        "the Python package '%s' is missing here (%s).\n"
        "`make venv` puts all packages into .venv; then use .venv/bin/python -m tools ..." % (name, sys.executable)
    )


def unknown_text(verb):
    near = difflib.get_close_matches(verb, [name for name, _, _ in VERBS], 1, 0.5)
    hint = "did you mean '%s'?" % near[0] if near else "`python -m tools --help` lists them all."
    return "there is no verb '%s'; %s" % (verb, hint)


def help_text():
    lines = ["usage: python -m tools VERB [options]", ""]
    lines += ["  %-9s %s" % (name, help_line) for name, _, help_line in VERBS]
    lines += [
        "",
        "First steps:",
        "  python -m tools demo              hear it work: no hardware, no key, no account",
        "  python -m tools sim               talk to it: the space bar is the button",
        "  python -m tools VERB --help       the options of one verb",
        "",
        "Exit codes: 0 done, 1 failed (the last line says why), 2 wrong command line, 130 interrupted.",
        "PIPIT_DEBUG=1 shows the stack trace behind an error.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
