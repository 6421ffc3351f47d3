# Every target makes the environment it needs. PYTHON=python3.12 picks another interpreter, ARGS=... passes flags on.
PYTHON ?= python3
WORKERS ?= 2
BIN := .venv/bin
STAMP := .venv/.installed
# Programs and tests share compiled programs, so that a second run does not compile again.
export JAX_COMPILATION_CACHE_DIR ?= $(CURDIR)/.cache/jax

.PHONY: venv demo test slow lint clean

venv: $(STAMP)

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 14) else \
	    "$(PYTHON) is Python %d.%d, expected 3.11 to 3.13; name one with make PYTHON=python3.12" % v)'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test,faces,mesh,video,audio,logging,notebooks]'
	@touch $@

demo: $(STAMP)
	$(BIN)/python -m experiments.demo $(ARGS)

# Tests compile thousands of small programs and run them once: LLVM's optimisations take longer than they save there.
# XLA's older way to emit fusions takes half the time of the newer one, and a core compiles one program at a time.
# Neighbouring tests share programs: a worker takes a stretch of them, and then of what the other has left.
test: export XLA_FLAGS := $(XLA_FLAGS) --xla_backend_optimization_level=0 \
    --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1
test: $(STAMP)
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal -m 'not slow' $(ARGS)

# The longest are left to whichever worker is free: these train for minutes. Their steps run several times faster with a
# little of LLVM's optimisations, which cost more than that in short runs alone.
slow: export XLA_FLAGS := $(XLA_FLAGS) --xla_backend_optimization_level=1 \
    --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1
slow: $(STAMP)
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal -m slow --durations=10 $(ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports

clean:
	rm -rf .venv .cache .ruff_cache .pytest_cache .import_linter_cache build dist
