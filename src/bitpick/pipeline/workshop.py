"""What every stage of a run needs: the run directory, the runner and the listener."""

from __future__ import annotations

from dataclasses import dataclass

from bitpick.executors.executor import Outcome
from bitpick.pipeline.directory import RunDirectory
from bitpick.pipeline.job import Job
from bitpick.pipeline.listener import Listener
from bitpick.pipeline.running import Runner
from bitpick.schema.run import Run
from bitpick.targets.host import Host


@dataclass(frozen=True)
class Workshop:
    """What every stage of a run needs.

    Attributes:
        directory: the run directory, with the run's record.
        runner: runs the jobs.
        parallel: how many jobs run at once.
        listener: receives progress.
        host: this machine.
    """

    directory: RunDirectory
    runner: Runner
    parallel: int
    listener: Listener
    host: Host

    @property
    def run(self) -> Run:
        """The run's record so far."""
        return self.directory.run

    def do(self, job: Job) -> Outcome:
        """Run one job, and tell the listener.

        Raises:
            BitpickError: the job's function failed.
        """
        self.listener.started(job)
        try:
            return self.runner.run(job)
        finally:
            self.listener.ended(job)

    def note(self, text: str) -> None:
        """Note what was assumed about the model or changed in it, once, in the record and to the listener."""
        model = self.run.model
        if text not in model.notes:
            self.directory.update(model=model.model_copy(update={"notes": (*model.notes, text)}))
            self.listener.note(text)

    def remark(self, text: str) -> None:
        """Note what was assumed about the data or looks wrong with it, in the record and to the listener."""
        data = self.run.data
        assert data is not None
        self.directory.update(data=data.model_copy(update={"notes": (*data.notes, text)}))
        self.listener.note(text)
