"""The process around the models: fork, exit, silence, subinterpreters.

Each test is a script in a Python process of its own, which must end well and write nothing but
what it was asked to.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import litert

DATA = Path(__file__).resolve().parent / "data"

PRELUDE = """
import asyncio, os, sys, threading, time
import numpy as np
import litert

DATA, BACKEND = sys.argv[1:]
ONES = np.ones((1, 4), np.float32)

def load(stem):
    return litert.Model(f"{DATA}/{stem}.tflite", backend=BACKEND)

def slow_inputs(n):
    return {"n": np.array([n], np.int32), "x": np.ones((32, 128), np.float32)}
"""


def run_script(script: str, backend: str) -> subprocess.CompletedProcess[str]:
    """Run the prelude and ``script``; a hang is an error."""
    return subprocess.run(
        [sys.executable, "-c", PRELUDE + script, str(DATA), backend],
        capture_output=True,
        text=True,
        timeout=30,
    )


def assert_silent_success(script: str, backend: str) -> None:
    done = run_script(script, backend)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# --- fork ---------------------------------------------------------------------------------------

FORK = """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)  # Python's own, of forks beside threads

def in_child(work):
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    deadline = time.monotonic() + 8
    while time.monotonic() < deadline:
        waited, status = os.waitpid(child, os.WNOHANG)
        if waited:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, 9)
    return "the child hangs"
"""


@pytest.mark.parametrize(
    "work",
    [
        "model.run({'x': ONES, 'y': ONES})['sum'][0, 0] == 2",
        "model.run({'x': ONES}, signature='scale')['scaled'].shape == (1, 4)",
        "runner.run() is None and runner.outputs['sum'][0, 0] == 3",
        "load('mlp').run(np.ones((1, 8), np.float32))",
        "asyncio.run(model.arun({'x': ONES, 'y': ONES}))['sum'][0, 0] == 2",
        "model.close() is None",
    ],
)
def test_child_of_a_fork_uses_what_was_loaded_before(backend: str, work: str) -> None:
    script = f"""
model = load("add")
model.run({{"x": ONES, "y": ONES}})
runner = model.bind()
runner.inputs["x"][...] = 1
runner.inputs["y"][...] = 2
runner.run()

def work():
    assert {work}

status = in_child(work)
assert status == 0, status
assert model.run({{"x": ONES, "y": ONES}})["sum"][0, 0] == 2
"""
    assert_silent_success(FORK + script, backend)


def test_child_of_a_fork_uses_a_model_whose_own_thread_stayed_behind(backend: str) -> None:
    """``arun`` has a thread, which the child does not have."""
    script = """
model = load("add")
inputs = {"x": ONES, "y": ONES}
asyncio.run(model.arun(inputs))

def work():
    assert asyncio.run(asyncio.wait_for(model.arun(inputs), 5))["sum"][0, 0] == 2

status = in_child(work)
assert status == 0, status
"""
    assert_silent_success(FORK + script, backend)


def test_child_of_a_fork_loads_models_while_the_parent_was_loading(backend: str) -> None:
    script = """
is_stopping = False
load("add").close()

def load_often():
    while not is_stopping:
        load("add").close()

thread = threading.Thread(target=load_often)
thread.start()
try:
    for _ in range(20):
        status = in_child(lambda: load("mlp").run(np.ones((1, 8), np.float32)))
        assert status == 0, status
finally:
    is_stopping = True
    thread.join()
"""
    assert_silent_success(FORK + script, backend)


def test_child_of_a_fork_loads_models_while_the_parent_was_loading_python_kernels() -> None:
    script = """
operator = litert.CustomOp("LitertTestUnknownOp", np.sinh)
is_stopping = False
load("add").close()

def load_often():
    while not is_stopping:
        litert.Model(f"{DATA}/custom_op.tflite", custom_ops=[operator]).close()

threads = [threading.Thread(target=load_often) for _ in range(2)]
for thread in threads:
    thread.start()
try:
    for _ in range(50):
        status = in_child(lambda: load("add").close())
        assert status == 0, status
finally:
    is_stopping = True
    for thread in threads:
        thread.join()
