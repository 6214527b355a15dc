"""Asks the Vulkan loader for its devices: a program of its own, since a driver may crash or hang.

It is run by its source text, so it needs nothing but Python's own library, and prints one line:
``litert-vulkan: {"devices": [[name, type, driver version], ...]}`` or
``litert-vulkan: {"failure": what}``.
"""

from __future__ import annotations

import ctypes
import json
import os

_LOADER = "libvulkan.so.1"
_INSTANCE_CREATE_INFO = 1  # VkStructureType
_INCOMPLETE = 5  # VkResult
_INCOMPATIBLE_DRIVER = -9  # VkResult: the loader has no driver that works
_MAX_DEVICES = 64

# Into VkPhysicalDeviceProperties, which is 824 bytes; newer ones append to it by other means.
_PROPERTIES_BYTES = 4096
_DRIVER_OFFSET = 4
_TYPE_OFFSET = 16
_NAME_OFFSET = 20


class _InstanceCreateInfo(ctypes.Structure):
    """VkInstanceCreateInfo: no application, no layers, no extensions."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("next", ctypes.c_void_p),
        ("flags", ctypes.c_uint32),
        ("application", ctypes.c_void_p),
        ("num_layers", ctypes.c_uint32),
        ("layers", ctypes.c_void_p),
        ("num_extensions", ctypes.c_uint32),
        ("extensions", ctypes.c_void_p),
    )


def ask_loader() -> dict[str, object]:
    """Return the devices as name, VkPhysicalDeviceType and driver version, or what failed."""
    try:
        loader = ctypes.CDLL(_LOADER)
    except OSError:
        return {"failure": "loader"}
    instance = ctypes.c_void_p()
    info = _InstanceCreateInfo(type=_INSTANCE_CREATE_INFO)
    result = loader.vkCreateInstance(ctypes.byref(info), None, ctypes.byref(instance))
    if result == _INCOMPATIBLE_DRIVER:
        return {"failure": "driver"}
    if result != 0:
        return {"failure": f"vkCreateInstance gives VkResult {result}"}
    num = ctypes.c_uint32(_MAX_DEVICES)
    found = (ctypes.c_void_p * _MAX_DEVICES)()
    result = loader.vkEnumeratePhysicalDevices(instance, ctypes.byref(num), found)
    if result not in (0, _INCOMPLETE):
        return {"failure": f"vkEnumeratePhysicalDevices gives VkResult {result}"}
    return {"devices": [_describe(loader, device) for device in found[: num.value] if device]}


def _describe(loader: ctypes.CDLL, device: int) -> tuple[str, int, int]:
    properties = ctypes.create_string_buffer(_PROPERTIES_BYTES)
    loader.vkGetPhysicalDeviceProperties(ctypes.c_void_p(device), properties)
    name = properties.raw[_NAME_OFFSET:].partition(b"\0")[0].decode(errors="replace")
    kind = ctypes.c_int.from_buffer(properties, _TYPE_OFFSET).value
    return name, kind, ctypes.c_uint32.from_buffer(properties, _DRIVER_OFFSET).value


if __name__ == "__main__":
    print(f"litert-vulkan: {json.dumps(ask_loader())}", flush=True)
    # Nothing is destroyed: drivers are known to crash while they are unloaded.
    os._exit(0)
