"""The papermill engine of headless runs: it starts the kernel and executes the notebook."""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import zmq
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import ensure_event_loop
from nbclient.exceptions import CellExecutionError, DeadKernelError
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines
from papermill.execute import execute_notebook
from papermill.log import logger

from botlib.core.errors import RunError
from botlib.core.text.masking import masked_values
from botlib.runs.report import describe_death
from botlib.runs.stop import StopControl
from botlib.runtime.kernelspec import CurrentInterpreter

ENGINE: Final = "botlib"
KERNEL_NAME: Final = "python3"

SHUTDOWN_WAIT: Final = 50.0
"""Seconds from the request to shut down to the kill of a kernel; SIGTERM is sent after the half."""

# A carriage return discards the line so far, unless it is part of a line end or comes last.
_OVERWRITTEN = re.compile(r"[^\n]*\r(?=[^\n])")


class RunClient(PapermillNotebookClient):  # type: ignore[misc]
    """The client that executes the cells of one run.

    Args:
        stop: asked before the first cell whether the run was stopped.
        on_text: called with the text of each output stream.
        environment: variables of the kernel besides those of this process.
    """

    def __init__(
        self,
        nb_man: Any,
        *,
        stop: StopControl,
        on_text: Callable[[str], None],
        environment: Mapping[str, str],
        **options: Any,
    ) -> None:
        super().__init__(nb_man, **options)
        self._environment = environment
        self._stop = stop
        self._on_text = on_text
        stop.kernel = self._kernel_process

    def create_kernel_manager(self) -> AsyncKernelManager:
        """Create the manager of a kernel of the current interpreter."""
        kernels = CurrentInterpreter()
        kernels.environment = self._environment
        self.km = AsyncKernelManager(
            kernel_name=KERNEL_NAME,
            kernel_spec_manager=kernels,
            # All users of the computer share the loopback interface.
            transport_encryption="auto" if zmq.has("curve") else "disabled",
            # A bot that the notebook left running settles its orders and protects its positions.
            shutdown_wait_time=SHUTDOWN_WAIT,
        )
        return self.km

    def papermill_execute_cells(self) -> None:
        """Execute all cells, unless the run was stopped while the kernel started."""
        if self._stop.reason is not None:
            raise RunError("The run was stopped before its first cell. Nothing was executed.")
        super().papermill_execute_cells()

    def process_message(self, msg: Any, cell: Any, cell_index: int) -> Any:
        """Process a message of the kernel, with the secrets in its texts masked.

        Whatever a cell prints or raises is saved with the notebook.
        """
        msg["content"] = masked_values(msg["content"])
        return super().process_message(msg, cell, cell_index)

    def execute_cell(self, cell: Any, cell_index: int, **options: Any) -> Any:
        """Execute a cell; an error that ends the whole run is recorded in its cell.

        Papermill itself marks only a cell that raised: after the death of a kernel every cell
        would be "completed", also those that never ran.
        """
        try:
            return super().execute_cell(cell, cell_index, **options)
        except CellExecutionError:
            raise
        except Exception as error:
            self.nb_man.cell_exception(cell, cell_index=cell_index, exception=error)
            if isinstance(error, DeadKernelError):
                raise RunError(describe_death(cell.source, self._exit_code())) from error
            raise

    def output(self, outs: list[Any], msg: Any, display_id: str | None, cell_index: int) -> Any:
        """Add an output; text is appended to a text output before it, to bound their number.

        Streams are merged as they come and not at the end of the cell, because a removed output
        would shift the positions that display updates are written to.
        """
        out = super().output(outs, msg, display_id, cell_index)
        if out is None or out.output_type != "stream":
            return out
        self._on_text(out.text)
        if len(outs) > 1 and outs[-2].output_type == "stream" and outs[-2].name == out.name:
            outs.pop()
            head, end, tail = outs[-1].text.rpartition("\n")
            outs[-1].text = head + end + _OVERWRITTEN.sub("", tail + out.text)
        else:
            outs[-1].text = _OVERWRITTEN.sub("", out.text)
        return outs[-1]

    def _kernel_process(self) -> subprocess.Popen[bytes] | None:
        provisioner = self.km.provisioner if self.km is not None else None
        return getattr(provisioner, "process", None)

    def _exit_code(self) -> int | None:
        process = self._kernel_process()
        return process.poll() if process is not None else None


class RunEngine(NBClientEngine):  # type: ignore[misc]
    """The papermill engine with an orderly stop."""

    @classmethod
    def execute_managed_notebook(
        cls, nb_man: Any, kernel_name: str, *, run: Callable[[Any], RunClient], **unused: Any
    ) -> None:
        """Execute the notebook with the client that ``run`` returns."""
        client = run(nb_man)
        try:
            client.execute()
        except Exception as error:
            cells = client.nb.cells
            if cells and not any(cell.metadata.papermill["exception"] for cell in cells):
                nb_man.cell_exception(cells[0], cell_index=0, exception=error)
            raise
        finally:
            nb_man.nb.metadata.papermill["stop_signal"] = client._stop.stop_signal


def execute(
    notebook: str,
    output: str,
    parameters: dict[str, object],
    *,
    stop: StopControl,
    on_text: Callable[[str], None],
    environment: Mapping[str, str],
) -> None:
    """Execute the notebook at ``notebook`` into the file ``output``, saving on the way.

    It runs on a separate thread, because nbclient needs an event loop that does not run yet, and
    leaves it open.

    Raises:
        Exception: those of papermill and nbclient; the notebook is saved all the same.
    """
    papermill_engines.register(ENGINE, RunEngine)

    def client(nb_man: Any) -> RunClient:
        return RunClient(
            nb_man,
            stop=stop,
            on_text=on_text,
            environment=environment,
            kernel_name=KERNEL_NAME,
            startup_timeout=60,
            # Cells often wait for days, and late output must not end them.
            timeout=None,
            iopub_timeout=60,
            raise_on_iopub_timeout=False,
            log=logger,
        )

    def work() -> None:
        try:
            execute_notebook(
                _literal(notebook),
                _literal(output),
                parameters=parameters,
                engine_name=ENGINE,
                kernel_name=KERNEL_NAME,
                language="python",
                progress_bar=False,
                autosave_cell_every=300,
                run=client,
            )
        finally:
            _close_loop(ensure_event_loop())

    with ThreadPoolExecutor(1, thread_name_prefix="botlib-run") as executor:
        executor.submit(work).result()


def _close_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel the tasks that nbclient left on this thread's event loop, and close it."""
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
    loop.close()
    asyncio.set_event_loop(None)


def _literal(path: str) -> str:
    # papermill treats paths as format strings.
    return path.replace("{", "{{").replace("}", "}}")
