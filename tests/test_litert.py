"""``LiteRTManager``: load, generate, unload."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import litert
from interpreter_oracle import run_interpreter
from litert import LiteRTManager
from litert.samples import speller_model_path

ONES = np.ones((1, 4), np.float32)


@pytest.fixture
def manager() -> Iterator[LiteRTManager]:
    """A manager, unloaded after the test."""
    with LiteRTManager() as manager:
        yield manager


# load_model


def test_load_model_returns_true_and_holds_the_model(manager: LiteRTManager, data: Path) -> None:
    assert not manager.is_loaded
    assert manager.load_model(data / "mlp.tflite") is True
    assert manager.is_loaded
    assert list(manager.model.signatures) == ["serving_default"]


def test_load_model_takes_a_path_as_text(manager: LiteRTManager, data: Path) -> None:
    assert manager.load_model(str(data / "mlp.tflite")) is True


def test_load_model_takes_all_options_by_name(manager: LiteRTManager, data: Path) -> None:
    loaded = manager.load_model(
        str(data / "mlp.tflite"), use_xnnpack=True, use_gpu=False, num_threads=2
    )
    assert loaded is True
    assert manager.generate({"input": np.zeros((1, 8), np.float32)})["output"].shape == (1, 3)


def test_load_model_without_a_gpu_is_refused_with_a_reason(
    manager: LiteRTManager, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VK_DRIVER_FILES", "/no/driver.json")
    with pytest.raises(litert.AcceleratorError, match="'gpu' is not available: no Vulkan"):
        manager.load_model(data / "mlp.tflite", use_gpu=True)
    assert not manager.is_loaded


def test_load_model_on_the_gpu_runs_there(
    manager: LiteRTManager, data: Path, software_gpu: Path
) -> None:
    manager.load_model(data / "mlp.tflite", use_gpu=True)
    assert manager.model.placement.accelerator == "gpu"


def test_load_language_model_on_the_gpu_is_refused(manager: LiteRTManager) -> None:
    with pytest.raises(litert.AcceleratorError, match="language models run on the CPU alone"):
        manager.load_model(speller_model_path(), use_gpu=True)


def test_load_model_missing_file_raises(manager: LiteRTManager, tmp_path: Path) -> None:
    with pytest.raises(litert.ModelNotFoundError, match=r"no\.tflite': no such file"):
        manager.load_model(tmp_path / "no.tflite")
    assert not manager.is_loaded


def test_load_model_bad_number_of_threads_raises(manager: LiteRTManager, data: Path) -> None:
    with pytest.raises(litert.OptionError, match="num_threads: expected 1 to 1024, got 0"):
        manager.load_model(data / "mlp.tflite", num_threads=0)


def test_load_model_another_replaces_the_first(manager: LiteRTManager, data: Path) -> None:
    manager.load_model(data / "mlp.tflite")
    first = manager.model
    manager.load_model(data / "add.tflite")
    assert manager.generate({"x": ONES, "y": ONES})["sum"].tolist() == [[2, 2, 2, 2]]
    with pytest.raises(litert.ClosedError, match="the model is closed"):
        first.run(np.zeros((1, 8), np.float32))


@pytest.mark.parametrize("name", ["invalid_garbage", "custom_op", "no_such_file"])
def test_load_model_that_fails_keeps_the_one_loaded(
    manager: LiteRTManager, data: Path, name: str
) -> None:
    manager.load_model(data / "add.tflite")
    first = manager.model
    with pytest.raises(litert.ModelError, match=r"\w"):
        manager.load_model(data / f"{name}.tflite")
    assert manager.model is first
    assert manager.generate({"x": ONES, "y": ONES})["sum"].tolist() == [[2, 2, 2, 2]]


# generate


def test_generate_equals_interpreter(manager: LiteRTManager, data: Path) -> None:
    path = data / "mlp.tflite"
    x = np.linspace(-1, 1, 8, dtype=np.float32)[None]
    manager.load_model(path, num_threads=1)
    result = manager.generate({"x": x})
    np.testing.assert_array_equal(result["probs"], run_interpreter(path, {"x": x})["probs"])


@pytest.mark.parametrize("name", ["mlp", "conv"])
def test_generate_without_xnnpack_is_close(manager: LiteRTManager, data: Path, name: str) -> None:
    path = data / f"{name}.tflite"
    results = []
    for use_xnnpack in (True, False):
        manager.load_model(path, use_xnnpack=use_xnnpack)
        (info,) = manager.model.signatures["serving_default"].inputs.values()
        x = np.random.default_rng(7).uniform(-1, 1, info.shape).astype(np.float32)
        results.append(manager.generate({"input": x})["output"])
    np.testing.assert_allclose(results[0], results[1], rtol=1e-5, atol=1e-6)


def test_generate_input_and_output_stand_for_the_only_ones(
    manager: LiteRTManager, data: Path
) -> None:
    manager.load_model(data / "mlp.tflite")
    result = manager.generate({"input": np.zeros((1, 8), np.float32)})
    assert set(result) == {"probs", "output"}
    assert result["output"] is result["probs"]


def test_generate_takes_the_models_own_names(manager: LiteRTManager, data: Path) -> None:
    manager.load_model(data / "add.tflite")
    result = manager.generate({"x": ONES, "y": 2 * ONES})
    assert result["sum"].tolist() == result["output"].tolist() == [[3, 3, 3, 3]]


def test_generate_input_does_not_stand_for_several(manager: LiteRTManager, data: Path) -> None:
    manager.load_model(data / "add.tflite")
    with pytest.raises(litert.SignatureError, match=r"unknown input 'input'; .*'x', 'y'"):
        manager.generate({"input": ONES})


def test_generate_several_outputs_have_no_output(manager: LiteRTManager, data: Path) -> None:
    manager.load_model(data / "output_twice.tflite")
    result = manager.generate({"input": np.arange(4, dtype=np.float32)})
    assert set(result) == {"first", "second"}


def test_generate_signature_by_its_key(manager: LiteRTManager, data: Path) -> None:
    manager.load_model(data / "add.tflite")
    result = manager.generate({"input": ONES}, signature="scale")
    assert result["output"].tolist() == [[2.5, 2.5, 2.5, 2.5]]


def test_generate_unknown_signature_lists_the_known(manager: LiteRTManager, data: Path) -> None:
    manager.load_model(data / "add.tflite")
    with pytest.raises(litert.SignatureError, match="'add', 'scale'"):
        manager.generate({"input": ONES}, signature="no such")


def test_generate_signature_with_an_empty_key(manager: LiteRTManager, data: Path) -> None:
    manager.load_model(data / "empty_key.tflite")
    x = np.array([1, 2], np.float32)
    assert manager.generate({"x": x, "y": x}, signature="")["output"].tolist() == [2, 4]


def test_generate_another_batch(manager: LiteRTManager, data: Path) -> None:
    manager.load_model(data / "dynamic_batch.tflite")
    for batch in (1, 3, 2):
        assert manager.generate({"input": np.ones((batch, 4), np.float32)})["output"].shape == (
            batch,
            3,
        )


def test_generate_wrong_dtype_leaves_the_manager_usable(manager: LiteRTManager, data: Path) -> None:
    manager.load_model(data / "mlp.tflite")
    with pytest.raises(litert.TensorTypeError, match="expected float32"):
        manager.generate({"input": np.zeros((1, 8))})
    assert manager.generate({"input": np.zeros((1, 8), np.float32)})["output"].shape == (1, 3)


def test_generate_runs_what_only_the_reference_can(manager: LiteRTManager, data: Path) -> None:
    manager.load_model(data / "where_dynamic.tflite")
    result = manager.generate({"input": np.array([0, 1, 0, 0, 1, 0], bool)})
    assert manager.model.backend == "reference"
    assert result["output"].tolist() == [[1], [4]]


# unload


def test_generate_before_loading_raises_closed() -> None:
    with pytest.raises(litert.ClosedError, match="no model is loaded; call load_model first"):
        LiteRTManager().generate({"input": ONES})


def test_unload_twice_is_quiet_and_generate_raises_after(
    manager: LiteRTManager, data: Path
) -> None:
    manager.load_model(data / "mlp.tflite")
    model = manager.model
    manager.unload()
    manager.unload()
    assert not manager.is_loaded
    with pytest.raises(litert.ClosedError, match="no model is loaded"):
        manager.generate({"input": np.zeros((1, 8), np.float32)})
    with pytest.raises(litert.ClosedError, match="the model is closed"):
        model.run(np.zeros((1, 8), np.float32))


def test_unload_then_load_again(manager: LiteRTManager, data: Path) -> None:
    for _ in range(3):
        manager.load_model(data / "mlp.tflite")
        assert manager.generate({"input": np.zeros((1, 8), np.float32)})["output"].shape == (1, 3)
        manager.unload()


def test_unload_leaves_results_valid(manager: LiteRTManager, data: Path) -> None:
    manager.load_model(data / "add.tflite")
    result = manager.generate({"x": ONES, "y": ONES})
    manager.unload()
    assert result["sum"].tolist() == [[2, 2, 2, 2]]


def test_context_manager_unloads(data: Path) -> None:
    with LiteRTManager() as manager:
        manager.load_model(data / "mlp.tflite")
    assert not manager.is_loaded


# Language models


def test_generate_gives_ids_for_ids(manager: LiteRTManager) -> None:
    assert manager.load_model(speller_model_path(), num_threads=1) is True
    result = manager.generate({"input": [7, 11, 13], "max_tokens": 5, "ignore_eos": True})
    with litert.LanguageModel(speller_model_path(), num_threads=1) as lm:
        expected = lm.generate([7, 11, 13], max_tokens=5, ignore_eos=True)
    assert result["output"].dtype == np.int32
    assert tuple(result["output"]) == expected.tokens
    assert result["text"] == expected.text


def test_generate_takes_ids_as_an_array_with_a_batch_axis(manager: LiteRTManager) -> None:
    manager.load_model(speller_model_path(), num_threads=1)
    flat = manager.generate({"input": [7, 11, 13], "max_tokens": 3})["output"]
    batch = manager.generate({"input": np.array([[7, 11, 13]]), "max_tokens": 3})["output"]
    np.testing.assert_array_equal(flat, batch)


def test_generate_gives_text_for_a_prompt(manager: LiteRTManager) -> None:
    manager.load_model(speller_model_path(), num_threads=1)
    result = manager.generate({"prompt": "12 + 30", "max_tokens": 4})
    assert result["text"] == manager.language_model.tokenizer.decode(result["output"].tolist())


@pytest.mark.parametrize("inputs", [{}, {"input": [1], "prompt": "a"}, {"image": [1]}])
def test_generate_without_one_prompt_says_what_it_takes(
    inputs: dict[str, object], manager: LiteRTManager
) -> None:
    manager.load_model(speller_model_path(), num_threads=1)
    with pytest.raises(litert.SignatureError, match=r"either 'input' .* or 'prompt'"):
        manager.generate(inputs)


def test_model_and_language_model_say_which_is_loaded(manager: LiteRTManager, data: Path) -> None:
    manager.load_model(speller_model_path(), num_threads=1)
    assert manager.language_model.context_length == 256
    with pytest.raises(litert.ClosedError, match="take language_model"):
        _ = manager.model
    manager.load_model(data / "mlp.tflite")
    with pytest.raises(litert.ClosedError, match="take model"):
        _ = manager.language_model
