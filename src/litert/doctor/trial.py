"""Loading the library and running a small model, in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TIMEOUT_S = 60

# Run in a process of its own: a library built for another CPU ends it with SIGILL. Each line that
# it gets to print is a JSON object.
_SCRIPT = """
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


@dataclass(frozen=True, slots=True)
class Trial:
    """What the trial process said before it ended. Immutable.

    Attributes:
        facts: ``library`` or ``library_error``, then ``backend``, ``reason`` and ``is_right``, as
            far as it came.
        failure: How it failed; empty where it did not.
        was_ended: Whether the library ended the process or hung, which nothing else explains.
    """

    facts: dict[str, Any]
    failure: str = ""
    was_ended: bool = False


def try_core() -> Trial:
    """Run the sample model in a new process that sees the same packages."""
    package_folder = Path(__file__).resolve().parents[2]
    # Behind what the user put there: it may hold another library's package as well.
    paths = [os.environ.get("PYTHONPATH", ""), str(package_folder)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    try:
        done = subprocess.run(
            [sys.executable, "-c", _SCRIPT],
            env=environment,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Trial({}, f"a small model did not run within {_TIMEOUT_S} s", was_ended=True)
    except OSError as err:
        return Trial({}, f"no process could be started to try the library: {err}")
    facts: dict[str, Any] = {}
    for line in done.stdout.splitlines():
        if line.startswith("{"):  # what starts with Python may print as well
            facts |= json.loads(line)
    if done.returncode == 0:
        return Trial(facts)
    if done.returncode < 0:
        return Trial(facts, _describe_signal(-done.returncode, facts), was_ended=True)
    lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
    return Trial(facts, f"the sample model does not run: {lines[-1]}; reinstall litert-native")


def _describe_signal(number: int, facts: dict[str, Any]) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    when = "while it ran a small model" if facts else "while it was loaded"
    failure = f"the library ended its process with {name} {when}"
    if number == signal.SIGILL:
        return (
            f"{failure}: it uses an instruction that this CPU lacks; set LITERT_LIBRARY to a "
            "libLiteRt.so built for this CPU"
        )
    return f"{failure}; reinstall it: pip install --force-reinstall ai-edge-litert"
