# Programs run by `make check`, through $(TESTEXEC) if it is set: TESTEXEC='qemu-aarch64 -L /', TESTEXEC='valgrind -q'.
TEST_EXTENSIONS = .sh
LOG_COMPILER = $(LIBTOOL) --mode=execute $(TESTEXEC)
SH_LOG_COMPILER = $(SHELL)
AM_TESTS_ENVIRONMENT = \
  HEED_PLUGINS='$(abs_top_builddir)/plugins/.libs'; HEED_TEST_LIBS='$(abs_top_builddir)/tests/.libs'; \
  HEED='$(abs_top_builddir)/engine/heed'; BUILD='$(abs_top_builddir)'; SRC='$(abs_top_srcdir)'; NM='$(NM)'; OBJDUMP='$(OBJDUMP)'; TESTEXEC='$(TESTEXEC)'; \
  export HEED_PLUGINS HEED_TEST_LIBS HEED BUILD SRC NM OBJDUMP TESTEXEC;

test_cppflags = $(AM_CPPFLAGS) -I$(top_srcdir)/tests
test_cflags = $(AM_CFLAGS) $(CMOCKA_CFLAGS) $(HWLOC_CFLAGS) $(JANSSON_CFLAGS)
test_libs = engine/libcore.la $(CMOCKA_LIBS) $(HWLOC_LIBS) $(JANSSON_LIBS)
op_harness = tests/lib/harness.c tests/lib/harness.h tests/oracle/oracle.c tests/oracle/oracle.h tests/oracle/formulas.h

# One line a program: what it is about stands in its head.
test_programs = tests/test_layout tests/test_spec tests/test_files tests/test_load tests/test_topology tests/test_pool tests/test_call \
  tests/test_ops tests/test_hashes tests/test_attention tests/test_bf16 tests/test_masks tests/test_merge tests/test_sample tests/test_memory \
  tests/test_stack tests/test_model tests/test_dlpack
# The rules of a plugin, whatever it is built for; and what runs the command itself, so not when that needs an emulator.
plugin_scripts = tests/check_plugins.sh tests/check_machines.sh
test_scripts = tests/test_commands.sh tests/test_bench.sh tests/check_third_party.sh tests/check_docs.sh

if HAVE_CMOCKA
check_PROGRAMS += $(test_programs)
check_LTLIBRARIES += $(hostile_modules)
TESTS += $(test_programs) $(plugin_scripts)
if NATIVE
TESTS += $(test_scripts)
endif
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

EXTRA_DIST += $(plugin_scripts) $(test_scripts) tests/third_party/scale_add.c docs/benchmark.md bootstrap \
  models/README.md models/plays.safetensors models/reference.json models/reference.py models/sample.txt models/train.py

# Plugins with one sin each, for test_load.
hostile_ldflags = -module -avoid-version -shared -rpath /nowhere
hostile_modules = tests/hostile_abi.la tests/hostile_changes.la tests/hostile_declines.la tests/hostile_duplicate.la \
  tests/hostile_error.la tests/hostile_id.la tests/hostile_id_long.la tests/hostile_licence.la \
  tests/hostile_misaligned.la tests/hostile_name.la tests/hostile_no_entry.la tests/hostile_no_paths.la \
  tests/hostile_none.la tests/hostile_nonsense.la tests/hostile_null_function.la tests/hostile_null_path.la \
  tests/hostile_null_table.la tests/hostile_null_text.la tests/hostile_ops_huge.la tests/hostile_ops_none.la \
  tests/hostile_ops_null.la tests/hostile_orphan.la tests/hostile_ports_huge.la tests/hostile_rounding.la \
  tests/hostile_silent.la tests/hostile_size.la tests/hostile_size_zero.la tests/hostile_stride.la \
  tests/hostile_stride_huge.la tests/hostile_taken.la tests/hostile_unresolved.la
