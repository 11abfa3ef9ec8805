# Programs run by `make check`, through $(TESTEXEC) if it is set: TESTEXEC='qemu-aarch64 -L /', TESTEXEC='valgrind -q'.
TEST_EXTENSIONS = .sh
LOG_COMPILER = $(LIBTOOL) --mode=execute $(TESTEXEC)
SH_LOG_COMPILER = $(SHELL)
AM_TESTS_ENVIRONMENT = \
  HEED_PLUGINS='$(abs_top_builddir)/plugins/.libs'; HEED_HOSTILE='$(abs_top_builddir)/tests/hostile'; \
  HEED='$(abs_top_builddir)/engine/heed'; BUILD='$(abs_top_builddir)'; SRC='$(abs_top_srcdir)'; NM='$(NM)'; OBJDUMP='$(OBJDUMP)'; SANITIZERS='$(sanitizers)'; \
  TESTEXEC='$(TESTEXEC)'; test -z "$$TESTEXEC" || HEED='$(abs_top_srcdir)/tests/emulated.sh'; \
  export HEED_PLUGINS HEED_HOSTILE HEED BUILD SRC NM OBJDUMP SANITIZERS TESTEXEC;

test_cppflags = $(AM_CPPFLAGS) -I$(top_srcdir)/tests
test_cflags = $(AM_CFLAGS) $(CMOCKA_CFLAGS) $(HWLOC_CFLAGS) $(JANSSON_CFLAGS)
test_libs = tests/libcall.la engine/libcore.la $(CMOCKA_LIBS) $(HWLOC_LIBS) $(JANSSON_LIBS)
op_harness = tests/lib/harness.c tests/lib/harness.h

# One line a program: what it is about stands in its head.
test_programs = tests/test_layout tests/test_spec tests/test_files tests/test_load tests/test_topology tests/test_pool tests/test_call \
  tests/test_vectors tests/test_ops tests/test_hashes tests/test_attention tests/test_bf16 tests/test_masks \
  tests/test_merge tests/test_sample tests/test_memory \
  tests/test_stack tests/test_model tests/test_dlpack tests/test_variants \
  tests/test_shaw tests/test_transformer_xl tests/test_synthesizer tests/test_variant_stack tests/test_saved tests/test_mixers
# The rules of a plugin, whatever it is built for; the command, through TESTEXEC too; and what compiles or takes times, so not
# where that needs an emulator.
plugin_scripts = tests/check_plugins.sh tests/check_sweep.sh tests/check_machines.sh
command_scripts = tests/check_paths.sh tests/test_commands.sh
test_scripts = tests/test_check.sh tests/test_hostile.sh tests/test_bench.sh tests/test_new.sh tests/check_third_party.sh tests/check_docs.sh

# What a tested build does again as if on another CPU: every op, mask, variant and state, on fewer shapes. Not what takes
# minutes where an emulator of x86 does: memory that runs out, and, where no instruction is wide, whole networks; nor what
# compiles, takes times or goes by the files. All of it runs natively, and but for the last for arm64.
emulated_tests = $(command_scripts) tests/test_layout tests/test_spec tests/test_files tests/test_load \
  tests/test_topology tests/test_pool tests/test_call tests/test_vectors tests/test_ops tests/test_hashes \
  tests/test_attention tests/test_bf16 tests/test_masks tests/test_merge tests/test_sample tests/test_dlpack \
  tests/test_variants tests/test_shaw tests/test_transformer_xl tests/test_synthesizer tests/test_variant_stack \
  tests/test_saved tests/test_mixers
emulated_networks = tests/test_stack tests/test_model

if HAVE_CMOCKA
check_PROGRAMS += $(test_programs)
check_DATA += $(sinners)
TESTS += $(test_programs) $(plugin_scripts) $(command_scripts)
if NATIVE
TESTS += $(test_scripts)
endif
else
check-local:
	@echo 'make check needs cmocka, which configure did not find; on Debian: apt-get install libcmocka-dev' >&2; exit 1
endif

tests_test_layout_SOURCES = tests/test_layout.c tests/golden_layout.h
tests_test_layout_CPPFLAGS = $(test_cppflags)
tests_test_layout_CFLAGS = $(test_cflags)
tests_test_layout_LDADD = $(test_libs)

tests_test_spec_SOURCES = tests/test_spec.c
tests_test_spec_CPPFLAGS = $(test_cppflags)
tests_test_spec_CFLAGS = $(test_cflags)
tests_test_spec_LDADD = $(test_libs)

tests_test_files_SOURCES = tests/test_files.c
tests_test_files_CPPFLAGS = $(test_cppflags)
tests_test_files_CFLAGS = $(test_cflags)
tests_test_files_LDADD = $(test_libs)

tests_test_load_SOURCES = tests/test_load.c
tests_test_load_CPPFLAGS = $(test_cppflags)
tests_test_load_CFLAGS = $(test_cflags)
tests_test_load_LDADD = $(test_libs)

