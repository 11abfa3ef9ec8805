# Programs run by `make check`, through $(TESTEXEC) if it is set: TESTEXEC='qemu-aarch64 -L /', TESTEXEC='valgrind -q'.
TEST_EXTENSIONS = .sh
LOG_COMPILER = $(LIBTOOL) --mode=execute $(TESTEXEC)
SH_LOG_COMPILER = $(SHELL)
AM_TESTS_ENVIRONMENT = \
  HEED_PLUGINS='$(abs_top_builddir)/plugins/.libs'; HEED_HOSTILE='$(abs_top_builddir)/tests/hostile'; \
  HEED='$(abs_top_builddir)/engine/heed'; BUILD='$(abs_top_builddir)'; SRC='$(abs_top_srcdir)'; NM='$(NM)'; OBJDUMP='$(OBJDUMP)'; SANITIZERS='$(sanitizers)'; \
  TESTEXEC='$(TESTEXEC)'; test -z "$$TESTEXEC" || HEED='$(abs_top_srcdir)/tests/emulated.sh'; \
  unset COLUMNS; export HEED_PLUGINS HEED_HOSTILE HEED BUILD SRC NM OBJDUMP SANITIZERS TESTEXEC;

# What the tests share: a call, its oracle and the sweep over paths, threads and layouts.
check_LTLIBRARIES += tests/libharness.la
tests_libharness_la_SOURCES = \
  tests/lib/fail.c tests/lib/harness.c tests/lib/harness.h tests/lib/mutate.h tests/lib/network.h tests/lib/variant.c \
  tests/lib/variant.h tests/lib/variant_call.c
tests_libharness_la_LIBADD = tests/libcall.la

# A program is made of the one file of its name: what it is about stands in its head.
AM_CPPFLAGS += -I$(top_srcdir)/tests
AM_CFLAGS += $(CMOCKA_CFLAGS) $(HWLOC_CFLAGS) $(JANSSON_CFLAGS)
LDADD = tests/libharness.la engine/libcore.la $(CMOCKA_LIBS) $(HWLOC_LIBS) $(JANSSON_LIBS)
op_tests = tests/ops/test_attention tests/ops/test_backward tests/ops/test_bf16 \
  tests/ops/test_gau tests/ops/test_hashes \
  tests/ops/test_masks tests/ops/test_mixers tests/ops/test_mixture tests/ops/test_ops \
  tests/ops/test_recurrent tests/ops/test_recurrent_equal tests/ops/test_rope tests/ops/test_sample \
  tests/ops/test_shaw tests/ops/test_span tests/ops/test_sparse tests/ops/test_synthesizer \
  tests/ops/test_t5 tests/ops/test_transformer_xl tests/ops/test_vectors tests/ops/test_window
# The kit's own frequencies, without an op around them.
tests_ops_test_rope_LDADD = $(LDADD) $(SLEEF_LIBS)
test_programs = tests/abi/test_layout tests/engine/test_call tests/engine/test_dlpack \
  tests/engine/test_files tests/engine/test_load tests/engine/test_memory \
  tests/engine/test_merge tests/engine/test_pool tests/engine/test_ranks tests/engine/test_saved \
  tests/engine/test_spec tests/engine/test_topology $(op_tests) tests/stack/test_checkpoints tests/stack/test_gguf \
  tests/stack/test_model tests/stack/test_networks tests/stack/test_plan tests/stack/test_presets \
  tests/stack/test_stack \
  tests/stack/test_variant_stack tests/train/test_train tests/train/test_train_ranks
tests_stack_test_gguf_LDADD = tests/libharness.la engine/libtext.la engine/libcore.la \
  $(CMOCKA_LIBS) $(HWLOC_LIBS) $(JANSSON_LIBS)
if HAVE_TEXT
test_programs += tests/engine/test_tokenizers
tests_engine_test_tokenizers_LDADD = tests/libharness.la engine/libtext.la engine/libcore.la \
  $(CMOCKA_LIBS) $(HWLOC_LIBS) $(JANSSON_LIBS)
endif
# The rules of a plugin, whatever it is built for; the command, through TESTEXEC too; and what compiles or takes times, so not
# where that needs an emulator.
plugin_scripts = tests/rules/check_plugins.sh tests/rules/check_sweep.sh \
  tests/rules/check_machines.sh
command_scripts = tests/command/check_paths.sh tests/command/test_commands.sh tests/command/test_matrix.sh
test_scripts = tests/command/test_check.sh tests/command/test_hostile.sh tests/command/test_train.sh \
  tests/command/test_short_memory.sh tests/command/test_surroundings.sh \
  tests/command/test_bench.sh tests/command/test_completion.sh tests/command/test_new.sh \
  tests/command/test_python.sh tests/command/test_ranks.sh \
  tests/rules/check_third_party.sh \
  tests/rules/check_arrows.sh tests/rules/check_dist.sh tests/rules/check_docs.sh \
  tests/rules/check_headers.sh

