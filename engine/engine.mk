# libheed, and the command heed, which has the same objects inside so that it starts quickly.
heedincludedir = $(includedir)/heed
heedinclude_HEADERS = engine/heed.h plugins/kit/kit.h tests/oracle/oracle.h tests/oracle/oracle_attention.h tests/oracle/oracle_next.h

noinst_LTLIBRARIES += engine/libcore.la
engine_base = engine/base/cpu.c engine/base/cpu.h engine/base/error.c engine/base/error.h \
  engine/base/grow.h engine/base/local.h engine/base/place.c engine/base/place.h \
  engine/base/random.h engine/base/saved.c \
  engine/base/saved.h engine/base/tensor.c engine/base/tensor.h engine/base/trust.c engine/base/trust.h
engine_run = engine/run/arena.c engine/run/arena.h engine/run/behind.c engine/run/behind.h \
  engine/run/exchange.c engine/run/exchange.h \
  engine/run/host.c engine/run/host.h \
  engine/run/pool.c engine/run/pool.h \
  engine/run/quota.c engine/run/quota.h engine/run/topology.c engine/run/topology.h \
  engine/run/trace.c engine/run/trace.h engine/run/transport_threads.c
engine_io = engine/io/checkpoint.c engine/io/checkpoint.h engine/io/checkpoint_gguf.c engine/io/checkpoint_rope.c \
  engine/io/checkpoint_qwen3_next.c engine/io/checkpoint_t5.c engine/io/checkpoint_tensors.c \
  engine/io/checkpoint_types.c engine/io/checkpoint_write.c \
  engine/io/config.c engine/io/config.h \
  engine/io/dlpack.c engine/io/gguf.c engine/io/gguf.h engine/io/gguf_tokenizer.c engine/io/mapped.c engine/io/mapped.h \
  engine/io/npy.c engine/io/npy.h engine/io/replace.c \
  engine/io/replace.h engine/io/safetensors.c engine/io/safetensors_write.c \
  engine/io/weights.c engine/io/weights.h
engine_op = engine/op/backward.c engine/op/bind.c engine/op/bind.h engine/op/call.c \
  engine/op/call.h engine/op/engine.c \
  engine/op/engine.h engine/op/entry.h engine/op/group.c engine/op/group.h \
  engine/op/group_attend.c engine/op/group_relay.c engine/op/group_run.c \
  engine/op/instance.c engine/op/instance.h engine/op/load.c \
  engine/op/load.h engine/op/merge.c engine/op/pages.c engine/op/pages.h \
  engine/op/registry.c engine/op/registry.h engine/op/resolve.c \
  engine/op/resolve.h engine/op/sequence.c engine/op/sequence.h engine/op/sequence_saved.c \
  engine/op/sequence_saved.h engine/op/spec.c engine/op/spec.h engine/op/tree.c engine/op/tree.h engine/op/vet.c engine/op/vet.h
engine_model = engine/model/field.c engine/model/field.h engine/model/laws.c engine/model/laws.h \
  engine/model/penalty.c engine/model/penalty.h engine/model/prefixes.c engine/model/presets.c engine/model/presets.h \
  engine/model/session.c engine/model/session.h engine/model/session_fork.c \
  engine/model/session_many.c engine/model/session_ranks.c engine/model/session_saved.c \
  engine/model/session_step.c engine/model/session_step.h engine/model/session_tree.c \
  engine/model/source.c engine/model/source.h engine/model/stack.c engine/model/stack.h \
  engine/model/stack_attention.c engine/model/stack_attention.h engine/model/stack_builder.h \
  engine/model/stack_experts.c engine/model/stack_experts.h \
  engine/model/stack_halting.c engine/model/stack_halting.h \
  engine/model/stack_plan.c engine/model/stack_plan.h \
  engine/model/stack_position.c engine/model/stack_position.h engine/model/stack_random.c \
  engine/model/stack_sizes.c engine/model/stack_sizes.h \
  engine/model/stack_step.c engine/model/stack_step.h engine/model/stack_weights.c \
  engine/model/stack_weights.h engine/model/stack_wiring.c engine/model/stack_wiring.h \
  engine/model/stack_wirings.c engine/model/stack_wirings.h
