"""All benchmarks one after another, each a table: some 40 minutes on two cores.

    python benchmarks [DATA] [NAME ...]

DATA is the folder with candidate_pool.parquet, retrieval_val.parquet and the MassBank archive;
without it TEAM5_TEST_DATA. Names choose among: fragments, scoring, explained, prefilter,
training, ddp, startup, export, memory, library_lookup. Exits with 1 if a limit was missed, having
gone through all.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def commands(data: Path) -> dict[str, list[str]]:
    """Return what follows each script's name on its command line."""
    pool, queries = str(data / "candidate_pool.parquet"), str(data / "retrieval_val.parquet")
    return {
        "fragments": [pool],
        "scoring": [pool],
        "explained": [queries],
        "prefilter": [queries, pool],
        "training": [],
        "ddp": [],
        "startup": [],
        "export": [],
        "memory": [],
        "library_lookup": [pool],
    }


def main() -> int:
    """Run the benchmarks asked for and return whether all limits were met."""
    words = sys.argv[1:]
    folder = (
        words.pop(0) if words and Path(words[0]).is_dir() else os.environ.get("TEAM5_TEST_DATA", "")
    )
    known = commands(Path(folder))
    if not folder or not set(words) <= set(known):
        print(__doc__, file=sys.stderr)
        return 2
    failed = []
    for name in words or known:
        print(f"== {name}", flush=True)
        done = subprocess.run(
            [sys.executable, HERE / f"{name}.py", *known[name]],
            env={**os.environ, "TEAM5_TEST_DATA": folder},
            check=False,
        )
        if done.returncode:
            failed.append(name)
        print(flush=True)
    print(f"limits missed: {', '.join(failed) or 'none'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
