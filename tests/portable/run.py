"""Runs the portable tests on an interpreter that has no pytest: `micropython tests/portable/run.py [NAME ...]`.

NAME is a module (`test_ring`), a test (`test_a_full_ring_refuses`) or the start of one; none means all. Every
test_*.py beside this file is imported, its test_* functions run in the order of their names. Failures are printed
with their traceback. The last line is "N passed, N failed"; the exit code is 1 when anything failed or nothing ran.
`--modules` prints the names of the modules instead.
"""

import asyncio
import gc
import os
import sys


def folder_of(path):
    folder, slash, _ = path.replace("\\", "/").rpartition("/")
    return folder if slash else "."


HERE = folder_of(__file__)
ROOT = HERE + "/../.."


def main(arguments):
    sys.path[:0] = [HERE, ROOT, ROOT + "/lib"]
    modules = sorted(name[:-3] for name in os.listdir(HERE) if name.startswith("test_") and name.endswith(".py"))
    if "--modules" in arguments:
        print("\n".join(modules))
        return 0
    passed = 0
    failed = 0
    for module in modules:
        try:
            tests = find_tests(module, arguments)
        except Exception as error:
            # A module that cannot be imported is one failure, and the others still run.
            show(module, error)
            failed += 1
            continue
        n_right = 0
        for name, test in tests:
            n_right += run_one(module, name, test)
        passed += n_right
        failed += len(tests) - n_right
        if tests:
            print("%-28s %d of %d" % (module, n_right, len(tests)))
    if passed + failed == 0:
        print("no test is called:", " ".join(arguments))
    print("%d passed, %d failed" % (passed, failed))
    return 0 if passed and not failed else 1


def find_tests(module_name, wanted):
    """[(name, function)] of one module, sorted by name; [] without an import when `wanted` names another module."""
    is_whole = not wanted or module_name in wanted
    if not is_whole and all(name in wanted_modules(wanted) for name in wanted):
        return []
    module = __import__(module_name)
    found = []
    for name in sorted(dir(module)):
        if name.startswith("test_") and (is_whole or any(name.startswith(start) for start in wanted)):
            found.append((name, getattr(module, name)))
    return found


def wanted_modules(wanted):
    files = os.listdir(HERE)
    return [name for name in wanted if name + ".py" in files]


def run_one(module_name, name, test):
    """True when the test passed. The next one starts with a collected heap and an empty event loop."""
    try:
        result = test()
        if hasattr(result, "send"):  # an async test: the call has only made its coroutine
            asyncio.run(result)
        return True
    except Exception as error:
        show("%s.%s" % (module_name, name), error)
        return False
    finally:
        if sys.implementation.name == "micropython":
            asyncio.new_event_loop()  # forget tasks that the test left behind
        gc.collect()


def show(name, error):
    print("FAILED", name)
    if hasattr(sys, "print_exception"):
        sys.print_exception(error, sys.stdout)
    else:
        import traceback

        traceback.print_exception(type(error), error, error.__traceback__, file=sys.stdout)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