"""
    assert_silent_success(FORK + script, "native")


def test_child_of_a_fork_closes_a_model_that_its_parent_was_profiling() -> None:
    script = """
is_inside = threading.Event()

def kernel(x):
    is_inside.set()
    time.sleep(0.3)
    return x

operator = litert.CustomOp("LitertTestUnknownOp", kernel)
model = litert.Model(f"{DATA}/custom_op.tflite", custom_ops=[operator])
with model.profile():
    thread = threading.Thread(target=model.run, args=[np.float32([0, 1, 2, 3])])
    thread.start()
    is_inside.wait()
    status = in_child(model.close)
    thread.join()
assert status == 0, status
"""
    assert_silent_success(FORK + script, "native")


def test_child_of_a_fork_closes_a_model_that_its_parent_was_running(backend: str) -> None:
    script = """
model = load("slow_loop")
thread = threading.Thread(target=model.run, args=[slow_inputs(50_000)])
thread.start()
time.sleep(0.1)
status = in_child(model.close)
assert status == 0, status
thread.join()
"""
    assert_silent_success(FORK + script, backend)


# --- exit ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "script",
    [
        'model = load("add"); model.run({"x": ONES, "y": ONES})',
        'runner = load("add").bind(); runner.run()',
        'runner = load("add").bind(); view = runner.outputs["sum"]; del runner',
        'model = load("add"); runner = model.bind(); litert.kept = [runner, model]',
        'cycle = [load("add")]; cycle.append(cycle)',
        'model = load("add"); asyncio.run(model.arun({"x": ONES, "y": ONES}))',
    ],
)
def test_exit_with_living_objects_is_clean(backend: str, script: str) -> None:
    assert_silent_success(script, backend)


# Python's own exit takes half a second here, in which threads that come back from a call find that
# there is no interpreter to come back to.
SLOW_EXIT = """
class SlowToDie:
    def __del__(self, sleep=time.sleep):
        sleep(0.5)

slow_to_die = SlowToDie()
"""


@pytest.mark.parametrize(
    "call",
    [
        "model.run(slow_inputs(5_000))",
        "runner.run()",
        "model.run(slow_inputs(1))",
        "load('add').close()",
        "model.bind().close()",
    ],
)
def test_exit_with_daemon_threads_inside_calls_is_clean(backend: str, call: str) -> None:
    script = f"""
model = load("slow_loop")
runner = model.bind()
runner.inputs["n"][...] = 5_000

def call_often():
    while True:
        try:
            {call}
        except litert.ExecutionError:
            pass  # the runner is in use by the other thread

for _ in range(2):
    threading.Thread(target=call_often, daemon=True).start()
time.sleep(0.1)
"""
    assert_silent_success(SLOW_EXIT + script, backend)


def test_exit_with_a_daemon_thread_inside_a_python_kernel_is_clean() -> None:
    script = """
def kernel(x):
    time.sleep(0.001)
    return np.sinh(x)

operator = litert.CustomOp("LitertTestUnknownOp", kernel)
model = litert.Model(f"{DATA}/custom_op.tflite", custom_ops=[operator])

def run_often():
    while True:
        model.run(np.float32([0, 1, 2, 3]))

threading.Thread(target=run_often, daemon=True).start()
time.sleep(0.1)
"""
    assert_silent_success(SLOW_EXIT + script, "native")


def test_exit_with_an_abandoned_arun_is_clean(backend: str) -> None:
    script = """
model = load("slow_loop")

async def abandon():
    task = asyncio.create_task(model.arun(slow_inputs(10_000)))
    await asyncio.sleep(0.01)
    task.cancel()

asyncio.run(abandon())
"""
    assert_silent_success(script, backend)


# --- silence ------------------------------------------------------------------------------------


@pytest.mark.parametrize("stem", ["mlp", "conv", "int8_add", "counter_variable", "where_dynamic"])
def test_nothing_is_written_while_models_load_and_run(backend: str, stem: str) -> None:
    backend = "auto" if backend == "native" else backend
    script = f"""
with load("{stem}") as model, model.bind() as runner:
    runner.run()
    model.run({{name: np.zeros(a.shape, a.dtype) for name, a in runner.inputs.items()}})
