"""How fast typed samples are written and read, beside other formats: ``python -m speed``, see docs/benchmarks.md."""

import os

# One thread each, and no network. Libraries read these when they are first imported.
for _name in ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "RAYON"):
    os.environ[f"{_name}_NUM_THREADS"] = "1"
for _name in ("LANCE_CPU_THREADS", "LANCE_IO_THREADS"):
    os.environ[_name] = "1"
for _name in ("HF_HUB_OFFLINE", "HF_DATASETS_DISABLE_PROGRESS_BARS"):
    os.environ[_name] = "1"
