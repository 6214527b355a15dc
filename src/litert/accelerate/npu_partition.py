"""Which operators Intel's compiler plugin leaves to the CPU.

The library's log tells their number alone. The tool of ai-edge-litert loads the same plugin, which
names them there.
"""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from pathlib import Path

from litert.accelerate.compile_log import Taken
from litert.accelerate.target import Target
from litert.ahead_of_time.compiler_tool import find_tool, run_tool
from litert.ahead_of_time.npu_targets import parse_target
from litert.builtin_operators import BUILTIN_OPERATORS
from litert.errors import AcceleratorError

# The plugin chooses by the kind of the operator, for each chip alike.
_TARGET = parse_target("intel:PTL")
_REFUSED = re.compile(r"op type (\d+) is not supported")


def reasons_for_cpu(source: str | bytes, target: Target, taken: Taken) -> tuple[str, ...]:
    """Return why operators of a model that is only partly on an accelerator are left to the CPU.

    Args:
        source: The model's path or bytes.
        target: The accelerator.
        taken: What it took.
    """
    if taken.reasons or not target.compiler_folder:
        return taken.reasons
    return _refused_operators(source)


def _refused_operators(source: str | bytes) -> tuple[str, ...]:
    """Partition a model in a process of its own, without compiling it.

    Empty where the tool is missing or fails.
    """
    try:
        tool = find_tool()
        with tempfile.TemporaryDirectory() as folder:
            model = Path(folder, "model.tflite") if isinstance(source, bytes) else Path(source)
            if isinstance(source, bytes):
                model.write_bytes(source)
            run = run_tool(tool, model, Path(folder, "parts.tflite"), _TARGET, "npu", "partition")
    except (AcceleratorError, OSError):
        return ()
    counts = Counter(int(code) for line in run.log for code in _REFUSED.findall(line))
    return tuple(
        f"{count} {BUILTIN_OPERATORS[code]}: OpenVINO's compiler plugin does not take it"
        for code, count in counts.most_common()
        if code < len(BUILTIN_OPERATORS)
    )
