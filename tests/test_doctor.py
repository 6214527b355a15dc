"""The doctor: true findings, advice where something is missing, and never a traceback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import litert
import litert.cpu
import litert.doctor.core
import litert.doctor.machine
import litert.doctor.packages
import litert.doctor.settings
import litert.doctor.trial
import litert.installation
from litert.cli.main import main
from litert.doctor import Finding, examine
from litert.doctor.trial import Trial
from litert.library import find_library

SOURCE = Path(litert.__file__).resolve().parents[1]  # of the package that is tested

# Hides a module from the process and from those that it starts, as if it were not installed.
BLOCKER = """
import importlib.machinery, importlib.metadata, sys
HIDDEN, DISTRIBUTION = {hidden!r}, {distribution!r}
class Blocker:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == HIDDEN or name.startswith(HIDDEN + "."):
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocker)
find_spec = importlib.machinery.PathFinder.find_spec
importlib.machinery.PathFinder.find_spec = (
    lambda name, *rest: None if name == HIDDEN else find_spec(name, *rest)
)
version = importlib.metadata.version
def version_unless_hidden(name):
    if name == DISTRIBUTION:
        raise importlib.metadata.PackageNotFoundError(name)
    return version(name)
importlib.metadata.version = version_unless_hidden
"""


def run_doctor(
    tmp_path: Path, hidden: str = "", distribution: str = "", setup: str = "", **variables: str
) -> tuple[int, dict[str, Finding]]:
    """Run the command in a process without one module; return its status and the findings.

    ``setup`` runs there before anything else, to make the system look like another one.
    """
    blocker = BLOCKER.format(hidden=hidden, distribution=distribution) if hidden else ""
    (tmp_path / "sitecustomize.py").write_text(blocker + setup)
    paths = [str(tmp_path), str(SOURCE)]
    environment = {key: value for key, value in os.environ.items() if "LITERT" not in key}
    environment |= {"PYTHONPATH": os.pathsep.join(paths), **variables}
    command = [sys.executable, "-m", "litert", "doctor"]
    done = subprocess.run(
        [*command, "--json"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    plain = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (plain.returncode, plain.stderr) == (done.returncode, "")
    findings = [Finding(**fields) for fields in json.loads(done.stdout)]
    for finding in findings:
        assert finding.name in plain.stdout
    return done.returncode, {finding.name: finding for finding in findings}


def advice(findings: dict[str, Finding]) -> dict[str, str]:
    return {name: finding.advice for name, finding in findings.items() if finding.advice}


def test_doctor_finds_what_is_installed(tmp_path):
    status, found = run_doctor(tmp_path)
    assert advice(found) == {}
    assert status == 0
    assert found["numpy"].value == np.__version__
    assert found["library"].value == litert.library_info().version
    assert found["library path"].value == find_library()
    assert found["library package"].value == litert.library_info().package
    assert found["library choice"].value == "found with ai-edge-litert"
    assert found["backend"].value == "native (the default)"
    assert found["self-check"].value == "inputs stay bound between runs"
    assert found["extension"].value.endswith(".so")
    assert found["Python"].value.startswith(".".join(map(str, sys.version_info[:3])))
    for name in ("tokenizers", "sentencepiece", "minijinja"):
        assert found[name].value == litert.doctor.package_version(name)


def test_doctor_without_the_extension_names_the_fallback(tmp_path):
    status, found = run_doctor(tmp_path, "litert._native")
    assert status == 1
    assert list(advice(found)) == ["extension"]
    assert "reinstall litert-native" in found["extension"].advice
    assert found["backend"].value.startswith("reference (the extension module")
    assert found["extension"].value == "does not load"
    assert found["library"].value == "not tried"


def test_doctor_without_the_library_says_what_to_install(tmp_path):
    status, found = run_doctor(tmp_path, "ai_edge_litert", "ai-edge-litert")
    assert status == 1
    assert list(advice(found)) == ["ai-edge-litert", "library"]
    assert "pip install 'ai-edge-litert>=2.1.6'" in found["ai-edge-litert"].advice
    assert "ai-edge-litert is not installed" in found["library"].advice
    assert found["backend"].value == "none: no model can be run"


FREE_THREADED = """
import sysconfig
get_config_var = sysconfig.get_config_var
sysconfig.get_config_var = lambda name: 1 if name == "Py_GIL_DISABLED" else get_config_var(name)
"""
SYSTEM = """
import platform
platform.machine = lambda: {machine!r}
platform.libc_ver = lambda *args: {libc!r}
"""


def test_doctor_of_free_threaded_python_says_which_library_there_is(tmp_path):
    status, found = run_doctor(tmp_path, "ai_edge_litert", "ai-edge-litert", FREE_THREADED)
    assert status == 1
    assert list(advice(found)) == ["library"]
    assert found["library"].advice.endswith("free-threaded Python: pip install litert-lm-api")
    missing = "not installed (it has no wheel for free-threaded Python)"
    assert found["ai-edge-litert"].value == missing
    assert found["Python"].value.endswith("(CPython, free-threaded)")


def test_doctor_on_32_bit_arm_says_what_runs_models(tmp_path):
    setup = SYSTEM.format(machine="armv7l", libc=("glibc", "2.36"))
    status, found = run_doctor(tmp_path, "ai_edge_litert", "ai-edge-litert", setup)
    assert status == 1
    assert list(advice(found)) == ["library"]
    assert "no package has a library for 32-bit ARM" in found["library"].advice
    assert "pip install tflite-runtime" in found["library"].advice
    assert found["ai-edge-litert"].value == "not installed (it has no wheel for armv7l)"
    assert found["tflite-runtime"].value.startswith("not installed (the reference backend where")


def test_doctor_without_glibc_says_what_is_built_for_it(tmp_path):
    setup = SYSTEM.format(machine="x86_64", libc=("", ""))
    status, found = run_doctor(tmp_path, "ai_edge_litert", "ai-edge-litert", setup)
    assert status == 1
    assert list(advice(found)) == ["library", "C library"]
    assert found["ai-edge-litert"].value == "not installed (its wheels are built for glibc)"
    assert "LITERT_LIBRARY" in found["library"].advice
    assert found["C library"].value == "not known"


def test_doctor_with_an_old_c_library_on_arm_says_what_helps(tmp_path):
    setup = SYSTEM.format(machine="aarch64", libc=("glibc", "2.31"))
    _, found = run_doctor(tmp_path, "ai_edge_litert", "ai-edge-litert", setup)
    assert "ai-edge-litert's library needs glibc 2.34" in found["C library"].advice
    assert "pip install litert-lm-api" in found["C library"].advice


def test_doctor_with_an_old_c_library_is_content_where_the_library_loads(tmp_path):
    setup = SYSTEM.format(machine="aarch64", libc=("glibc", "2.31"))
    status, found = run_doctor(tmp_path, setup=setup)
    assert (status, advice(found)) == (0, {})
    assert found["C library"].value == "glibc 2.31"


def test_doctor_with_the_library_of_litert_lm_says_why(tmp_path):
    real = litert.library_info().path
    for name, file in (("ai_edge_litert", "libLiteRt.so"), ("litert_lm", "liblitert-lm.so")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
        (tmp_path / name / file).write_text("this is no library\n")
    library = tmp_path / "litert_lm" / "liblitert-lm.so"
    library.unlink()
    library.symlink_to(real)
    status, found = run_doctor(tmp_path)
    assert (status, advice(found)) == (0, {})
    assert found["library path"].value == str(library)
    assert found["library package"].value == "litert-lm-api"
    start = "litert-lm-api's, since ai-edge-litert's does not load: "
    assert found["library choice"].value.startswith(start)
    assert found["backend"].value == "native (the default)"


def test_doctor_with_a_library_that_is_damaged_says_to_reinstall(tmp_path):
    (tmp_path / "ai_edge_litert").mkdir()
    (tmp_path / "ai_edge_litert" / "__init__.py").touch()
    (tmp_path / "ai_edge_litert" / "libLiteRt.so").write_text("this is no library\n")
    status, found = run_doctor(tmp_path, "litert_lm")
    assert status == 1
    assert found["library"].value == "does not load"
    assert "pip install --force-reinstall 'ai-edge-litert" in found["library"].advice


def test_doctor_names_the_wheel(monkeypatch):
    monkeypatch.setattr(litert.doctor.packages, "package_version", {"litert-native": "1.2.3"}.get)
    monkeypatch.setattr(litert.doctor.packages, "wheel_tags", lambda: ["py3-none-any"])
    own, *_ = litert.doctor.packages.examine_packages()
    assert own.value == "1.2.3 (wheel py3-none-any)"


def test_doctor_with_the_pure_wheel_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(litert.installation, "_FOLDER", tmp_path)
    monkeypatch.setattr(litert.installation, "wheel_tags", lambda: ["py3-none-any"])
    monkeypatch.setitem(sys.modules, "litert._extension", None)
    litert.installation.explain_missing_extension.cache_clear()
    finding = litert.doctor.core._examine_extension()
    litert.installation.explain_missing_extension.cache_clear()
    assert finding.value == "not installed"
    assert finding.advice.startswith("this is the pure-Python wheel of litert-native")


def test_doctor_is_content_with_the_reference_where_no_library_can_be(monkeypatch):
    def find_no_library() -> str:
        raise litert.LibraryError("no LiteRT library was found")

    facts = {"library_error": "none", "backend": "reference", "reason": "none", "is_right": True}
    monkeypatch.setattr(litert.doctor.core, "find_library", find_no_library)
    monkeypatch.setattr(litert.doctor.core, "try_core", lambda: Trial(facts))
    monkeypatch.setattr(litert.doctor.core, "obstacle_to_litert", lambda: "it has no wheel")
    found = {finding.name: finding for finding in litert.doctor.core.examine_core(False)}
    assert (found["library"].value, found["library"].advice) == ("not found", "")
    assert found["backend"].value == "reference (none)"


def examined_accelerators(*core: Finding) -> dict[str, str]:
    findings = litert.doctor.machine.examine_accelerators(core)
    assert advice({finding.name: finding for finding in findings}) == {}
    return {finding.name: finding.value for finding in findings}


def test_doctor_tells_the_accelerators_of_the_library(tmp_path):
    found = examined_accelerators(
        Finding("core", "library path", str(tmp_path / "libLiteRt.so")),
        Finding("core", "library choice", "LITERT_LIBRARY"),
        Finding("core", "backend", "native (the default)"),
    )
    assert found["cpu"].startswith(f"{litert.cpu.cpu_model()}; XNNPACK on ")
    assert found["gpu"].startswith("not available: the LiteRT library (")
    assert found["npu"].startswith("not available: ")


def test_doctor_tells_the_accelerators_of_the_reference_backend():
    found = examined_accelerators(Finding("core", "backend", "reference (the default)"))
    assert found["cpu"].endswith(", by the reference backend alone")
    needed = "not available: it needs the native core and a LiteRT library"
    assert (found["gpu"], found["npu"]) == (needed, needed)


def test_doctor_tells_that_nothing_runs_models():
    found = examined_accelerators(Finding("core", "backend", "none: no model can be run"))
    assert found["cpu"] == "not available: no model can be run"


def test_doctor_without_a_gpu_and_an_npu_is_content(tmp_path):
    status, found = run_doctor(tmp_path, VK_DRIVER_FILES=str(tmp_path / "none.json"))
    assert status == 0
    assert found["gpu"].value.startswith("not available: ")


def test_doctor_says_that_python_is_32_bit(monkeypatch):
    monkeypatch.setattr(litert.doctor.machine, "is_32_bit", lambda: True)
    found = {finding.name: finding for finding in litert.doctor.machine.examine_machine(True)}
    assert found["system"].value.endswith(" (32-bit Python)")


def test_doctor_without_numpy_says_what_to_install(tmp_path):
    status, found = run_doctor(tmp_path, "numpy", "numpy")
    assert status == 1
    assert list(advice(found)) == ["numpy"]
    assert "pip install 'numpy>=1.23.5'" in found["numpy"].advice
    assert found["library"].value == litert.library_info().version
    assert found["backend"].value == "none: no model can be run"


def test_doctor_with_a_broken_numpy_gives_the_reason(tmp_path):
    _, found = run_doctor(tmp_path, "numpy")
    assert "No module named 'numpy'" in found["backend"].advice


def test_doctor_without_an_optional_package_is_content(tmp_path):
    status, found = run_doctor(tmp_path, "ml_dtypes", "ml_dtypes")
    assert (status, advice(found)) == (0, {})
    assert found["ml_dtypes"].value.startswith("not installed (only for bfloat16")


@pytest.mark.parametrize("name", ["tokenizers", "sentencepiece", "minijinja"])
def test_doctor_says_what_language_models_lose_without_a_package(monkeypatch, name):
    monkeypatch.setattr(
        litert.doctor.packages, "package_version", lambda asked: None if asked == name else "99"
    )
    found = {finding.name: finding for finding in litert.doctor.packages.examine_packages()}
    assert found[name].value.startswith("not installed (language models ")
    assert found[name].value.endswith("pip install 'litert-native[llm]')")
    assert found[name].advice == ""


def test_doctor_tells_the_size_of_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("LITERT_CACHE_DIR", str(tmp_path / "cache"))
    empty = {finding.name: finding.value for finding in litert.doctor.settings.examine_cache()}
    (tmp_path / "cache").mkdir()
    for number in range(2):
        (tmp_path / "cache" / f"weights-{number:032x}-0.weights").write_bytes(bytes(700_000))
    full = {finding.name: finding.value for finding in litert.doctor.settings.examine_cache()}
    assert empty == {"folder": str(tmp_path / "cache"), "kept": "nothing"}
    assert full["kept"].startswith("weights of 2 models, 1.4 MB")
    (tmp_path / "cache" / f"gpu-{0:032x}-0_mldrift_program_cache.bin").write_bytes(bytes(600_000))
    both = {finding.name: finding.value for finding in litert.doctor.settings.examine_cache()}
    assert both["kept"].startswith("weights of 2 models, GPU programs of 1 model, 2.0 MB")


def test_doctor_tells_that_the_cache_cannot_be_read(monkeypatch):
    monkeypatch.setenv("LITERT_CACHE_DIR", "x" * 300)
    _, kept = litert.doctor.settings.examine_cache()
    assert kept.value == "not known: File name too long"


def test_doctor_judges_a_cache_folder_that_is_none(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("LITERT_CACHE_DIR", str(tmp_path / "file" / "cache"))
    folder, _ = litert.doctor.settings.examine_cache()
    assert f"{tmp_path / 'file'} is no folder that can be written to" in folder.advice
    assert "set LITERT_CACHE_DIR" in folder.advice


@pytest.mark.parametrize(
    ("variables", "name", "expected"),
    [
        ({"LITERT_LIBRARY": "/nowhere.so"}, "library", "there is no file /nowhere.so"),
        ({"LITERT_LIBRARY": sys.executable}, "library", "correct or unset LITERT_LIBRARY"),
        ({"LITERT_BACKEND": "fast"}, "LITERT_BACKEND", "expected 'auto', 'native' or 'reference'"),
        ({"LITERT_GUARD_BUFFERS": "1"}, "LITERT_GUARD_BUFFERS", "unset it in production"),
    ],
)
def test_doctor_judges_variables(tmp_path, variables, name, expected):
    status, found = run_doctor(tmp_path, **variables)
    assert status == 1
    assert expected in found[name].advice
    for variable, value in variables.items():
        assert found[variable].value == value


def test_doctor_shows_a_choice_that_is_no_problem(tmp_path):
    status, found = run_doctor(tmp_path, LITERT_BACKEND="reference", LITERT_KEEP_INPUTS="0")
    assert (status, advice(found)) == (0, {})
    assert found["backend"].value == "reference (chosen by LITERT_BACKEND=reference)"
    assert found["self-check"].value == "inputs are bound anew each run (LITERT_KEEP_INPUTS=0)"


def test_doctor_survives_a_library_that_ends_the_process(monkeypatch):
    def end_with(number: int) -> dict[str, Finding]:
        script = f"import os; os.kill(os.getpid(), {number})"
        monkeypatch.setattr(litert.doctor.trial, "_SCRIPT", script)
        return {finding.name: finding for finding in examine()}

    found = end_with(signal.SIGILL)
    assert "SIGILL while it was loaded" in found["library"].advice
    assert "an instruction that this CPU lacks" in found["library"].advice
    found = end_with(signal.SIGSEGV)
    assert "SIGSEGV" in found["library"].advice
    assert found["backend"].value == "none: no model can be run"


def test_doctor_names_the_signal_though_something_else_is_wrong(monkeypatch):
    facts = {"library_error": "none"}
    trial = Trial(facts, "the library ended its process with SIGSEGV", was_ended=True)
    monkeypatch.setattr(litert.doctor.core, "try_core", lambda: trial)
    monkeypatch.setenv("LITERT_LIBRARY", "/nowhere.so")
    found = {finding.name: finding for finding in litert.doctor.core.examine_core(True)}
    assert found["backend"].advice == "the library ended its process with SIGSEGV"


def test_doctor_survives_a_library_that_hangs(monkeypatch):
    monkeypatch.setattr(litert.doctor.trial, "_SCRIPT", "import time; time.sleep(60)")
    monkeypatch.setattr(litert.doctor.trial, "_TIMEOUT_S", 0.5)
    found = {finding.name: finding for finding in examine()}
    assert "did not run within" in found["library"].advice


@pytest.mark.parametrize(
    ("version", "is_too_old"), [("2.1.5", True), ("2.1.6", False), ("2.10.0rc1", False)]
)
def test_doctor_compares_versions(monkeypatch, version, is_too_old):
    monkeypatch.setattr(
        litert.doctor.packages, "package_version", {"ai-edge-litert": version, "numpy": "2.0.0"}.get
    )
    found = {finding.name: finding for finding in litert.doctor.packages.examine_packages()}
    assert bool(found["ai-edge-litert"].advice) == is_too_old


def test_command_prints_within_the_columns(capsys):
    main(["doctor"])
    lines = capsys.readouterr().out.splitlines()
    # A path is never broken, so that it can be copied.
    assert [line for line in lines if len(line) > 100 and "/" not in line] == []


# The CPU


@pytest.mark.parametrize(
    ("cpuinfo", "model", "features"),
    [
        ("model name\t: Some CPU\nflags\t\t: fpu sse2 avx2 fma\n", "Some CPU", "sse2 fma avx2"),
        ("Features\t: fp asimd crc32\n\nModel\t\t: A Board\n", "A Board", "asimd crc32"),
    ],
)
def test_cpuinfo_is_read(monkeypatch, cpuinfo, model, features):
    monkeypatch.setattr(litert.cpu, "_read", lambda path: cpuinfo)
    assert litert.cpu.cpu_model() == model
    assert litert.cpu.cpu_features() == features.split()


def test_cpu_is_not_known_without_cpuinfo(monkeypatch):
    monkeypatch.setattr(litert.cpu, "_read", lambda path: "")
    assert litert.cpu.cpu_model()
    assert litert.cpu.cpu_features() == []


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"self": "0::/a/b", "a/b/cpu.max": "max 100000", "a/cpu.max": "150000 100000"}, 1.5),
        ({"self": "0::/a", "cpu.max": "50000 100000", "a/cpu.max": "200000 100000"}, 0.5),
        ({"self": "0::/host/only", "cpu.max": "300000 100000"}, 3.0),
        ({"self": "0::/", "cpu.max": "max 100000"}, None),
        (
            {
                "self": "4:memory:/x\n3:cpu,cpuacct:/x\n0::/",
                "cpu/x/cpu.cfs_quota_us": "250000\n",
                "cpu/x/cpu.cfs_period_us": "100000\n",
            },
            2.5,
        ),
        (
            {
                "self": "1:cpu:/",
                "cpu/cpu.cfs_quota_us": "-1\n",
                "cpu/cpu.cfs_period_us": "100000\n",
            },
            None,
        ),
        ({"self": ""}, None),
    ],
)
def test_cgroup_quota_is_the_least_of_all_levels(monkeypatch, files, expected):
    contents = {litert.cpu._CGROUP / name: text for name, text in files.items()}
    contents[Path("/proc/self/cgroup")] = files["self"]
    monkeypatch.setattr(litert.cpu, "_read", lambda path: contents.get(path, ""))
    assert litert.cpu._cgroup_quota() == expected


def test_usable_cores_tells_affinity_and_quota(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3})
    monkeypatch.setattr(litert.cpu, "_cgroup_quota", lambda: 1.5)
    expected = "4 of 8, limited by the cgroup to the time of 1.5"
    assert litert.cpu.usable_cores() == expected


@pytest.fixture
def cpus(monkeypatch, tmp_path):
    """Let the system have these hardware threads, each with the siblings that it tells."""

    def install(siblings: dict[int, str], affinity: set[int], quota: float | None = None) -> None:
        for cpu, text in siblings.items():
            folder = tmp_path / f"cpu{cpu}" / "topology"
            folder.mkdir(parents=True)
            (folder / "thread_siblings_list").write_text(f"{text}\n")
        monkeypatch.setattr(litert.cpu, "_CPUS", tmp_path)
        monkeypatch.setattr(litert.cpu, "_cgroup_quota", lambda: quota)
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: affinity, raising=False)

    litert.cpu._count_physical_cores.cache_clear()
    yield install
    litert.cpu._count_physical_cores.cache_clear()


PAIRS = {0: "0,4", 4: "0,4", 1: "1,5", 5: "1,5", 2: "2-3", 3: "2-3"}


@pytest.mark.parametrize(
    ("siblings", "affinity", "quota", "expected"),
    [
        (PAIRS, {0, 1, 2, 3, 4, 5}, None, 3),
        (PAIRS, {0, 4}, None, 1),
        (PAIRS, {0, 1, 4}, None, 2),
        (PAIRS, {0, 1, 2, 3, 4, 5}, 2.5, 2),
        (PAIRS, {0, 1}, 16.0, 2),
        (PAIRS, {0, 1}, 0.5, 1),
        ({}, {0, 1, 2}, None, 3),
        ({}, set(), None, 1),
    ],
)
def test_physical_cores_count_siblings_once(cpus, siblings, affinity, quota, expected):
    cpus(siblings, affinity, quota)
    assert litert.cpu.num_physical_cores() == expected


def test_physical_cores_are_counted_once_for_each_affinity(cpus, monkeypatch):
    cpus(PAIRS, {0, 1})
    assert litert.cpu.num_physical_cores() == 2
    monkeypatch.setattr(litert.cpu, "_read", lambda path: pytest.fail("read again"))
    assert litert.cpu.num_physical_cores() == 2


def test_physical_cores_without_affinity_are_all(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert litert.cpu.num_physical_cores() == 8
