"""What all host tests share: the fast ones first, async ones run, figures shown at the end.

Tests that live by the clock of this machine (a real speaker process with its sound) carry the mark real_time, those
that share the scenes of conversation.py the mark conversation too: tests/run.py keeps the rounds apart, because a core
that computes beside them would cost them samples.
"""

import asyncio
import inspect

import pytest

# The first word found in the path of a test file decides when it runs; unlisted ones come after the unit tests.
# A broken unit explains a broken conversation, never the other way round.
_ORDER = ("/portable/", "test_arrows", "*", "test_mpy", "test_sim", "test_demo", "test_conversation", "test_end")


# Files of which every test lives by the clock.
_REAL_TIME = (
    "test_bench", "test_board_provision_sim", "test_board_selftest", "test_boards_sim", "test_conversation", "test_improv_sdk",
    "test_proxy", "test_serial_sim", "test_sim_", "test_soak", "test_timeline_live", "test_tls_writes", "test_watchdog",
)  # fmt: skip


_figures = []  # that arrived with reports


def pytest_configure(config):
    config.pipit_figures = []


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: _rank(str(item.path)))
    for item in items:
        if item.path.name.startswith(_REAL_TIME):
            item.add_marker(pytest.mark.real_time)
        if hasattr(item.module, "SCENES"):
            item.add_marker(pytest.mark.conversation)


def _rank(path):
    for i, word in enumerate(_ORDER):
        if word in path:
            return i
    return _ORDER.index("*")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    """Run an `async def test_...` as the portable runner does."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


@pytest.fixture
def show_figure(request):
    """show_figure(text): a line below the results, for counts and times that a reader wants to see."""
    return lambda text: request.node.user_properties.append(("figure", text))


@pytest.hookimpl
def pytest_runtest_logreport(report):
    """Figures travel with the reports, so that they arrive from other processes too."""
    if report.when == "teardown":
        _figures.extend(text for name, text in report.user_properties if name == "figure")


def pytest_terminal_summary(terminalreporter, config):
    if config.pipit_figures or _figures:
        terminalreporter.section("figures")
        for line in config.pipit_figures + _figures:
            terminalreporter.write_line(line)