tests_test_topology_SOURCES = tests/test_topology.c
tests_test_topology_CPPFLAGS = $(test_cppflags)
tests_test_topology_CFLAGS = $(test_cflags)
tests_test_topology_LDADD = $(test_libs)

tests_test_pool_SOURCES = tests/test_pool.c
tests_test_pool_CPPFLAGS = $(test_cppflags)
tests_test_pool_CFLAGS = $(test_cflags)
tests_test_pool_LDADD = $(test_libs)

tests_test_call_SOURCES = tests/test_call.c $(op_harness)
tests_test_call_CPPFLAGS = $(test_cppflags)
tests_test_call_CFLAGS = $(test_cflags)
tests_test_call_LDADD = $(test_libs)

tests_test_vectors_SOURCES = tests/test_vectors.c $(op_harness)
tests_test_vectors_CPPFLAGS = $(test_cppflags)
tests_test_vectors_CFLAGS = $(test_cflags)
tests_test_vectors_LDADD = $(test_libs)

tests_test_ops_SOURCES = tests/test_ops.c $(op_harness)
tests_test_ops_CPPFLAGS = $(test_cppflags)
tests_test_ops_CFLAGS = $(test_cflags)
tests_test_ops_LDADD = $(test_libs)

tests_test_hashes_SOURCES = tests/test_hashes.c tests/golden_hashes.h $(op_harness)
tests_test_hashes_CPPFLAGS = $(test_cppflags)
tests_test_hashes_CFLAGS = $(test_cflags)
tests_test_hashes_LDADD = $(test_libs)

tests_test_stack_SOURCES = tests/test_stack.c
tests_test_stack_CPPFLAGS = $(test_cppflags)
tests_test_stack_CFLAGS = $(test_cflags)
tests_test_stack_LDADD = $(test_libs)

tests_test_dlpack_SOURCES = tests/test_dlpack.c
tests_test_dlpack_CPPFLAGS = $(test_cppflags)
tests_test_dlpack_CFLAGS = $(test_cflags)
tests_test_dlpack_LDADD = $(test_libs)

tests_test_attention_SOURCES = tests/test_attention.c $(op_harness)
tests_test_attention_CPPFLAGS = $(test_cppflags)
tests_test_attention_CFLAGS = $(test_cflags)
tests_test_attention_LDADD = $(test_libs)

tests_test_masks_SOURCES = tests/test_masks.c $(op_harness)
tests_test_masks_CPPFLAGS = $(test_cppflags)
tests_test_masks_CFLAGS = $(test_cflags)
tests_test_masks_LDADD = $(test_libs)

tests_test_shaw_SOURCES = tests/test_shaw.c tests/lib/variant.c tests/lib/variant.h $(op_harness)
tests_test_shaw_CPPFLAGS = $(test_cppflags)
tests_test_shaw_CFLAGS = $(test_cflags)
tests_test_shaw_LDADD = $(test_libs)

tests_test_transformer_xl_SOURCES = tests/test_transformer_xl.c tests/lib/variant.c tests/lib/variant.h $(op_harness)
tests_test_transformer_xl_CPPFLAGS = $(test_cppflags)
tests_test_transformer_xl_CFLAGS = $(test_cflags)
tests_test_transformer_xl_LDADD = $(test_libs)

tests_test_merge_SOURCES = tests/test_merge.c $(op_harness)
tests_test_merge_CPPFLAGS = $(test_cppflags)
tests_test_merge_CFLAGS = $(test_cflags)
tests_test_merge_LDADD = $(test_libs)

tests_test_bf16_SOURCES = tests/test_bf16.c $(op_harness)
tests_test_bf16_CPPFLAGS = $(test_cppflags)
tests_test_bf16_CFLAGS = $(test_cflags)
tests_test_bf16_LDADD = $(test_libs)

tests_test_sample_SOURCES = tests/test_sample.c $(op_harness)
tests_test_sample_CPPFLAGS = $(test_cppflags)
tests_test_sample_CFLAGS = $(test_cflags)
tests_test_sample_LDADD = $(test_libs)

tests_test_memory_SOURCES = tests/test_memory.c $(op_harness)
tests_test_memory_CPPFLAGS = $(test_cppflags)
tests_test_memory_CFLAGS = $(test_cflags)
tests_test_memory_LDADD = $(test_libs)

tests_test_model_SOURCES = tests/test_model.c $(op_harness)
tests_test_model_CPPFLAGS = $(test_cppflags)
tests_test_model_CFLAGS = $(test_cflags)
tests_test_model_LDADD = $(test_libs)

tests_test_synthesizer_SOURCES = tests/test_synthesizer.c $(op_harness)
tests_test_synthesizer_CPPFLAGS = $(test_cppflags)
tests_test_synthesizer_CFLAGS = $(test_cflags)
tests_test_synthesizer_LDADD = $(test_libs)