"""
    assert_silent_success(script, backend)


@pytest.mark.parametrize(
    "script",
    [
        'load("custom_op")',
        'load("invalid_garbage")',
        'load("invalid_incompatible_shapes")',
        'load("no such file")',
        'load("cast_float32_to_uint64").run(np.zeros((2, 3), np.float32))',
        'load("add").run({"x": ONES})',
    ],
)
def test_nothing_is_written_when_something_fails(backend: str, script: str) -> None:
    backend = "auto" if backend == "native" else backend
    script = f"""
try:
    {script}
except litert.LiteRTError:
    pass
else:
    raise AssertionError("no error")
"""
    assert_silent_success(script, backend)


@pytest.mark.parametrize(
    ("script", "text"),
    [
        ('load("cast_float32_to_uint64").run(np.zeros((2, 3), np.float32))', "UINT64"),
        ('load("invalid_incompatible_shapes")', "reshape"),
    ],
)
def test_what_the_library_says_is_in_the_error(backend: str, script: str, text: str) -> None:
    script = f"""
try:
    {script}
except litert.LiteRTError as err:
    assert any({text!r} in line for line in err.library_log), err.library_log
"""
    assert_silent_success(script, backend)


def test_stderr_of_other_threads_is_not_lost_while_models_load(backend: str) -> None:
    """What the library writes is caught in its own thread; C and Python code beside it is not."""
    script = """
import ctypes
libc = ctypes.CDLL(None)
libc.fputs.argtypes = [ctypes.c_char_p, ctypes.c_void_p]
is_stopping = False

def load_often():
    while not is_stopping:
        load("mlp").close()

thread = threading.Thread(target=load_often)
thread.start()
for number in range(500):
    print("python", number, file=sys.stderr)
    os.write(2, b"descriptor %d\\n" % number)
is_stopping = True
thread.join()
"""
    done = run_script(script, backend)
    expected = [f"{kind} {number}" for number in range(500) for kind in ("python", "descriptor")]
    assert done.returncode == 0
    assert done.stderr.splitlines() == expected


# --- other interpreters -------------------------------------------------------------------------

SUBINTERPRETER = """
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
code = '''
import warnings
warnings.simplefilter("ignore")  # NumPy's own, about subinterpreters
try:
    import litert
    litert.load_library()
    litert.Model(PATH, backend="native").close()
except (ImportError, litert.LibraryError) as err:
    assert str(err)
'''
load("add").close()
number = interpreters.create()
run = getattr(interpreters, "exec", interpreters.run_string)
failure = run(number, code.replace("PATH", repr(f"{DATA}/add.tflite")))
interpreters.destroy(number)
assert failure is None, failure
assert load("add").run({"x": ONES, "y": ONES})["sum"][0, 0] == 2
"""


def test_subinterpreter_loads_models_or_says_that_it_cannot() -> None:
    assert_silent_success(SUBINTERPRETER, "native")


def test_free_threaded_python_runs_models_without_the_gil() -> None:
    if getattr(sys, "_is_gil_enabled", lambda: True)():
        pytest.skip("this Python has the GIL; a free-threaded one is needed")
    script = """
load("add").run({"x": ONES, "y": ONES})
assert not sys._is_gil_enabled()
"""
    assert_silent_success(script, "native")


def test_scripts_of_this_file_use_the_package_under_test() -> None:
    done = run_script("print(os.path.dirname(litert.__file__))", "native")
    assert done.stdout.strip() == os.path.dirname(litert.__file__)


def test_missing_extension_falls_back_with_one_warning(tmp_path: Path, backend: Any) -> None:
    """A package without ``_native`` says so once, and computes the same."""
    if backend == "native":
        pytest.skip("about the fallback")
    script = """
import warnings
sys.modules["litert._native"] = None
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for _ in range(3):
        model = litert.Model(f"{DATA}/add.tflite")
assert model.backend == "reference"
assert [w.category for w in caught] == [litert.BackendFallbackWarning], caught
assert model.run({"x": ONES, "y": ONES})["sum"][0, 0] == 2
"""
    assert_silent_success(script, backend)
