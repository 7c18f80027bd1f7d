"""The papermill engine of the kit: the kernel it starts, and how a notebook is executed in it."""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections.abc import Callable
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
from botlib.runs.report import describe_death
from botlib.runs.stop import StopControl
from botlib.runtime.kernelspec import CurrentInterpreter

ENGINE: Final = "botlib"
KERNEL_NAME: Final = "python3"

# A carriage return throws away the line so far, unless it is half of a line end or comes last.
_OVERWRITTEN = re.compile(r"[^\n]*\r(?=[^\n])")


class RunClient(PapermillNotebookClient):  # type: ignore[misc]
    """Executes the cells of one run."""

    def __init__(
        self, nb_man: Any, *, stop: StopControl, on_text: Callable[[str], None], **options: Any
    ) -> None:
        super().__init__(nb_man, **options)
        self._stop = stop
        self._on_text = on_text
        stop.kernel = self._kernel_process

    def create_kernel_manager(self) -> AsyncKernelManager:
        """Create the manager of a kernel of the current interpreter."""
        self.km = AsyncKernelManager(
            kernel_name=KERNEL_NAME,
            kernel_spec_manager=CurrentInterpreter(),
            # Loopback is shared by all users of the machine.
            transport_encryption="auto" if zmq.has("curve") else "disabled",
        )
        return self.km

    def papermill_execute_cells(self) -> None:
        """Execute all cells, unless the run was stopped while the kernel started."""
        if self._stop.reason is not None:
            raise RunError("The run was stopped before its first cell. Nothing was executed.")
        super().papermill_execute_cells()

    def execute_cell(self, cell: Any, cell_index: int, **options: Any) -> Any:
        """Execute a cell; what ends the whole run marks the cell it happened in.

        Stock papermill marks only a cell that raised: after the death of a kernel every cell
        reads "completed", those that never ran included.
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
        """Add an output; text continues the text before it, or days of lines are days of outputs.

        Streams are merged as they come and not at the end of the cell, because a removed output
        would shift the places that display updates are written to.
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
    """Papermill's engine with an orderly stop."""

    @classmethod
    def execute_managed_notebook(
        cls, nb_man: Any, kernel_name: str, *, run: Callable[[Any], RunClient], **unused: Any
    ) -> None:
        """Execute the notebook in the client that ``run`` makes."""
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
) -> None:
    """Execute the notebook at ``notebook`` into the file ``output``, saving on the way.

    It runs on a thread of its own: nbclient needs a loop that nobody else runs, and leaves it open.
    Raises what papermill and nbclient raise; the notebook is saved even then.
    """
    papermill_engines.register(ENGINE, RunEngine)

    def client(nb_man: Any) -> RunClient:
        return RunClient(
            nb_man,
            stop=stop,
            on_text=on_text,
            kernel_name=KERNEL_NAME,
            startup_timeout=60,
            # A cell that waits for days is the normal case; late output must not end it.
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
    """Close the loop that nbclient made for this thread, with what it left running there."""
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
    loop.close()
    asyncio.set_event_loop(None)


def _literal(path: str) -> str:
    # papermill fills paths in as format strings.
    return path.replace("{", "{{").replace("}", "}}")