engine_train = engine/train/dropout.c engine/train/dropout.h engine/train/elements.c \
  engine/train/elements.h engine/train/optimiser.c engine/train/optimiser.h engine/train/philox.h \
  engine/train/schedule.c engine/train/schedule.h engine/train/tape.c engine/train/tape.h \
  engine/train/tape_build.c engine/train/tape_inside.h \
  engine/train/tape_ranks.c engine/train/tape_reach.c engine/train/tape_recall.c \
  engine/train/trainer.c engine/train/trainer_batch.c \
  engine/train/trainer.h engine/train/trainer_head.c engine/train/trainer_make.c \
  engine/train/trainer_ranks.c engine/train/trainer_saved.c
engine_libcore_la_SOURCES = engine/inspect.c engine/inspect.h $(engine_base) $(engine_run) \
  $(engine_io) $(engine_op) $(engine_model) $(engine_train)
engine_libcore_la_CPPFLAGS = $(AM_CPPFLAGS) -DHEED_PLUGINDIR=\"$(pkglibdir)\" \
  -DHEED_LIBDIR=\"$(libdir)\" -DHEED_BINDIR=\"$(bindir)\"
engine_libcore_la_CFLAGS = $(AM_CFLAGS) $(HWLOC_CFLAGS) $(JANSSON_CFLAGS)
engine_libcore_la_LIBADD = $(HWLOC_LIBS) $(JANSSON_LIBS)

# Texts: tokenizers of checkpoints; without their libraries one file that says so.
noinst_LTLIBRARIES += engine/libtext.la
if HAVE_TEXT
engine_text = engine/text/added.c engine/text/added.h engine/text/bpe.c engine/text/byte_chars.h \
  engine/text/charsmap.c engine/text/charsmap.h engine/text/decode.c engine/text/decode.h \
  engine/text/fields.c engine/text/fields.h engine/text/model.h engine/text/normalize.c \
  engine/text/normalize.h engine/text/pattern.c engine/text/pattern.h engine/text/split.c \
  engine/text/split.h engine/text/tokenizer.c engine/text/unicode.c engine/text/unicode.h \
  engine/text/unigram.c engine/text/vocab.c engine/text/vocab.h engine/text/wordpiece.c
else
engine_text = engine/text/without.c
endif
engine_libtext_la_SOURCES = engine/text/bytes.h engine/text/chat.c engine/text/chat.h \
  engine/text/sentence.c engine/text/sentence.h \
  engine/text/texts.c engine/text/tokenizer.h $(engine_text)
engine_libtext_la_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS) $(PCRE2_CFLAGS) $(UTF8PROC_CFLAGS)
engine_libtext_la_LIBADD = $(PCRE2_LIBS) $(UTF8PROC_LIBS)

lib_LTLIBRARIES += engine/libheed.la
engine_libheed_la_SOURCES =
engine_libheed_la_LIBADD = engine/libtext.la engine/libcore.la
engine_libheed_la_LDFLAGS = -version-info 0:0:0 -no-undefined

