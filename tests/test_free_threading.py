"""What the GIL would keep apart: objects that threads share and change at the same moment.

With a GIL these tests show little, but hold too. LITERT_TEST_FULL=1 gives each fifty rounds.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import litert
from in_threads import NUM_THREADS, in_threads
from litert.samples import speller_model_path

NUM_ROUNDS = 50 if os.environ.get("LITERT_TEST_FULL") == "1" else 3

GREEDY: dict[str, Any] = {"temperature": 0.0, "ignore_eos": True, "max_tokens": 12}

Array = npt.NDArray[Any]

pytestmark = [pytest.mark.stress, pytest.mark.usefixtures("turn")]


@pytest.fixture(params=range(NUM_ROUNDS))
def turn(request: pytest.FixtureRequest) -> int:
    """Do everything several times over."""
    return int(request.param)


@pytest.fixture
def add(data: Path) -> Iterator[litert.Model]:
    with litert.Model(data / "add.tflite", backend="native") as model:
        yield model


@pytest.fixture(scope="module")
def speller() -> Iterator[litert.LanguageModel]:
    with litert.LanguageModel(speller_model_path(), num_threads=1, weight_cache=None) as model:
        yield model


def full(value: float) -> Array:
    return np.full((1, 4), value, np.float32)


def check_sum(result: dict[str, Array], value: float) -> None:
    assert list(result) == ["sum"]
    np.testing.assert_array_equal(result["sum"], full(value))


@pytest.mark.skipif(
    not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="needs a free-threaded Python"
)
def test_extension_leaves_the_gil_off() -> None:
    script = (
        "import sys, litert; from litert import _native; litert.load_library(); "
        "print(sys._is_gil_enabled())"
    )
    # -W error: Python warns where a module turns the GIL on.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHON_GIL"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_threads_on_one_model_get_their_own_answers(add: litert.Model) -> None:
    def run_often(number: int) -> None:
        for count in range(200):
            value = 1000 * number + count
            check_sum(add.run({"x": full(value), "y": full(1)}), value + 1)

    in_threads(run_often)


def test_results_that_a_thread_holds_do_not_change(add: litert.Model) -> None:
    def hold(number: int) -> list[dict[str, Array]]:
        return [add.run({"x": full(number), "y": full(count)}) for count in range(200)]

    for number, results in enumerate(in_threads(hold)):
        for count, result in enumerate(results):
            check_sum(result, number + count)
        assert len({id(result) for result in results}) == len(results)


def test_first_runs_of_a_model_meet(data: Path) -> None:
    for _ in range(10):
        with litert.Model(data / "add.tflite", backend="native") as model:

            def run(number: int, model: litert.Model = model) -> None:
                signature = ("add", None)[number % 2]
                result = model.run({"x": full(number), "y": full(1)}, signature=signature)
                check_sum(result, number + 1)
                assert list(model.signatures) == ["add", "scale"]

            in_threads(run)


def test_input_dict_that_another_thread_changes_gives_old_or_new_values(add: litert.Model) -> None:
    inputs = {"x": full(1), "y": full(1)}
    is_over = threading.Event()

    def change() -> None:
        value = 0
        while not is_over.is_set():
            value = 3 - value if value else 1
            inputs["x"] = full(value)
            inputs.pop("y")
            inputs["y"] = full(1)

    def run_often(_: int) -> None:
        for _ in range(300):
            try:
                result = add.run(inputs)
            except (litert.SignatureError, KeyError, RuntimeError):
                continue  # without "y", or changed while Python looked through it
            assert result["sum"].min() == result["sum"].max()
            assert result["sum"][0, 0] in (2, 3)

    changer = threading.Thread(target=change)
    changer.start()
    try:
        in_threads(run_often, 4)
    finally:
        is_over.set()
        changer.join()


def test_runners_in_threads_keep_their_memory(add: litert.Model) -> None:
    def run_often(number: int) -> None:
        with add.bind("add") as runner:
            runner.inputs["x"][...] = number
            for count in range(200):
                runner.inputs["y"][...] = count
                runner.run()
                np.testing.assert_array_equal(runner.outputs["sum"], full(number + count))

    in_threads(run_often)


def test_one_runner_in_threads_computes_or_says_that_it_is_in_use(add: litert.Model) -> None:
    arrays = [litert.empty_aligned((1, 4), np.float32) for _ in range(NUM_THREADS)]
    runner = add.bind("add")

    def use(number: int) -> None:
        arrays[number][...] = number
        for count in range(100):
            try:
                if count == 90 and number == 0:
                    runner.close()
                elif count % 2:
                    runner.bind_input("x", arrays[number])
                else:
                    runner.run()
            except litert.ClosedError:
                return
            except litert.ExecutionError as err:
                if "in use by another thread" not in str(err):
                    raise

    in_threads(use)
    runner.close()
    with pytest.raises(litert.ClosedError, match="the runner is closed"):
        runner.run()


def test_close_while_threads_use_the_model_ends_them_with_closed_error(data: Path) -> None:
    for _ in range(5):
        model = litert.Model(data / "add.tflite", backend="native")

        def use(number: int, model: litert.Model = model) -> str:
            for count in range(100_000):
                try:
                    if number == 0 and count == 20:
                        model.close()
                    elif number % 2:
                        check_sum(model.run({"x": full(number), "y": full(1)}), number + 1)
                    else:
                        with model.bind("add") as runner:
                            runner.run()
                except litert.ClosedError as err:
                    return str(err)
            return "never closed"

        assert set(in_threads(use)) <= {"the model is closed", "the runner is closed"}


def test_close_refuses_or_ends_what_is_submitted_meanwhile(data: Path) -> None:
    import asyncio

    async def run_often(model: litert.Model) -> type[BaseException]:
        while True:
            try:
                await model.arun({"x": full(1), "y": full(1)})
            except (litert.ClosedError, asyncio.CancelledError) as err:
                return type(err)

    model = litert.Model(data / "add.tflite", backend="native")
    closer = threading.Timer(0.005, model.close)
    closer.start()
    in_threads(lambda _: asyncio.run(run_often(model)), 4)
    closer.join()


def test_sessions_in_threads_generate_what_one_alone_does(speller: litert.LanguageModel) -> None:
    prompts = [[7 + number, 11, 13] for number in range(NUM_THREADS)]
    expected = [speller.generate(prompt, **GREEDY).tokens for prompt in prompts]

    def generate(number: int) -> list[tuple[int, ...]]:
        found = [speller.generate(prompts[number], **GREEDY).tokens]
        with speller.session() as session:
            session.append(prompts[number])
            found.append(session.generate(**GREEDY).tokens)
            assert session.tokens == (*prompts[number], *found[-1])
        return found

    for number, found in enumerate(in_threads(generate)):
        assert found == [expected[number]] * 2


def test_one_session_in_threads_works_or_says_that_it_is_in_use(
    speller: litert.LanguageModel,
) -> None:
    session = speller.session()
    session.append([7, 11, 13])

    def use(number: int) -> None:
        for count in range(30):
            try:
                if number == 0 and count == 25:
                    session.close()
                elif number % 4 == 0:
                    session.generate(temperature=0.0, ignore_eos=True, max_tokens=2)
                elif number % 4 == 1:
                    assert session.tokens[:3] == (7, 11, 13)
                else:
                    session.truncate(3)
            except litert.ClosedError:
                return
            except litert.ExecutionError as err:
                if "in use by another thread" not in str(err) and "was changed" not in str(err):
                    raise

    in_threads(use)
    session.close()
    with pytest.raises(litert.ClosedError, match="the session is closed"):
        session.generate(max_tokens=1)


def test_detokenizer_is_copied_whole_while_another_thread_pushes() -> None:
    from litert import _native

    # U+00E9 in two bytes: half of it is never seen.
    rows = [b"a", b"\xc3", b"\xa9"]
    table = _native.TokenTable(rows, rows, bytes(3), True, False)
    detokenizer = _native.Detokenizer(table)

    def use(number: int) -> None:
        for _ in range(500):
            if number % 2:
                detokenizer.push(0)
            else:
                assert _native.decode_tokens(detokenizer, [0, 1, 2, 0]) == "a\u00e9a"

    in_threads(use)
