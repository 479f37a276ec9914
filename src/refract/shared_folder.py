"""Whether the processes of a run, perhaps on several machines, write to one and the same folder.

Without that they would look for each other's latents and checkpoints in vain, or train on from
different steps.
"""

from pathlib import Path
from uuid import uuid4

from refract.errors import InputError
from refract.processes import Processes


def check_shared(folder: Path, processes: Processes) -> None:
    """To be called by all, for a folder that each of them has.

    Raises InputError in a process that does not see what the main one writes there. The name is one
    that nobody has looked for: a network file system remembers for a while what was not there.
    """
    mark = folder / processes.agree(f"shared_{uuid4().hex}")
    if processes.main:
        mark.touch()
    processes.wait()
    seen = mark.exists()
    processes.wait()
    if processes.main:
        mark.unlink()
    if not seen:
        raise InputError(
            f"{folder}: process {processes.index + 1} does not see there what process 1 writes; "
            "$REFRACT_STATE must be a folder that all machines share"
        )
