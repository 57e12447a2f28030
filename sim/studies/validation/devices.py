"""Memory shared on a phone (PowerInfer-2), and what a KV260 draws."""

from __future__ import annotations

from ...descriptions.accelerator import load_accelerator
from ...descriptions.device import load_device
from ...descriptions.quantity import Corner
from ...descriptions.shapes import load_shape
from ...descriptions.soc import load_soc
from ...formulas.cycles import CycleModel
from ...formulas.latency import Machine
from ...formulas.published import compare
from ..soc_tasks import decode_step
from .row import Basis, Row

__all__ = ["rows"]

_POWERINFER = "PowerInfer-2 (arXiv 2406.06282v3)"
_MISTRAL_BYTES = (6_979_321_856 + 32_000 * 4096) / 2   # layers and head at 4 bits


def rows() -> list[Row]:
    """Bandwidths and decode rates of the phone, and the power of designs on the KV260."""
    return [*_phone(), *_kv260()]


def _phone() -> list[Row]:
    soc = load_soc("snapdragon-8-gen-3")
    found = []
    for readers, reference in ((("CPU",), 43.9), (("NPU",), 56.0), (("CPU", "NPU"), 59.6)):
        rate = 1e9 / decode_step(soc, readers, 1e9).makespan
        found.append(Row(
            _POWERINFER, f"bandwidth of {' and '.join(readers)}", "GB/s", rate / 1e9, reference,
            Basis.FITTED, 0.001,
        ))
    rate = 1 / decode_step(soc, ("CPU",), _MISTRAL_BYTES).makespan
    found.append(Row(
        _POWERINFER, "Mistral-7B at 4 bits, decode on the CPU (its LLMFlash baseline)", "token/s",
        rate, 12.9, Basis.HELD_OUT, 0.10,
    ))
    return found


def _kv260() -> list[Row]:
    device, hardware = load_device("kv260"), load_accelerator("tlmm-kv260").formulas
    cycles = CycleModel(hardware.tlmm.parameters(), {})
    machines = {corner: Machine(device, hardware, cycles, corner) for corner in Corner}
    found = []
    for shape in ("bitnet-0.73b", "bitnet-2b"):
        for comparison in compare(machines, load_shape(shape)):
            if comparison.power is None:
                continue
            fitted = comparison.published.name == "bitnet-kv260"
            rate, joules = comparison.published.tokens_per_second, comparison.published.energy
            found.append(Row(
                f"{comparison.published.name} on the KV260", "power at its rate and traffic", "W",
                comparison.power.nominal, comparison.published.power.nominal,
                Basis.FITTED if fitted else Basis.HELD_OUT, 0.02 if fitted else 0.25,
            ))
            found.append(Row(
                f"{comparison.published.name} on the KV260", "energy at its rate and traffic",
                "J/token", comparison.power.nominal / rate.nominal, joules.nominal,
                Basis.FITTED if fitted else Basis.HELD_OUT, 0.04 if fitted else 0.25,
            ))
    rest = device.power.idle.nominal + 40e-3 * device.power.uram_rest.nominal
    found.append(Row("bitnet-kv260 on the KV260", "idle, with the 40 URAM of its design", "W", rest,
                     3.81, Basis.FITTED, 0.01))
    return found
