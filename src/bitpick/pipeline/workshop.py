"""What every stage of a run works with."""

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
    """What every stage of a run works with.

    Attributes:
        directory: the run directory, with what is known of the run.
        runner: runs the jobs.
        parallel: how many at once.
        listener: is told how it goes.
        host: this machine.
    """

    directory: RunDirectory
    runner: Runner
    parallel: int
    listener: Listener
    host: Host

    @property
    def run(self) -> Run:
        """What is known of the run."""
        return self.directory.run

    def do(self, job: Job) -> Outcome:
        """Run one job, and tell the listener.

        Raises:
            BitpickError: what its function raised.
        """
        self.listener.started(job)
        try:
            return self.runner.run(job)
        finally:
            self.listener.ended(job)

    def note(self, text: str) -> None:
        """Keep what was assumed about the model, or changed in it, and tell it once."""
        model = self.run.model
        if text not in model.notes:
            self.directory.update(model=model.model_copy(update={"notes": (*model.notes, text)}))
            self.listener.note(text)

    def remark(self, text: str) -> None:
        """Keep what was assumed about the data, or is strange about them, and tell it."""
        data = self.run.data
        assert data is not None
        self.directory.update(data=data.model_copy(update={"notes": (*data.notes, text)}))
        self.listener.note(text)
