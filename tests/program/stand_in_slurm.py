"""As much of SLURM as submitit asks for: one job at a time, on this machine, put back when asked.

Each command is a link to this file; what it has to know lies beside it.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(sys.argv[0]).parent
COMMANDS = ("sbatch", "srun", "scontrol", "scancel", "sacct")


def install(folder: Path) -> Path:
    """Put the commands into a folder, for PATH."""
    folder.mkdir()
    for name in COMMANDS:
        program = folder / name
        program.write_text(f"#!{sys.executable}\n{Path(__file__).read_text()}")
        program.chmod(0o755)
    return folder


def sbatch(script: str) -> None:
    """Run a script in the background."""
    job = str(os.getpid())
    print(f"Submitted batch job {job}", flush=True)
    if os.fork():
        return
    os.setsid()
    quiet = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(quiet, stream)
    options = dict(
        line.removeprefix("#SBATCH --").strip().partition("=")[::2]
        for line in Path(script).read_text().splitlines()
        if line.startswith("#SBATCH")
    )
    n_tasks = options["ntasks-per-node"]
    restarts = 0
    while True:
        environment = {**os.environ, "SLURM_JOB_ID": job, "SLURM_JOB_NAME": "train",
                       "SLURM_NTASKS": n_tasks, "SLURM_NTASKS_PER_NODE": n_tasks,
                       "SLURM_NNODES": "1", "SLURM_JOB_NUM_NODES": "1", "SLURM_NODEID": "0",
                       "SLURM_NODELIST": "127.0.0.1"}  # fmt: skip
        if restarts:
            environment["SLURM_RESTART_COUNT"] = str(restarts)
        subprocess.run(["bash", script], env=environment, check=False)
        if not (HERE / "requeue").exists():
            return
        (HERE / "requeue").unlink()
        restarts += 1


def srun(*words: str) -> None:
    """Run a job's tasks; when it is put back, end them."""
    job, n_tasks = os.environ["SLURM_JOB_ID"], int(os.environ["SLURM_NTASKS"])
    _, _, output, _, error, *command = words
    tasks = []
    for rank in range(n_tasks):
        files = [Path(name.replace("%j", job).replace("%t", str(rank))) for name in (output, error)]
        with files[0].open("a") as out, files[1].open("a") as err:
            own = {"SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)}
            tasks.append(
                subprocess.Popen(command, env={**os.environ, **own}, stdout=out, stderr=err)
            )
    (HERE / "tasks").write_text(" ".join(str(task.pid) for task in tasks))
    while any(task.poll() is None for task in tasks):
        if (HERE / "requeue").exists():
            for task in tasks:
                task.terminate()
            for task in tasks:
                try:
                    task.wait(10)
                except subprocess.TimeoutExpired:
                    task.kill()
        time.sleep(0.1)
    sys.exit(max(abs(task.returncode) for task in tasks))


def scontrol(*words: str) -> None:
    """Put the job back into the queue."""
    assert words[0] == "requeue", words
    (HERE / "requeue").touch()


def scancel(option: str, job: str) -> None:
    """Send a signal to all tasks of the job."""
    number = getattr(signal, f"SIG{option.removeprefix('--signal=')}")
    for pid in (HERE / "tasks").read_text().split():
        os.kill(int(pid), number)


def sacct(*words: str) -> None:
    """Know nothing."""
    print("JobID|State|NodeList")


if __name__ == "__main__" and Path(sys.argv[0]).name in COMMANDS:
    globals()[Path(sys.argv[0]).name](*sys.argv[1:])
