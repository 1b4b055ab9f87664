"""nbgrader's autograde with each submission in a jail of its own, and its marks decided outside of it.

`make classroom` writes these two into the course's configuration, in place of nbgrader's `Execute` and before its
`OverwriteCells`; everything else of nbgrader stays as it is.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbconvert.preprocessors import Preprocessor
from nbformat import from_dict
from nbformat.v4 import new_output
from nbgrader.api import Gradebook  # type: ignore[import-untyped]
from nbgrader.preprocessors import (  # type: ignore[import-untyped]
    Execute,
    NbGraderPreprocessor,
    OverwriteCells,
)
from nbgrader.utils import is_grade, is_solution  # type: ignore[import-untyped]
from traitlets import Float, Integer

from .cells import MARKS, exercise_of
from .jail import Jail
from .marking import Remote, fault

PACKAGE = Path(__file__).resolve().parents[2]  # the folder that holds vtm_lesson
SHOWN = 100_000  # characters of one message that are kept in a feedback


class JailedKernel(AsyncKernelManager):
    """A kernel that is started through its jail's command, and is talked to through files instead of the network."""

    jail: Jail | None = None

    def format_kernel_cmd(self, extra_arguments: list[str] | None = None) -> list[str]:
        command = super().format_kernel_cmd(extra_arguments)
        return command if self.jail is None else self.jail.command(command)


class IsolatedExecute(Execute):
    """Runs a submission in its jail, and gives marks from here. What happens there costs that submission's marks."""

    timeout = Integer(300, allow_none=True, help="seconds for one cell").tag(config=True)
    seconds = Float(1800, help="seconds for the whole submission").tag(config=True)
    call_seconds = Float(60, help="seconds for one call of an exercise's function").tag(config=True)
    memory_gb = Float(16, help="address space of a submission; torch alone takes several").tag(config=True)
    file_mb = Float(256, help="the largest file that a submission may write").tag(config=True)
    processes = Integer(256, help="processes and threads of a submission at once").tag(config=True)
    output_mb = Float(4, help="output of one cell that is kept").tag(config=True)
    flood_mb = Float(64, help="output of one cell after which the kernel is ended").tag(config=True)

    def preprocess(self, nb: Any, resources: Any = None, km: Any = None) -> tuple[Any, Any]:
        about = resources["nbgrader"]
        self._troubles: list[str] = []
        self._student, self._dead, isolated = about["student"], "", []
        cell_limit, start = self.timeout, time.monotonic()
        self._end = start + self.seconds
        packages = [Path(sys.prefix), Path(sys.base_prefix), PACKAGE]
        limits = {"memory": int(self.memory_gb * 2**30), "file": int(self.file_mb * 1e6)}
        cpu = int(self.seconds * (os.cpu_count() or 1))
        self._jail = Jail(Path.cwd(), packages, **limits, cpu=cpu, processes=self.processes)
        try:
            self._jail.take(Path(resources["metadata"]["path"]))
            NotebookClient.__init__(self, nb, km)
            self.reset_execution_trackers()
            self._check_assign_resources(resources)
            self.kernel_manager_class, self.store_widget_state = JailedKernel, False
            self.shutdown_kernel = "immediate"
            more = {"NBGRADER_EXECUTION": "autograde", "VTM_STUDENT": self._student, "PYTHONPATH": str(PACKAGE)}
            more |= {
                "HF_HUB_OFFLINE": "1",
                "TQDM_DISABLE": "1",
                "MPLBACKEND": "module://matplotlib_inline.backend_inline",
            }
            with self.setup_kernel(env=self._jail.environment(**more), cwd=str(self._jail.folder / "work")):
                isolated = self._jail.isolated()  # before anything of the learner's has run
                for index, cell in enumerate(self.nb.cells):
                    if cell.cell_type == "code":
                        self.timeout = self._room(cell_limit)
                        self._run(cell, index)
        finally:
            self._jail.close()
            self.timeout = cell_limit
        _note(about, self._troubles, isolated, time.monotonic() - start)
        return self.nb, self.resources

    def create_kernel_manager(self) -> Any:
        manager = super().create_kernel_manager()
        manager.jail = self._jail
        manager.transport, manager.connection_file = "ipc", self._jail.connection_file
        manager.ip = str(self._jail.folder / "s")
        return manager

    def _room(self, most: float | None) -> int:
        left = self._end - time.monotonic()
        return max(1, int(left if most is None else min(most, left)))

    def _run(self, cell: Any, index: int) -> None:
        """One cell, or its marks; afterwards the cell has outputs, whatever happened."""
        if time.monotonic() > self._end and not self._dead:
            self._end_kernel("the whole submission took too long")
        call = MARKS.search(cell.source) if is_grade(cell) else None
        if call is not None:
            self._mark(cell, *call.groups())
            return
        cell.outputs = []
        if self._dead:
            return
        self._bytes, self._cut = 0, False
        try:
            self.execute_cell(cell, index, store_history=True)
        except DeadKernelError:
            self._died("the kernel died")
        except CellTimeoutError:
            self._end_kernel("a cell took too long")
        except Exception as error:  # whatever a kernel that is not to be trusted sends
            self._end_kernel(f"the kernel could not be understood ({type(error).__name__})")
        if self._cut:
            self._trouble("more output than is kept")
            cell.outputs.append(new_output("stream", name="stdout", text="\n... more output was not kept ...\n"))
        if any(out.get("ename") == "CellTimeoutError" for out in cell.outputs):
            self._trouble("a cell took too long")
            self._still_there()

    def _mark(self, cell: Any, name: str, function: str) -> None:
        """Judge the function from here; the cell's outputs are then what nbgrader reads the marks from."""
        remote = Remote(function, self._ask)
        try:
            wrong = f"not tried: {self._dead}" if self._dead else fault(exercise_of(name), remote, self._student)
        except Exception as error:
            wrong = f"could not be tried: {type(error).__name__}"
            self._trouble(f"{name} could not be tried")
        if remote.stopped:
            self._trouble(f"{name} gave no result in time")
            self._still_there()
        if wrong is None:
            cell.outputs = [new_output("stream", name="stdout", text=f"✓ {name}: right.\n")]
        else:
            text = wrong[:SHOWN]
            cell.outputs = [new_output("error", ename="NoMarks", evalue=text.split("\n")[0], traceback=[text])]
        cell.execution_count = None

    def _ask(self, code: str, expression: str) -> str | None:
        """The text of an expression in the kernel; None where no answer came in time."""
        if self._dead:
            return None
        self.timeout = self._room(self.call_seconds)
        try:
            sent = self.kc.execute(code, silent=True, store_history=False, user_expressions={"answer": expression})
            reply = self.wait_for_reply(sent)
        except DeadKernelError:
            self._died("the kernel died")
            return None
        answer = (reply or {}).get("content", {}).get("user_expressions", {}).get("answer", {})
        return answer["data"]["text/plain"] if answer.get("status") == "ok" else None

    def process_message(self, msg: Any, cell: Any, cell_index: int) -> Any:
        if msg["msg_type"] != "status":
            self._bytes += len(str(msg["content"])) + sum(len(part) for part in msg.get("buffers", ()))
            if self._bytes > self.flood_mb * 1e6:
                self._end_kernel("a flood of output")
            if self._bytes > self.output_mb * 1e6:
                self._cut = True
                return None
        return super().process_message(msg, cell, cell_index)

    def _still_there(self) -> None:
        """After an interrupt: does the kernel answer? If not, it is ended."""
        if self._dead:
            return
        self.timeout = 10
        with suppress(Exception):
            if self.wait_for_reply(self.kc.execute("None", silent=True)) and not self._dead:
                return
        self._end_kernel("the kernel could not be interrupted")

    def _end_kernel(self, why: str) -> None:
        self._died(why)
        with suppress(Exception):
            os.killpg(self.km.provisioner.pgid, signal.SIGKILL)

    def _died(self, why: str) -> None:
        self._dead = self._dead or why
        self._trouble(why)

    def _trouble(self, words: str) -> None:
        if words not in self._troubles:
            self._troubles.append(words)


