"""What is installed here, what works, and what to do about the rest.

Works without NumPy, the library or the extension module; nothing here raises for what it finds.
"""

from __future__ import annotations

from litert.doctor.core import examine_core
from litert.doctor.finding import Finding
from litert.doctor.machine import examine_accelerators, examine_machine
from litert.doctor.packages import examine_packages, package_version
from litert.doctor.settings import examine_cache, examine_variables

__all__ = ["Finding", "examine", "package_version"]


def examine() -> list[Finding]:
    """Look at everything; takes the time of a small model's load in a new process.

    Returns:
        The findings, those of a section together.

    Example:
        >>> [finding.value for finding in examine() if finding.name == "Python"]
        ['3.11.7 (CPython)']
    """
    packages = examine_packages()
    core = examine_core(is_explained=any(finding.advice for finding in packages))
    return [
        *packages,
        *core,
        *examine_machine(is_library_loaded=any(one.name == "library choice" for one in core)),
        *examine_accelerators(core),
        *examine_variables(),
        *examine_cache(),
    ]