tests_hostile_abi_la_SOURCES = tests/hostile/abi.c tests/hostile/hostile.h
tests_hostile_abi_la_LDFLAGS = $(hostile_ldflags)
tests_hostile_changes_la_SOURCES = tests/hostile/changes.c tests/hostile/hostile.h
tests_hostile_changes_la_LDFLAGS = $(hostile_ldflags)
tests_hostile_declines_la_SOURCES = tests/hostile/declines.c tests/hostile/hostile.h
tests_hostile_declines_la_LDFLAGS = $(hostile_ldflags)
tests_hostile_duplicate_la_SOURCES = tests/hostile/duplicate.c tests/hostile/hostile.h
tests_hostile_duplicate_la_LDFLAGS = $(hostile_ldflags)
tests_hostile_error_la_SOURCES = tests/hostile/error.c tests/hostile/hostile.h
tests_hostile_error_la_LDFLAGS = $(hostile_ldflags)
tests_hostile_id_la_SOURCES = tests/hostile/id.c tests/hostile/hostile.h
tests_hostile_id_la_LDFLAGS = $(hostile_ldflags)
tests_hostile_id_long_la_SOURCES = tests/hostile/id_long.c tests/hostile/hostile.h
tests_hostile_id_long_la_LDFLAGS = $(hostile_ldflags)
tests_hostile_licence_la_SOURCES = tests/hostile/licence.c tests/hostile/hostile.h
tests_hostile_licence_la_LDFLAGS = $(hostile_ldflags)
tests_hostile_misaligned_la_SOURCES = tests/hostile/misaligned.c tests/hostile/hostile.h
tests_hostile_misaligned_la_LDFLAGS = $(hostile_ldflags)
tests_hostile_name_la_SOURCES = tests/hostile/name.c tests/hostile/hostile.h
tests_hostile_name_la_LDFLAGS = $(hostile_ldflags)
tests_hostile_no_entry_la_SOURCES = tests/hostile/no_entry.c tests/hostile/hostile.h
tests_hostile_no_entry_la_LDFLAGS = $(hostile_ldflags)
tests_hostile_no_paths_la_SOURCES = tests/hostile/no_paths.c tests/hostile/hostile.h
tests_hostile_no_paths_la_LDFLAGS = $(hostile_ldflags)
tests_hostile_none_la_SOURCES = tests/hostile/none.c tests/hostile/hostile.h
tests_hostile_none_la_LDFLAGS = $(hostile_ldflags)
tests_hostile_nonsense_la_SOURCES = tests/hostile/nonsense.c tests/hostile/hostile.h
tests_hostile_nonsense_la_LDFLAGS = $(hostile_ldflags)
tests_hostile_null_function_la_SOURCES = tests/hostile/null_function.c tests/hostile/hostile.h
tests_hostile_null_function_la_LDFLAGS = $(hostile_ldflags)
tests_hostile_null_path_la_SOURCES = tests/hostile/null_path.c tests/hostile/hostile.h
tests_hostile_null_path_la_LDFLAGS = $(hostile_ldflags)
tests_hostile_null_table_la_SOURCES = tests/hostile/null_table.c tests/hostile/hostile.h
tests_hostile_null_table_la_LDFLAGS = $(hostile_ldflags)
tests_hostile_null_text_la_SOURCES = tests/hostile/null_text.c tests/hostile/hostile.h
tests_hostile_null_text_la_LDFLAGS = $(hostile_ldflags)
tests_hostile_ops_huge_la_SOURCES = tests/hostile/ops_huge.c tests/hostile/hostile.h
tests_hostile_ops_huge_la_LDFLAGS = $(hostile_ldflags)
tests_hostile_ops_none_la_SOURCES = tests/hostile/ops_none.c tests/hostile/hostile.h
tests_hostile_ops_none_la_LDFLAGS = $(hostile_ldflags)
tests_hostile_ops_null_la_SOURCES = tests/hostile/ops_null.c tests/hostile/hostile.h
tests_hostile_ops_null_la_LDFLAGS = $(hostile_ldflags)
tests_hostile_orphan_la_SOURCES = tests/hostile/orphan.c tests/hostile/hostile.h
tests_hostile_orphan_la_LDFLAGS = $(hostile_ldflags)
tests_hostile_ports_huge_la_SOURCES = tests/hostile/ports_huge.c tests/hostile/hostile.h
tests_hostile_ports_huge_la_LDFLAGS = $(hostile_ldflags)
tests_hostile_rounding_la_SOURCES = tests/hostile/rounding.c tests/hostile/hostile.h
tests_hostile_rounding_la_LDFLAGS = $(hostile_ldflags)
tests_hostile_silent_la_SOURCES = tests/hostile/silent.c tests/hostile/hostile.h
tests_hostile_silent_la_LDFLAGS = $(hostile_ldflags)
tests_hostile_size_la_SOURCES = tests/hostile/size.c tests/hostile/hostile.h
tests_hostile_size_la_LDFLAGS = $(hostile_ldflags)
tests_hostile_size_zero_la_SOURCES = tests/hostile/size_zero.c tests/hostile/hostile.h
tests_hostile_size_zero_la_LDFLAGS = $(hostile_ldflags)
tests_hostile_stride_la_SOURCES = tests/hostile/stride.c tests/hostile/hostile.h
tests_hostile_stride_la_LDFLAGS = $(hostile_ldflags)
tests_hostile_stride_huge_la_SOURCES = tests/hostile/stride_huge.c tests/hostile/hostile.h
tests_hostile_stride_huge_la_LDFLAGS = $(hostile_ldflags)
tests_hostile_taken_la_SOURCES = tests/hostile/taken.c tests/hostile/hostile.h
tests_hostile_taken_la_LDFLAGS = $(hostile_ldflags)
tests_hostile_unresolved_la_SOURCES = tests/hostile/unresolved.c tests/hostile/hostile.h
tests_hostile_unresolved_la_LDFLAGS = $(hostile_ldflags)
tests_hostile_rounding_la_LIBADD = -lm
