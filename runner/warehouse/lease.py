"""The lease: one writer of production at a time, and what to do with one that died."""

import os
import platform
import threading
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from runner.errors import Failed, HeldBack, PolytradesError
from runner.warehouse.protocol import Holder
from runner.warehouse.statements import Statements


class Lease(Statements):
    """A row in state: who writes, and until when. The macros in macros/lease.sql read and write the same row."""

    def acquire_lease(self, run_id: str, holder: str, minutes: float) -> str | None:
        """See Warehouse."""
        before = self.lease()
        if before is None:
            raise Failed(f"There is no lease in {self._state('lease')}; run the command again, which makes it.")
        dead = before.run_id if before.run_id is not None and self._is_dead(before) else None
        try:
            with self._step():
                self._execute(
                    "acquire_lease",
                    f"update {self._state('lease')} set token = token + 1, run_id = @run_id, holder = @holder, "
                    f"host = @host, pid = @pid, pid_started = cast(@pid_started as {self._type('bigint')}), "
                    f"acquired_at = {self._in_minutes(0)}, expires_at = {self._in_minutes(minutes)} "
                    f"where run_id is null or run_id = @dead or expires_at < {self._in_minutes(0)}",
                    run_id=run_id,
                    holder=holder,
                    host=_this_host(),
                    pid=os.getpid(),
                    pid_started=_started(os.getpid()),
                    dead=dead or "",
                )
            now = self.lease()
        except PolytradesError:
            # It may be ours all the same: whoever comes next must not wait for a run that ends here.
            with suppress(PolytradesError):
                self.free_lease(run_id)
            raise
        if now is None or now.run_id != run_id:
            who = (now.holder if now else None) or "another run"
            since = f" since {now.acquired_at:%Y-%m-%d %H:%M} UTC" if now and now.acquired_at else ""
            until = f" until {now.expires_at:%H:%M} UTC" if now and now.expires_at else ""
            raise HeldBack(
                f"The lease on {self.place} is held by {who}{since}, if not renewed{until}. Nothing was changed. Wait "
                "for it and run the same command again; if it is dead, `polytrades lease` says how to take its lease."
            )
        self._run_id = run_id
        return before.run_id

    def renew_lease(self, minutes: float) -> bool:
        """See Warehouse."""
        written = self._execute(
            "renew_lease",
            f"update {self._state('lease')} set expires_at = {self._in_minutes(minutes)} where run_id = @run_id",
            run_id=self._run_id or "",
        )
        return written > 0

    def release_lease(self) -> None:
        """See Warehouse."""
        if self._run_id is not None:
            self.free_lease(self._run_id)
            self._run_id = None

    def free_lease(self, run_id: str) -> None:
        """See Warehouse."""
        with self._step():
            self._execute(
                "release_lease",
                f"update {self._state('lease')} set run_id = null, holder = null, host = null, pid = null, "
                "pid_started = null, expires_at = null where run_id = @run_id",
                run_id=run_id,
            )

    def lease(self) -> Holder | None:
        """See Warehouse."""
        if not self._has_state("lease"):
            return None
        rows = self._query(
            "read_lease",
            "select token, run_id, holder, host, pid, pid_started, acquired_at, expires_at "
            f"from {self._state('lease')}",
        )
        return Holder(*rows[0]) if rows else None

    def _is_dead(self, holder: Holder) -> bool:
        """True if the holder certainly does not live any more: a process of this machine that is gone."""
        if holder.pid is None or holder.host != _this_host():
            return False
        return not _is_alive(holder.pid, holder.pid_started)

    @contextmanager
    def keeping_lease(self, minutes: float) -> Iterator[None]:
        """See Warehouse. Renewed by a thread with a connection of its own, three times in the time it is taken for."""
        ended = threading.Event()
        other = self._twin()

        def renew() -> None:
            while not ended.wait(minutes * 60 / 3):
                # What is wrong with one renewal is seen by the next, or by the statement that the lease guards.
                with suppress(PolytradesError):
                    other.renew_lease(minutes)

        thread = threading.Thread(target=renew, name="lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    @abstractmethod
    def _twin(self) -> "Lease":
        """The same warehouse and lease over another connection, for another thread."""

    def names_jobs(self, command: str, run_id: str) -> None:
        """See Warehouse. Where there are no jobs, there is nothing to name."""

    def end_orphans(self, run_id: str, wait_seconds: float) -> list[str]:
        """See Warehouse. Where jobs end with their process there are none."""
        return []


def _this_host() -> str:
    """Names this machine as the space in which a process id means something: a container is one of its own."""
    parts = [platform.node()]
    with suppress(OSError):  # not on Linux
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8])
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return "/".join(parts)


def _started(pid: int) -> int | None:
    """When a process started, in ticks since the machine did; tells it from a later one of the same number."""
    try:
        # The name in parentheses may hold spaces; the 22nd field is the 20th after it (man 5 proc).
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None


def _is_alive(pid: int, started: int | None) -> bool:
    """True if the process may still be there."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    now = _started(pid)
    return started is None or now is None or now == started
