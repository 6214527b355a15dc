"""What is installed here, what works, and what to do about the rest.

Works without NumPy, the library or the extension module; nothing here raises for what it finds.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

from litert.cache import cache_folder, list_weights
from litert.cpu import cpu_features, cpu_model, usable_cores
from litert.errors import LibraryError
from litert.library import find_library, import_extension

_TRIAL_TIMEOUT_S = 60

# Run in a process of its own: a library built for another CPU ends it with SIGILL. Each line that
# it gets to print is a JSON object.
_TRIAL = """
import json, warnings
from dataclasses import asdict
import litert
try:
    print(json.dumps({"library": asdict(litert.library_info())}), flush=True)
except litert.LibraryError as err:
    print(json.dumps({"library_error": str(err)}), flush=True)
warnings.simplefilter("ignore", litert.BackendFallbackWarning)
from litert.samples import digits_model_path, load_digits
images, labels = load_digits()
with litert.Model(digits_model_path()) as model:
    is_right = bool(model.run(images[:1])["probabilities"].argmax() == labels[0])
    print(json.dumps({"backend": model.backend, "reason": model.backend_reason,
                      "is_right": is_right}), flush=True)
"""

_REINSTALL_LIBRARY = "reinstall it: pip install --force-reinstall ai-edge-litert"

_LLM = "pip install 'litert-native[llm]'"

# Package, the least version that works, and what it is for or what is lost without it.
_PACKAGES = (
    ("numpy", (1, 23, 5), ""),
    ("ai-edge-litert", (2, 1, 6), ""),
    ("ml_dtypes", None, "only for bfloat16 and float8 tensors"),
    ("pillow", None, "only for images on the command line"),
    ("rich", None, "only for colours on the command line"),
    ("tokenizers", None, f"language models with a tokenizer.json take ids alone, no text; {_LLM}"),
    ("sentencepiece", None, f"language models with a SentencePiece model take no text; {_LLM}"),
    ("minijinja", None, f"language models have no chat template; {_LLM}"),
)
_VARIABLES = (
    "LITERT_LIBRARY",
    "LITERT_BACKEND",
    "LITERT_KEEP_INPUTS",
    "LITERT_CACHE_DIR",
    "LITERT_CACHE_USER_ID",
    "LITERT_GUARD_BUFFERS",
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. Immutable.

    Attributes:
        section: The group that it belongs to.
        name: What it is.
        value: What was found.
        advice: What is wrong and what to do; empty where all is well.
    """

    section: str
    name: str
    value: str
    advice: str = ""

    def to_json(self) -> dict[str, str]:
        """Return the finding for ``json.dumps``."""
        return asdict(self)


def examine() -> list[Finding]:
    """Look at everything; takes the time of a small model's load in a new process.

    Returns:
        The findings, those of a section together.

    Example:
        >>> [finding.value for finding in examine() if finding.name == "Python"]
        ['3.11.7 (CPython)']
    """
    packages = _examine_packages()
    return [
        *packages,
        *_examine_core(is_explained=any(finding.advice for finding in packages)),
        *_examine_machine(),
        *_examine_variables(),
        *_examine_cache(),
    ]


