"""The kernel that processes of the kit start for themselves."""

from __future__ import annotations

from ipykernel.kernelspec import get_kernel_dict
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager

from botlib.runtime.current import HEADLESS


class CurrentInterpreter(KernelSpecManager):
    """Answers every kernel name with the interpreter this process runs in.

    An installed kernelspec called ``python3`` may belong to another environment, in which the
    notebook would import another botlib or none.
    """

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        """Return the specification of an ipykernel under ``sys.executable``."""
        return KernelSpec(**get_kernel_dict(), env={HEADLESS: "1"})
