"""Signals, sent to real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from peftsearch.errors import StoppedError
from peftsearch.interrupt import Interrupt, leaving

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals of Unix")

LOOP = """
import sys, time
from peftsearch.errors import StoppedError
from peftsearch.interrupt import Interrupt
patient = sys.argv[1] == "patient"
with Interrupt() as interrupt:
    print("ready", flush=True)
    try:
        for step in range(10_000):
            time.sleep(0.01)
            if interrupt.requested:
                print("flag", flush=True)
                if patient:
                    time.sleep(30)
                interrupt.check(f"step {step}")
    except StoppedError as error:
        print(error.message, flush=True)
        sys.exit(error.exit_code)
"""


def start(mode: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", LOOP, mode],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_signal_ends_the_step(number: signal.Signals, code: int) -> None:
    process = start("quick")
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert process.returncode == code
    assert out.startswith("flag\nStopped at step ")
    assert out.endswith("; saved.\n")
    assert err == ""


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_a_second_ctrl_c_leaves_at_once(first: signal.Signals) -> None:
    process = start("patient")
    process.send_signal(first)
    assert process.stdout is not None
    assert process.stdout.readline() == "flag\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (130, "", "")


def test_a_second_sigterm_waits_like_the_first() -> None:
    with Interrupt() as interrupt:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(StoppedError, match="Stopped at search step 7; saved"):
            interrupt.check("search step 7")


def test_the_time_is_over() -> None:
    with Interrupt(max_seconds=1000) as interrupt:
        assert not interrupt.requested
    with Interrupt(max_seconds=0.01) as interrupt:
        time.sleep(0.02)
        assert interrupt.requested
        with pytest.raises(StoppedError, match=r"Stopped at step 7 after 0\.01 s; saved") as error:
            interrupt.check("step 7")
    assert error.value.exit_code == 143


def test_the_grace_after_sigterm_is_over() -> None:
    before = signal.getsignal(signal.SIGALRM)

    def step_that_does_not_end() -> None:
        with Interrupt(grace_seconds=0.01):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)

    message = r"Stopped 0\.01 s after SIGTERM; what was saved last is kept"
    with pytest.raises(StoppedError, match=message) as error:
        step_that_does_not_end()
    assert error.value.exit_code == 143
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_ctrl_c_has_no_grace() -> None:
    with Interrupt(grace_seconds=0.0) as interrupt:
        signal.raise_signal(signal.SIGINT)
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
        with pytest.raises(StoppedError):
            interrupt.check("anywhere")


def test_handlers_are_given_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with Interrupt() as interrupt:
        interrupt.check("anywhere")
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before


def test_other_threads_change_nothing() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen: list[object] = []

    def body() -> None:
        with Interrupt() as interrupt:
            interrupt.check("anywhere")
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert seen == [before]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_leaving_at_once(number: signal.Signals) -> None:
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(StoppedError, match="Stopped here") as caught, leaving("Stopped here"):
        signal.raise_signal(number)
    assert caught.value.exit_code == 128 + number
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before
    with leaving("Stopped here"):
        pass
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before
