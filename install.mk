# make install [PREFIX=/usr/local] [DESTDIR=]: the library, its headers, the tool, pkg-config and
# CMake files. An installation finds itself: it can be moved.

$(if $(filter-out 1,$(words $(CURDIR))),$(error \
  make cannot handle spaces in paths: move '$(CURDIR)'))

PREFIX ?= /usr/local
DESTDIR ?=
# Where Cargo put what it built.
BUILD ?= $(or $(CARGO_TARGET_DIR),target)/release

install_root := $(dir $(abspath $(lastword $(MAKEFILE_LIST))))
install_version := $(shell sed -n 's/^version = "\(.*\)"/\1/p' $(install_root)Cargo.toml | head -n 1)
install_major := $(firstword $(subst ., ,$(install_version)))
install_prefix = $(DESTDIR)$(PREFIX)
install_cmake = $(install_prefix)/lib/cmake/mlff_student
install_doc = $(install_prefix)/share/doc/mlff-student
install_headers := mlff_student.h mlff_student.hpp mlff_student.f90
install_fill = sed -e 's/@VERSION@/$(install_version)/g' -e 's/@MAJOR@/$(install_major)/g'

.PHONY: install uninstall

install: ## the library, its headers and the tools into PREFIX (/usr/local)
	@test -f '$(BUILD)/libmlff_student.so' -a -f '$(BUILD)/mlff-student' || { \
	  echo "nothing to install in $(BUILD): run 'make' (or cargo build --release) first" >&2; exit 1; }
	@for folder in bin include lib share; do \
	  folder='$(install_prefix)'/$$folder; \
	  while ! test -e "$$folder"; do folder=$$(dirname "$$folder"); done; \
	  test -w "$$folder" || { \
	    echo "ERROR: you may not write to $$folder: install to a folder of your own, for example" \
	      "make install PREFIX=\$$HOME/mlff, or run make install as root" >&2; exit 1; }; \
	done
	install -d '$(install_prefix)/bin' '$(install_prefix)/include' '$(install_prefix)/lib/pkgconfig' \
	  '$(install_cmake)' '$(install_doc)'
	install -m 755 '$(BUILD)/mlff-student' '$(install_prefix)/bin/'
	install -m 755 '$(BUILD)/libmlff_student.so' '$(install_prefix)/lib/libmlff_student.so.$(install_version)'
	@# Only where make trainer built them; they stay linked to the libtorch of .venv-torch. The library in a folder of its
	@# own: Cargo gives it the SONAME of the other one, and ldconfig would take one for the other.
	if test -f '$(BUILD)/mlff-student-train'; then install -m 755 '$(BUILD)/mlff-student-train' '$(install_prefix)/bin/'; fi
	if test -f '$(BUILD)/libmlff_student_torch.so'; then install -d '$(install_prefix)/lib/mlff-student'; \
	  install -m 755 '$(BUILD)/libmlff_student_torch.so' '$(install_prefix)/lib/mlff-student/'; fi
	ln -sf libmlff_student.so.$(install_version) '$(install_prefix)/lib/libmlff_student.so.$(install_major)'
	ln -sf libmlff_student.so.$(install_major) '$(install_prefix)/lib/libmlff_student.so'
	install -m 644 $(install_headers:%='$(install_root)include/%') '$(install_prefix)/include/'
	$(install_fill) '$(install_root)packaging/mlff_student.pc.in' > '$(install_prefix)/lib/pkgconfig/mlff_student.pc'
	for file in mlff_studentConfig mlff_studentConfigVersion; do \
	  $(install_fill) "$(install_root)packaging/$$file.cmake.in" > "$(install_cmake)/$$file.cmake" || exit 1; \
	done
	chmod 644 '$(install_prefix)/lib/pkgconfig/mlff_student.pc' '$(install_cmake)'/*.cmake
	install -m 644 '$(install_root)LICENSE-MIT' '$(install_root)LICENSE-APACHE' \
	  '$(install_root)tool/src/plot/DejaVuSans.LICENSE' '$(install_doc)/'
	@# The loader looks into its cache alone.
	@if test -z '$(DESTDIR)' && test "$$(id -u)" = 0 && command -v ldconfig >/dev/null; then ldconfig || true; fi
	@echo "Programs that do not find libmlff_student.so.$(install_major): LD_LIBRARY_PATH=$(PREFIX)/lib"

uninstall: ## takes them away again
	rm -f '$(install_prefix)'/bin/mlff-student '$(install_prefix)'/bin/mlff-student-train '$(install_prefix)'/lib/libmlff_student.so*
	rm -rf '$(install_prefix)/lib/mlff-student'
	rm -f $(install_headers:%='$(install_prefix)/include/%')
	rm -f '$(install_prefix)/lib/pkgconfig/mlff_student.pc'
	rm -rf '$(install_cmake)' '$(install_doc)'
