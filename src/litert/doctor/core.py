"""Whether the extension and the library load, which one was chosen, and whether a model runs."""

from __future__ import annotations

import os
from typing import Any

from litert.doctor.finding import Finding
from litert.doctor.trial import Trial, try_core
from litert.errors import LibraryError
from litert.installation import has_extension
from litert.library import find_library, import_extension
from litert.system import obstacle_to_litert


def examine_core(is_explained: bool) -> list[Finding]:
    """Look at the extension and the library, then try both in a process of their own.

    Args:
        is_explained: Whether it is told already why no model could be run.
    """
    trial = try_core()
    findings = [_examine_extension(), *_examine_library(trial)]
    if trial.was_ended:
        is_explained = any(trial.failure in finding.advice for finding in findings)
    else:
        is_explained = is_explained or any(finding.advice for finding in findings)
    return [*findings, _examine_backend(trial, is_explained)]


def _examine_extension() -> Finding:
    try:
        module = import_extension()
    except LibraryError as err:
        value = "does not load" if has_extension() else "not installed"
        return Finding("core", "extension", value, str(err))
    return Finding("core", "extension", str(module.__file__))


def _examine_library(trial: Trial) -> list[Finding]:
    library = trial.facts.get("library")
    if library is not None:
        return _describe_library(library)
    try:
        path = find_library()
    except LibraryError as err:
        # Where none can be installed, models that run on the reference backend are all there is.
        is_all_there_is = "backend" in trial.facts and obstacle_to_litert()
        advice = "" if is_all_there_is else _with_variable(str(err))
        return [Finding("core", "library", "not found", advice)]
    failure = trial.facts.get("library_error", trial.failure)
    try:
        import_extension()
    except LibraryError:
        # The library cannot be tried without it, and that has its own finding.
        failure = trial.failure if trial.was_ended else ""
    found = "does not load" if failure else "not tried"
    return [
        Finding("core", "library", found, _with_variable(failure)),
        Finding("core", "library path", path),
    ]


def _describe_library(library: dict[str, Any]) -> list[Finding]:
    findings = [
        Finding("core", "library", library["version"]),
        Finding("core", "library path", library["path"]),
    ]
    if library["package"]:
        findings.append(Finding("core", "library package", library["package"]))
    return [
        *findings,
        Finding("core", "library choice", library["reason"]),
        _examine_kept_inputs(library["keeps_inputs_bound"]),
    ]


def _with_variable(failure: str) -> str:
    """Add what to do about a library that was named and does not load."""
    if failure and os.environ.get("LITERT_LIBRARY"):
        return f"{failure}; correct or unset LITERT_LIBRARY"
    return failure


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


def _examine_backend(trial: Trial, is_explained: bool) -> Finding:
    """Tell which backend a small model gets here."""
    backend = trial.facts.get("backend")
    if backend is None:
        advice = "" if is_explained else trial.failure
        return Finding("core", "backend", "none: no model can be run", advice)
    advice = ""
    if not trial.facts["is_right"]:
        advice = "the sample model gave a wrong answer; do not trust results on this machine"
    return Finding("core", "backend", f"{backend} ({trial.facts['reason']})", advice)
