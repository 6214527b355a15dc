"""The NPUs that a model can be compiled for ahead of time."""

from __future__ import annotations

from dataclasses import dataclass

from litert.errors import OptionError


@dataclass(frozen=True, slots=True)
class Vendor:
    """A maker of NPUs, and what its compiler is called. Immutable.

    Attributes:
        key: How it is named in a target: ``"google_tensor"``.
        name: How it is named in a message.
        manufacturer: What the compiler's tool calls it.
        chips: How they are named in a target.
        compiler: The library of the vendor's SDK that ai-edge-litert's plugin needs.
        chip_format: How the tool spells a chip.
    """

    key: str
    name: str
    manufacturer: str
    chips: tuple[str, ...]
    compiler: str
    chip_format: str = "{}"

    @property
    def sdk_package(self) -> str:
        """The package that downloads the vendor's SDK while it is installed."""
        return f"ai-edge-litert-sdk-{self.key.replace('_', '-')}"


@dataclass(frozen=True, slots=True)
class Target:
    """A chip of a vendor. Immutable."""

    vendor: Vendor
    chip: str

    def __str__(self) -> str:
        return f"{self.vendor.key}:{self.chip}"

    @property
    def soc_model(self) -> str:
        """The chip as the compiler's tool spells it."""
        spelt = self.vendor.chip_format.format(self.chip)
        return spelt.lower() if self.vendor.key == "mediatek" else spelt


# As of ai-edge-litert 2.3.0; older releases have fewer chips.
VENDORS = (
    Vendor(
        key="intel",
        name="Intel",
        manufacturer="IntelOpenVINO",
        chips=("LNL", "PTL"),
        compiler="libopenvino_intel_npu_compiler_loader.so",
    ),
    Vendor(
        key="qualcomm",
        name="Qualcomm",
        manufacturer="Qualcomm",
        chips=(
            *("SA8255", "SA8295", "SM8350", "SM8450", "SM8475"),
            *("SM8550", "SM8650", "SM8750", "SM8845", "SM8850"),
        ),
        compiler="libQnnHtp.so",
    ),
    Vendor(
        key="mediatek",
        name="MediaTek",
        manufacturer="MediaTek",
        chips=(
            *("MT6853", "MT6877", "MT6878", "MT6879", "MT6886", "MT6893", "MT6895", "MT6897"),
            *("MT6983", "MT6985", "MT6989", "MT6991", "MT6993", "MT8171", "MT8188", "MT8189"),
        ),
        compiler="NeuronAdapter",
    ),
    Vendor(
        key="google_tensor",
        name="Google Tensor",
        manufacturer="Google",
        chips=("G3", "G4", "G5", "G6"),
        compiler="liblitert_plugin_compiler.so",
        chip_format="Tensor_{}",
    ),
    Vendor(
        key="samsung",
        name="Samsung",
        manufacturer="Samsung",
        chips=("E9965",),
        compiler="its compiler",
    ),
)


def list_targets() -> list[Target]:
    """Return every chip of every vendor."""
    return [Target(vendor, chip) for vendor in VENDORS for chip in vendor.chips]


def parse_target(text: str) -> Target:
    """Find a target by its name, in capitals or not.

    Args:
        text: Vendor and chip: ``"intel:PTL"``.

    Raises:
        OptionError: There is no such vendor, or it has no such chip; the message lists what
            there is.
    """
    if not isinstance(text, str):
        raise OptionError(f"target: expected vendor:chip such as 'intel:PTL', got {text!r}")
    key, colon, chip = text.partition(":")
    vendor = next((vendor for vendor in VENDORS if vendor.key == key.strip().lower()), None)
    if vendor is None or not colon:
        known = ", ".join(vendor.key for vendor in VENDORS)
        what = f"vendor {key!r} is not known" if vendor is None else "the chip is missing"
        raise OptionError(
            f"target {text!r}: {what}; expected vendor:chip such as 'intel:PTL', the vendor one "
            f"of {known}"
        )
    chip = chip.strip().upper()
    if chip not in vendor.chips:
        raise OptionError(
            f"target {text!r}: {vendor.name} has no chip {chip!r}; expected one of "
            f"{', '.join(vendor.chips)}"
        )
    return Target(vendor, chip)