bin_PROGRAMS += engine/heed
engine_command = engine/command/choices.c \
  engine/command/choices.h engine/command/classify.c engine/command/clock.h \
  engine/command/command.c engine/command/command.h \
  engine/command/completion.c engine/command/completion.h \
  engine/command/cost.c engine/command/cost.h engine/command/depth.c engine/command/depth.h \
  engine/command/describe.c engine/command/describe.h \
  engine/command/describe_checkpoint.c engine/command/describe_network.c \
  engine/command/describe_probe.c \
  engine/command/embed.c engine/command/field.c engine/command/field.h engine/command/field_attend.c \
  engine/command/field_gradient.c \
  engine/command/field_measure.c engine/command/field_position.c engine/command/field_print.c \
  engine/command/field_record.c \
  engine/command/field_stats.c engine/command/field_svg.c \
  engine/command/file.c engine/command/file.h \
  engine/command/generate.c engine/command/generate.h engine/command/generate_make.c \
  engine/command/generate_print.c engine/command/generate_prompt.c \
  engine/command/interrupt.c engine/command/interrupt.h \
  engine/command/list.c engine/command/main.c engine/command/model.c \
  engine/command/model.h engine/command/new.c engine/command/operands.c engine/command/operands.h \
  engine/command/options.c engine/command/options.h engine/command/origin.c \
  engine/command/origin.h engine/command/sheet.c engine/command/sheet.h \
  engine/command/parts.c engine/command/parts.h \
  engine/command/plan.c engine/command/plan.h engine/command/plan_cost.c engine/command/plan_json.c \
  engine/command/plan_machine.c \
  engine/command/plan_print.c engine/command/plan_read.c \
  engine/command/plan_ring.c engine/command/plan_svg.c \
  engine/command/plan_times.c engine/command/plan_verdict.c \
  engine/command/probe.c engine/command/probe.h engine/command/progress.c \
  engine/command/progress.h engine/command/ranks.c engine/command/ranks.h engine/command/run.c \
  engine/command/run_ranks.c engine/command/run_ranks.h engine/command/score.c \
  engine/command/shape.c engine/command/shape.h engine/command/sizes.c engine/command/sizes.h \
  engine/command/stops.c engine/command/stops.h engine/command/stored.c engine/command/stored.h \
  engine/command/svg.c engine/command/svg.h engine/command/table.c \
  engine/command/table.h engine/command/topo.c engine/command/tracing.c \
  engine/command/tracing.h engine/command/train.c engine/command/train.h \
  engine/command/train_data.c engine/command/train_examples.c \
  engine/command/train_examples_read.c engine/command/train_folder.c engine/command/train_form.c \
  engine/command/train_log.c \
  engine/command/train_network.c engine/command/train_run.c engine/command/train_tokens.c engine/command/train_text.c \
  engine/command/twin.c engine/command/twin.h engine/command/twin_predict.c engine/command/twin_print.c \
  engine/command/twin_record.c engine/command/twin_spec.c engine/command/twin_svg.c engine/command/twin_train.c
engine_heed_SOURCES = $(engine_command) $(bench_sources) $(check_sources)
engine_heed_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir) -DHEED_DATADIR=\"$(pkgdatadir)\" \
  -DHEED_PKGCONFIGDIR=\"$(pkgconfigdir)\"
engine_heed_CFLAGS = $(AM_CFLAGS) $(HWLOC_CFLAGS) $(JANSSON_CFLAGS)
engine_heed_LDADD = tests/libcall.la engine/libtext.la engine/libcore.la $(HWLOC_LIBS) $(JANSSON_LIBS)

# What completes the command in bash and zsh: `heed completion` prints it, make install puts it where the shells look.
completions = engine/command/completion.bash engine/command/completion.zsh
EXTRA_DIST += $(completions)
include/completion_bash.h include/completion_zsh.h: $(completions)
	$(AM_V_GEN)$(MKDIR_P) include && name=$@ && from=$${name#include/completion_} && sed 's/[\\"]/\\&/g; s/.*/"&\\n"/' \
	  $(srcdir)/engine/command/completion.$${from%.h} >$@
BUILT_SOURCES += include/completion_bash.h include/completion_zsh.h
engine/command/heed-completion.$(OBJEXT): include/completion_bash.h include/completion_zsh.h
bash_folder = $(datadir)/bash-completion/completions
zsh_folder = $(datadir)/zsh/site-functions
install-data-local:
	$(MKDIR_P) $(DESTDIR)$(bash_folder) $(DESTDIR)$(zsh_folder)
	$(INSTALL_DATA) $(srcdir)/engine/command/completion.bash $(DESTDIR)$(bash_folder)/heed
	$(INSTALL_DATA) $(srcdir)/engine/command/completion.zsh $(DESTDIR)$(zsh_folder)/_heed

pkgconfig_DATA += engine/heed.pc
dist_man_MANS = docs/heed.1
DISTCLEANFILES += heed