class RestoreCells(NbGraderPreprocessor):
    """Cells for marks that a learner took out are put back: behind their exercise, else at the end."""

    def preprocess(self, nb: Any, resources: Any) -> tuple[Any, Any]:
        about = resources["nbgrader"]
        present = {
            c.metadata.nbgrader.get("grade_id"): i for i, c in enumerate(nb.cells) if is_grade(c) or is_solution(c)
        }
        writer, missing = OverwriteCells(parent=self.parent), []
        with Gradebook(about["db_url"]) as book:
            source = book.find_notebook(about["notebook"], about["assignment"])
            known, graded = [c.name for c in source.source_cells], {c.name: c.max_score for c in source.grade_cells}
            for place, stored in enumerate(source.source_cells):
                if stored.name in graded and stored.name not in present:
                    before = known[place - 1] if place else None
                    cell = from_dict(writer.missing_cell_transform(stored, graded[stored.name]))
                    cell.source, cell.id = (
                        stored.source,
                        stored.name,
                    )  # without a notice: its checksum is the stored one
                    missing.append((present.get(before, len(nb.cells)) + 1, cell))
        for place, cell in sorted(missing, key=lambda pair: -pair[0]):
            nb.cells.insert(place, cell)
        return nb, resources


class WithoutHiddenTests(Preprocessor):
    """Feedback without the hidden tests, which nbgrader's own feedback would show."""

    def preprocess_cell(self, cell: Any, resources: Any, index: int) -> tuple[Any, Any]:
        if is_grade(cell) and "### BEGIN HIDDEN TESTS" in cell.source:
            before, _, rest = cell.source.partition("### BEGIN HIDDEN TESTS")
            cell.source = (before + rest.partition("### END HIDDEN TESTS")[2]).strip()
        return cell, resources


def _note(about: dict, troubles: list[str], isolated: list[str], seconds: float) -> None:
    """For `look`: what happened, beside the course's other folders and never handed back."""
    path = Path("look", about["assignment"], f"{about['student']}.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    words = {"troubles": troubles, "isolated": isolated, "seconds": round(seconds, 1)}
    path.write_text(json.dumps(words, indent=1) + "\n", encoding="utf-8")