def package_version(name: str) -> str | None:
    """Return the version of an installed package, None where there is none."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _examine_packages() -> list[Finding]:
    section = "packages"
    own = package_version("litert-native")
    findings = [
        Finding(section, "litert-native", own or "not installed, used from its source folder"),
        Finding(
            section, "Python", f"{platform.python_version()} ({platform.python_implementation()})"
        ),
    ]
    for name, least, purpose in _PACKAGES:
        version = package_version(name)
        advice = ""
        if version is None and least is not None:
            wanted = ".".join(map(str, least))
            advice = f"{name} is needed: pip install '{name}>={wanted}'"
        elif version is not None and least is not None and _numbers(version) < least:
            wanted = ".".join(map(str, least))
            advice = f"{version} is too old: pip install '{name}>={wanted}'"
        if version is None:
            version = f"not installed ({purpose})" if purpose else "not installed"
        findings.append(Finding(section, name, version, advice))
    return findings


def _numbers(version: str) -> tuple[int, ...]:
    numbers = []
    for part in version.split("."):
        if not part.isdecimal():
            break
        numbers.append(int(part))
    return tuple(numbers)


def _examine_core(is_explained: bool) -> list[Finding]:
    """Look at the extension and the library, then try both in a process of their own.

    Args:
        is_explained: Whether it is told already why no model could be run.
    """
    trial = _try_core()
    findings = [_examine_extension(), *_examine_library(trial)]
    is_explained = is_explained or any(finding.advice for finding in findings)
    return [*findings, _examine_backend(trial, is_explained)]


def _examine_library(trial: _Trial) -> list[Finding]:
    try:
        path = find_library()
    except LibraryError as err:
        return [Finding("core", "library", "not found", _with_hint(str(err)))]
    library = trial.facts.get("library")
    if library is not None:
        return [
            Finding("core", "library", library["version"]),
            Finding("core", "library path", library["path"]),
            _examine_kept_inputs(library["keeps_inputs_bound"]),
        ]
    failure = trial.facts.get("library_error", trial.failure)
    try:
        import_extension()
    except LibraryError:
        # The library cannot be tried without it, and that has its own finding.
        failure = ""
    found = "does not load" if failure else "not tried"
    return [
        Finding("core", "library", found, _with_hint(failure)),
        Finding("core", "library path", path),
    ]


def _with_hint(failure: str) -> str:
    """Add what to do about a library that does not load."""
    if not failure or "pip install" in failure:
        return failure
    if os.environ.get("LITERT_LIBRARY"):
        return f"{failure}; correct or unset LITERT_LIBRARY"
    return f"{failure}; {_REINSTALL_LIBRARY}"


def _examine_extension() -> Finding:
    try:
        module = import_extension()
    except LibraryError as err:
        return _explain_extension(err)
    return Finding("core", "extension", str(module.__file__))


def _explain_extension(err: LibraryError) -> Finding:
    """Tell an extension that is there and does not load from one that is not there."""
    names = {path.name for path in Path(__file__).parent.glob("_native*.so")}
    if names & {f"_native{suffix}" for suffix in EXTENSION_SUFFIXES}:
        value, reason = "does not load", str(err)
    else:
        value = "not installed"
        reason = f"there is no extension for Python {platform.python_version()}"
        if names:
            reason += f", only {', '.join(sorted(names))}"
    return Finding(
        "core", "extension", value, f"{reason}; reinstall litert-native with this Python"
    )


def _examine_kept_inputs(keeps_inputs_bound: bool) -> Finding:
    if keeps_inputs_bound:
        return Finding("core", "self-check", "inputs stay bound between runs")
    if os.environ.get("LITERT_KEEP_INPUTS") == "0":
        return Finding(
            "core", "self-check", "inputs are bound anew each run (LITERT_KEEP_INPUTS=0)"
        )
    return Finding(
        "core",
        "self-check",
        "inputs are bound anew each run",
        "this library does not keep inputs bound between runs, so small models run slower than "
        "they could; results are right; try another release of ai-edge-litert",
    )


@dataclass(frozen=True, slots=True)
class _Trial:
    """What the trial process said before it ended, and how it failed; empty if it did not."""

    facts: dict[str, Any]
    failure: str


def _try_core() -> _Trial:
    package_folder = Path(__file__).resolve().parents[1]
    paths = [str(package_folder), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    try:
        done = subprocess.run(
            [sys.executable, "-c", _TRIAL],
            env=environment,
            capture_output=True,
            text=True,
            timeout=_TRIAL_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return _Trial({}, f"a small model did not run within {_TRIAL_TIMEOUT_S} s")
    except OSError as err:
        return _Trial({}, f"no process could be started to try the library: {err}")
    facts: dict[str, Any] = {}
    for line in done.stdout.splitlines():
        facts |= json.loads(line)
    if done.returncode == 0:
        return _Trial(facts, "")
    if done.returncode < 0:
        return _Trial(facts, _describe_signal(-done.returncode, facts))
    lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
    return _Trial(facts, f"the sample model does not run: {lines[-1]}; reinstall litert-native")


def _describe_signal(number: int, facts: dict[str, Any]) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    when = "while it ran a small model" if "library" in facts else "while it was loaded"
    if number == signal.SIGILL:
        return (
            f"the library ended its process with {name} {when}: it uses an instruction that this "
            "CPU lacks; set LITERT_LIBRARY to a libLiteRt.so built for this CPU"
        )
    return f"the library ended its process with {name} {when}; {_REINSTALL_LIBRARY}"


def _examine_backend(trial: _Trial, is_explained: bool) -> Finding:
    """Tell which backend a small model gets here."""
    backend = trial.facts.get("backend")
    if backend is None:
        advice = "" if is_explained else trial.failure
        return Finding("core", "backend", "none: no model can be run", advice)
    advice = ""
    if not trial.facts["is_right"]:
        advice = "the sample model gave a wrong answer; do not trust results on this machine"
    return Finding("core", "backend", f"{backend} ({trial.facts['reason']})", advice)


def _examine_machine() -> list[Finding]:
    section = "machine"
    findings = [
        Finding(section, "CPU", cpu_model()),
        Finding(section, "features", " ".join(cpu_features()) or "not known"),
        Finding(section, "cores", usable_cores()),
        Finding(section, "system", f"{platform.system()} {platform.machine()}"),
    ]
    libc, version = platform.libc_ver()
    if libc == "glibc":
        too_old = _numbers(version) < (2, 27)
        advice = "the library needs glibc 2.27 or later; use a newer system" if too_old else ""
        findings.append(Finding(section, "C library", f"glibc {version}", advice))
    else:
        findings.append(
            Finding(
                section,
                "C library",
                f"{libc} {version}".strip() or "not known",
                "the library is built for glibc 2.27 or later, and messages of the library on "
                "stderr are caught with glibc alone",
            )
        )
    return findings


def _examine_variables() -> list[Finding]:
    findings = []
    for name in _VARIABLES:
        value = os.environ.get(name)
        advice = "" if value is None else _judge_variable(name, value)
        findings.append(Finding("environment", name, value or "not set", advice))
    return findings


def _examine_cache() -> list[Finding]:
    folder = cache_folder()
    weights = list_weights(folder)
    kept = "nothing"
    if weights:
        size_mb = sum(one.size_bytes for one in weights) / 1e6
        models = "1 model" if len(weights) == 1 else f"{len(weights)} models"
        kept = f"weights of {models}, {size_mb:,.1f} MB (litert-native cache list)"
    return [
        Finding("cache", "folder", str(folder), _judge_cache_folder(folder)),
        Finding("cache", "kept", kept),
    ]


def _judge_cache_folder(folder: Path) -> str:
    """Tell whether packed weights can be kept there; the folder is made when the first are."""
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if existing.is_dir() and os.access(existing, os.W_OK | os.X_OK):
        return ""
    return (
        f"{existing} is no folder that can be written to, so language models load slowly each "
        "time; set LITERT_CACHE_DIR to one"
    )


def _judge_variable(name: str, value: str) -> str:
    if name == "LITERT_BACKEND" and value not in ("", "auto", "native", "reference"):
        return "expected 'auto', 'native' or 'reference'; correct or unset it"
    if name == "LITERT_GUARD_BUFFERS" and value == "1":
        return "guard pages are for tests: they cost time and memory; unset it in production"
    return ""
