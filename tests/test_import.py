"""What importing and using the package brings into the process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

DATA = Path(__file__).resolve().parent / "data"


def modules_after(script: str) -> set[str]:
    """Return the names in ``sys.modules`` after ``script`` in a fresh Python."""
    command = [sys.executable, "-c", f"{script}\nimport sys; print(*sys.modules, sep='\\n')"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return set(done.stdout.split())


def test_importing_litert_imports_nothing_heavy() -> None:
    modules = modules_after("import litert")
    assert "litert" in modules
    assert modules.isdisjoint({"numpy", "ai_edge_litert", "litert._native", "asyncio", "ctypes"})


def test_importing_litert_imports_only_its_own_top_module() -> None:
    before = modules_after("")
    new = modules_after("import litert") - before
    assert {name for name in new if name.startswith("litert")} == {"litert"}


def test_names_are_found_without_being_imported() -> None:
    script = "import litert; assert {'Model', 'Runner', 'LiteRTManager'} <= set(dir(litert))"
    assert "numpy" not in modules_after(script)


def test_each_public_name_is_there() -> None:
    modules_after("import litert\nfor name in litert.__all__: assert getattr(litert, name)")


def test_errors_are_imported_without_numpy() -> None:
    assert "numpy" not in modules_after("from litert import LiteRTError, ModelNotFoundError")


def test_native_load_and_run_import_nothing_of_the_reference() -> None:
    script = f"""
import numpy as np
import litert
with litert.Model({str(DATA / "mlp.tflite")!r}) as model, model.bind() as runner:
    assert model.backend == "native"
    model.run(np.zeros((1, 8), np.float32))
    runner.run()
"""
    modules = modules_after(script)
    assert "litert._native" in modules
    heavy = ("ai_edge_litert", "ml_dtypes", "asyncio", "litert.backends.reference")
    assert not [name for name in modules if name.startswith(heavy)]


def test_asking_for_the_library_imports_nothing_of_its_package() -> None:
    modules = modules_after("import litert; litert.library_info()")
    assert not [name for name in modules if name.startswith("ai_edge_litert")]


def test_asking_for_the_library_reads_no_metadata() -> None:
    modules = modules_after("import litert; litert.library_info()")
    assert modules.isdisjoint({"importlib.metadata", "litert.installation", "litert.system"})


def test_unknown_name_is_an_attribute_error() -> None:
    script = """
import litert
try:
    litert.nothing
except AttributeError as err:
    assert "nothing" in str(err)
else:
    raise AssertionError
"""
    modules_after(script)