tests_test_variant_stack_SOURCES = tests/test_variant_stack.c
tests_test_variant_stack_CPPFLAGS = $(test_cppflags)
tests_test_variant_stack_CFLAGS = $(test_cflags)
tests_test_variant_stack_LDADD = $(test_libs)

tests_test_saved_SOURCES = tests/test_saved.c $(op_harness)
tests_test_saved_CPPFLAGS = $(test_cppflags)
tests_test_saved_CFLAGS = $(test_cflags)
tests_test_saved_LDADD = $(test_libs)

tests_test_mixers_SOURCES = tests/test_mixers.c $(op_harness)
tests_test_mixers_CPPFLAGS = $(test_cppflags)
tests_test_mixers_CFLAGS = $(test_cflags)
tests_test_mixers_LDADD = $(test_libs)
tests_test_variants_SOURCES = tests/test_variants.c $(op_harness)
tests_test_variants_CPPFLAGS = $(test_cppflags)
tests_test_variants_CFLAGS = $(test_cflags)
tests_test_variants_LDADD = $(test_libs)

EXTRA_DIST += $(plugin_scripts) $(command_scripts) $(test_scripts) tests/emulated.sh tests/sanitize.sh tests/third_party/scale_add.c tests/third_party/scale_add_oracle.c \
  docs/benchmark.md docs/check.md docs/python.md docs/synthesizers.svg docs/variants.md docs/variants.svg docs/write-a-plugin.md \
  bootstrap \
  models/README.md models/plays.safetensors models/reference.json models/reference.py models/sample.txt models/train.py

# Plugins with one sin each, built as anybody builds one: one file, one plain command.
sins = tests/hostile/abi.c tests/hostile/aborts.c tests/hostile/address_kept.c tests/hostile/address_shows.c \
  tests/hostile/before_output.c \
  tests/hostile/behind_output.c tests/hostile/between_rows.c tests/hostile/bytes_believed.c \
  tests/hostile/changes.c tests/hostile/cost_negative.c \
  tests/hostile/crash.c tests/hostile/declines.c tests/hostile/duplicate.c tests/hostile/endless.c \
  tests/hostile/error.c tests/hostile/exits.c tests/hostile/hole.c tests/hostile/id.c tests/hostile/id_long.c \
  tests/hostile/input_changes.c tests/hostile/instance_changes.c tests/hostile/lane_shows.c \
  tests/hostile/lanes_show.c tests/hostile/lengths_unread.c tests/hostile/licence.c tests/hostile/loading_crashes.c \
  tests/hostile/mask_multiplies.c tests/hostile/mean.c tests/hostile/measure_changes.c tests/hostile/memory_short.c \
  tests/hostile/misaligned.c tests/hostile/name.c tests/hostile/nan_spreads.c tests/hostile/neighbour_shows.c \
  tests/hostile/no_entry.c tests/hostile/no_paths.c tests/hostile/no_reason.c tests/hostile/none.c \
  tests/hostile/nonsense.c tests/hostile/null_function.c tests/hostile/null_path.c tests/hostile/null_table.c \
  tests/hostile/null_text.c tests/hostile/ops_huge.c tests/hostile/ops_none.c tests/hostile/ops_null.c \
  tests/hostile/order_shows.c tests/hostile/orphan.c tests/hostile/past.c \
  tests/hostile/path_shows.c tests/hostile/peeks.c \
  tests/hostile/place_lost.c tests/hostile/ports_huge.c tests/hostile/recursion.c tests/hostile/refused_remembers.c \
  tests/hostile/remembers.c \
  tests/hostile/rounding.c tests/hostile/scratch_short.c tests/hostile/scratch_unclean.c tests/hostile/silent.c \
  tests/hostile/size.c tests/hostile/size_zero.c tests/hostile/stride.c tests/hostile/stride_huge.c \
  tests/hostile/stopped_remembers.c tests/hostile/stopped_silent.c \
  tests/hostile/stride_unread.c tests/hostile/taken.c tests/hostile/tiles_negative.c tests/hostile/unresolved.c \
  tests/hostile/workspace_short.c tests/hostile/wrong.c tests/hostile/wrong_oracle.c
sinners = $(sins:.c=.so)
SUFFIXES = .so
.c.so:
	$(AM_V_CC)$(MKDIR_P) $(@D) && $(CC) $(AM_CPPFLAGS) $(CPPFLAGS) $(AM_CFLAGS) $(CFLAGS) -shared -fPIC $< -o $@ -lm
$(sinners): tests/hostile/hostile.h tests/hostile/mean.h tests/hostile/past.h $(abi_HEADERS)
EXTRA_DIST += $(sins) tests/hostile/hostile.h tests/hostile/mean.h tests/hostile/past.h
CLEANFILES += $(sinners)
