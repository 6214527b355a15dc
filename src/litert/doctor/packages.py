"""Which packages are installed, and which of those that are needed are not."""

from __future__ import annotations

import importlib.metadata
import platform

from litert.doctor.finding import Finding
from litert.installation import wheel_tags
from litert.system import (
    is_arm_32,
    is_free_threaded,
    obstacle_to_ai_edge_litert,
    version_numbers,
)

_LLM = "pip install 'litert-native[llm]'"

# Package, the least version that works, and what it is for or what is lost without it.
_PACKAGES = (
    ("numpy", (1, 23, 5), ""),
    ("ai-edge-litert", (2, 1, 6), ""),
    ("litert-lm-api", None, "only where ai-edge-litert's library does not load"),
    ("tflite-runtime", None, "the reference backend where ai-edge-litert has no wheel"),
    ("ml_dtypes", None, "only for bfloat16 and float8 tensors"),
    ("pillow", None, "only for images on the command line"),
    ("rich", None, "only for colours on the command line"),
    ("matplotlib", None, "only for profiles as images"),
    ("openvino", None, "only for Intel NPUs"),
    ("tokenizers", None, f"language models with a tokenizer.json take ids alone, no text; {_LLM}"),
    ("sentencepiece", None, f"language models with a SentencePiece model take no text; {_LLM}"),
    ("minijinja", None, f"language models have no chat template; {_LLM}"),
)


def examine_packages() -> list[Finding]:
    """Look at litert-native, Python, and the packages that are used where they are there."""
    findings = [
        Finding("packages", "litert-native", _own_version()),
        Finding("packages", "Python", _python_version()),
    ]
    for name, least, purpose in _PACKAGES:
        version = package_version(name)
        if version is None and name == "tflite-runtime" and not is_arm_32():
            continue
        if version is None:
            findings.append(_examine_missing(name, least, purpose))
            continue
        advice = ""
        if least is not None and version_numbers(version) < least:
            advice = f"{version} is too old: {_pip_install(name, least)}"
        findings.append(Finding("packages", name, version, advice))
    return findings


def package_version(name: str) -> str | None:
    """Return the version of an installed package, None where there is none."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _own_version() -> str:
    version = package_version("litert-native")
    if version is None:
        return "not installed, used from its source folder"
    tags = wheel_tags()
    return f"{version} (wheel {', '.join(tags)})" if tags else version


def _python_version() -> str:
    kind = platform.python_implementation()
    if is_free_threaded():
        kind += ", free-threaded"
    return f"{platform.python_version()} ({kind})"


def _examine_missing(name: str, least: tuple[int, ...] | None, purpose: str) -> Finding:
    obstacle = obstacle_to_ai_edge_litert() if name == "ai-edge-litert" else ""
    # Where it cannot be installed, the library's own finding says what to do instead.
    advice = ""
    if least is not None and not obstacle:
        advice = f"{name} is needed: {_pip_install(name, least)}"
    remark = obstacle or purpose
    value = f"not installed ({remark})" if remark else "not installed"
    return Finding("packages", name, value, advice)


def _pip_install(name: str, least: tuple[int, ...]) -> str:
    return f"pip install '{name}>={'.'.join(map(str, least))}'"
