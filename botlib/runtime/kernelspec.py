"""The kernelspec of the kernels that botlib starts."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ipykernel.kernelspec import get_kernel_dict
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager

from botlib.runtime.current import HEADLESS


class CurrentInterpreter(KernelSpecManager):
    """A manager that resolves every kernel name to the interpreter of this process.

    An installed kernelspec called ``python3`` may belong to another environment, in which the
    notebook would import another botlib or none.

    Attributes:
        environment: variables that its kernels get besides.
    """

    environment: Mapping[str, str] = MappingProxyType({})

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        """Return the specification of an ipykernel under ``sys.executable``."""
        return KernelSpec(**get_kernel_dict(), env={HEADLESS: "1", **self.environment})
