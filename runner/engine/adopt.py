"""A production table that was there before polytrades: looked at, and taken on as it is or refused with a plan."""

from runner.engine.writer import Notes
from runner.errors import UsageError
from runner.warehouse.adoption import Adoption
from runner.warehouse.protocol import Warehouse
from runner.windows import utc_now


def adopt_existing(warehouse: Warehouse, run_id: str, notes: Notes, accept_defects: bool = False) -> Adoption | None:
    """Adopts a table `trades` that polytrades did not make; None where there is nothing to adopt.

    Raises:
        UsageError: the table cannot be taken on as it is. The message is the plan; nothing was changed.
    """
    adoption = warehouse.find_adoption()
    if adoption is None:
        return None
    if refusal := adoption.refusal(accept_defects):
        raise UsageError(refusal)
    warehouse.adopt(adoption, run_id, utc_now())
    notes.note(f"Adopted {adoption.described()}")
    return adoption