# What a tested build does again as if on another CPU: every op, mask, variant and state, on fewer shapes. Not what takes
# minutes where an emulator of x86 does: memory that runs out, and, where no instruction is wide, whole networks; nor what
# compiles, takes times or goes by the files. All of it runs natively, and but for the last for arm64.
emulated_tests = $(command_scripts) tests/abi/test_layout tests/engine/test_call \
  tests/engine/test_dlpack tests/engine/test_files tests/engine/test_load \
  tests/engine/test_merge tests/engine/test_pool tests/engine/test_saved tests/engine/test_spec \
  tests/engine/test_topology $(op_tests) tests/stack/test_plan tests/stack/test_presets tests/stack/test_variant_stack
emulated_networks = tests/stack/test_stack tests/stack/test_model tests/stack/test_networks \
  tests/train/test_train

if HAVE_CMOCKA
check_PROGRAMS += $(test_programs)
check_DATA += $(sinners) tests/command/short_memory.so
TESTS += $(test_programs) $(plugin_scripts) $(command_scripts)
if NATIVE
TESTS += $(test_scripts)
endif
else
check-local:
	@echo 'make check needs cmocka, which configure did not find; on Debian: apt-get install libcmocka-dev' >&2; exit 1
endif

EXTRA_DIST += $(plugin_scripts) $(command_scripts) $(test_scripts) tests/emulated.sh \
  tests/rules/check_format.sh tests/fuzz.sh tests/sanitize.sh tests/abi/golden_layout.h tests/ops/golden_hashes.h \
  tests/ops/golden_rope.h tests/ops/rope_frequencies.py \
  tests/third_party/scale_add.c tests/third_party/scale_add_oracle.c bootstrap models/README.md \
  models/checkpoints models/checkpoints.py models/gguf models/gguf_files.py models/tokenizers models/tokens.py \
  models/networks.json models/networks.py models/plays.safetensors models/reference.json \
  models/reference.py models/sample.txt models/training.json models/training.py

# Plugins with one sin each, built as anybody builds one: one file, one plain command.
sins = tests/hostile/abi.c tests/hostile/aborts.c tests/hostile/address_kept.c \
  tests/hostile/address_shows.c tests/hostile/before_output.c tests/hostile/behind_output.c \
  tests/hostile/between_rows.c tests/hostile/bytes_believed.c tests/hostile/changes.c \
  tests/hostile/cost_negative.c tests/hostile/crash.c tests/hostile/declines.c \
  tests/hostile/duplicate.c tests/hostile/endless.c tests/hostile/error.c tests/hostile/exits.c \
  tests/hostile/codec.c tests/hostile/codec_beside.c tests/hostile/codec_counts.c tests/hostile/codec_infinite.c \
  tests/hostile/codec_rotates.c \
  tests/hostile/hole.c tests/hostile/id.c tests/hostile/id_long.c tests/hostile/input_changes.c \
  tests/hostile/instance_changes.c tests/hostile/lane_shows.c tests/hostile/lanes_show.c \
  tests/hostile/lengths_unread.c tests/hostile/licence.c tests/hostile/loading_crashes.c \
  tests/hostile/loading_hangs.c tests/hostile/unloading_crashes.c \
  tests/hostile/mask_multiplies.c tests/hostile/mean.c tests/hostile/measure_changes.c \
  tests/hostile/memory_short.c tests/hostile/misaligned.c tests/hostile/name.c \
  tests/hostile/nan_spreads.c tests/hostile/neighbour_shows.c tests/hostile/no_entry.c \
  tests/hostile/no_paths.c tests/hostile/no_reason.c tests/hostile/none.c \
  tests/hostile/nonsense.c tests/hostile/null_function.c tests/hostile/null_path.c \
  tests/hostile/null_table.c tests/hostile/null_text.c tests/hostile/ops_huge.c \
  tests/hostile/ops_none.c tests/hostile/ops_null.c tests/hostile/order_shows.c \
  tests/hostile/orphan.c tests/hostile/past.c tests/hostile/path_shows.c tests/hostile/peeks.c \
  tests/hostile/place_lost.c tests/hostile/ports_huge.c tests/hostile/recursion.c \
  tests/hostile/refused_remembers.c tests/hostile/remembers.c tests/hostile/rounding.c \
  tests/hostile/scratch_short.c tests/hostile/scratch_unclean.c tests/hostile/silent.c \
  tests/hostile/size.c tests/hostile/size_zero.c tests/hostile/stack_deep.c tests/hostile/stopped_remembers.c \
  tests/hostile/stopped_silent.c tests/hostile/stride.c tests/hostile/stride_huge.c \
  tests/hostile/stride_unread.c tests/hostile/taken.c tests/hostile/tiles_negative.c \
  tests/hostile/unresolved.c tests/hostile/workspace_short.c tests/hostile/wrong.c \
  tests/hostile/wrong_oracle.c
sinners = $(sins:.c=.so)
SUFFIXES = .so
.c.so:
	$(AM_V_CC)$(MKDIR_P) $(@D) && $(CC) $(AM_CPPFLAGS) $(CPPFLAGS) $(AM_CFLAGS) $(CFLAGS) -shared -fPIC $< -o $@ -lm
$(sinners): tests/hostile/codec.h tests/hostile/hostile.h tests/hostile/mean.h tests/hostile/past.h $(abi_HEADERS)
EXTRA_DIST += $(sins) tests/hostile/codec.h tests/hostile/hostile.h tests/hostile/mean.h tests/hostile/past.h
EXTRA_DIST += tests/command/short_memory.c
CLEANFILES += $(sinners) tests/command/short_memory.so
