# make demo      set up, then the embedded default study: a verdict on a real language model
# make toy       set up, then the paper's toy model, quick: the truth known, its claims judged
# make toy-full  the same with the paper's points, seeds and samples
# make calibrate sweep worlds of known truth, and say how often the answer is right: hours, resumable;
#                make calibrate QUICK=1: 8 worlds
# make test      set up, then every check and test; those of numbers twice (make other-processor)
# make bench     set up, then time everything against the tools in use; README's table
# make bench-study  the default study as a whole against the same with those tools: 40 minutes
# make gpu-check eight minutes on a GPU: right numbers, speed, waiting; needs torch, no set-up
# make docs      the schema and table of options, and the documentation as a site: site/index.html
# make why       what would run and why, and what it would cost; nothing is run
#
# The environment lives in .venv. Variables:
#   PYTHON  the interpreter it is made from (3.11 or newer)
#   TORCH   what pip installs torch from, for example
#             make demo TORCH="torch==2.13.0 --index-url <an index with the build you want>"
#           Unset: the CPU build where the package index offers one, else its standard build.
#   CORES   cores used by `make demo`, `make toy`, `make toy-full` and `make calibrate`
#   WHEELS  for `make gpu-check`, a folder of wheels it may use where packages are missing
#   CONFIG  the study of `make why`; JOBS, how many GPUs or cores its wall time is for; BESIDE, a study
#           whose cost it states beside that of a search

PYTHON ?= python3
CORES ?= all
CONFIG ?= config/config.yaml
JOBS ?=
BESIDE ?=
TORCH ?=
WHEELS ?=
QUICK ?=

TORCH_VERSION := 2.13.0
BIN := .venv/bin
COMPILE :=
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
export HF_HUB_DISABLE_TELEMETRY := 1
export WANDB_MODE := disabled

.PHONY: demo toy toy-full calibrate test other-processor bench bench-study gpu-check why env env-dev browser slurm check docs clean-env

demo: env
	@$(BIN)/python -m correct_l0.study.demo --cores $(CORES)

toy: env
	@$(BIN)/python -m paper --quick --cores $(CORES)

toy-full: env
	@$(BIN)/python -m paper --cores $(CORES)

calibrate: env
	@$(BIN)/python -m calibration $(if $(QUICK),--quick) --cores $(CORES)

# Two things at a time, and four workers of pytest, as the one with the tests of Slurm mostly waits, and
# others for what they start; one thread for each: more would wait for each other. Python compiles what
# the tests import, the smaller part of what is installed, as they import it.
TWO := $(MAKE) --no-print-directory --jobs=2 --output-sync=target
test:
	+@$(TWO) env-dev slurm COMPILE=--no-compile
	+@$(TWO) check other-processor
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 4

# The libraries' kernels for a processor without AVX, and two threads: everything rounds differently.
other-processor: export ATEN_CPU_CAPABILITY := default
other-processor: export MKL_ENABLE_INSTRUCTIONS := SSE4_2
other-processor: export ONEDNN_MAX_CPU_ISA := SSE41
other-processor: export OPENBLAS_CORETYPE := Nehalem
other-processor: export NUMBA_CPU_NAME := generic
other-processor: export OMP_NUM_THREADS := 2
other-processor: env-dev
	$(BIN)/python -m pytest --quiet tests/unit -m numbers

bench: env-dev
	@$(BIN)/python benchmarks/run.py

bench-study: env-dev
	@$(BIN)/python benchmarks/rival_study.py
	@$(BIN)/python benchmarks/study.py

# A machine with a GPU may be bare: this asks for no environment and takes the one that is there.
gpu-check:
	@$(or $(wildcard $(BIN)/python),$(PYTHON)) -m benchmarks.gpu_check \
	  $(if $(WHEELS),--wheels '$(WHEELS)')

why: env
	@$(BIN)/correct-l0 why --configfile '$(CONFIG)' $(if $(JOBS),--jobs='$(JOBS)') \
	  $(if $(BESIDE),--beside '$(BESIDE)')

env: .venv/.ready
env-dev: .venv/.ready-dev

.venv/.ready: envs/requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: $(PYTHON) is older than Python 3.11; name another with PYTHON=..." >&2; exit 1; }
	$(PYTHON) -m venv .venv
ifeq ($(strip $(TORCH)),)
	$(PIP) install $(COMPILE) -c envs/requirements.lock "torch==$(TORCH_VERSION)+cpu" 2>/dev/null || \
	  $(PIP) install $(COMPILE) -c envs/requirements.lock "torch==$(TORCH_VERSION)"
else
	$(PIP) install $(COMPILE) $(TORCH)
endif
	$(PIP) install $(COMPILE) --no-deps -r envs/requirements.lock
	$(PIP) install $(COMPILE) --no-deps --no-build-isolation -e .
	@touch $@

.venv/.ready-dev: .venv/.ready envs/requirements-dev.lock
	$(PIP) install $(COMPILE) --no-deps -r envs/requirements-dev.lock
	@touch $@

# Where it may not be installed, the browser tests fail with the line that installs it.
browser:
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	  apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium >/dev/null; } || true

# A Slurm for the tests, which start and stop it; where it may not be installed, they fail likewise.
SLURM := slurmctld slurmd slurm-client munge
slurm: | browser
	@dpkg --status $(SLURM) >/dev/null 2>&1 || { [ "$$(id -u)" = 0 ] && \
	  command -v apt-get >/dev/null && apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
	  apt-get install -y -qq --no-install-recommends $(SLURM) >/dev/null; } || true

# A link that leads nowhere is an error.
SITE = $(BIN)/python -m sphinx -E -W --keep-going -q -c docs .
check: env-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/python -m codespell_lib
	$(BIN)/python -m mypy
	$(BIN)/python -m snakemake --lint
	$(SITE) -b dummy site

docs: env-dev
	$(BIN)/correct-l0 schema --write
	$(SITE) site

clean-env:
	rm -rf .venv
