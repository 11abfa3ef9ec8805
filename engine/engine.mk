# libheed, and the command heed, which has the same objects inside so that it starts quickly.
heedincludedir = $(includedir)/heed
heedinclude_HEADERS = engine/heed.h plugins/kit/kit.h tests/oracle/oracle.h tests/oracle/oracle_attention.h tests/oracle/oracle_next.h

noinst_LTLIBRARIES += engine/libcore.la
engine_libcore_la_SOURCES = engine/engine.h engine/saved.h engine/sequence.h engine/stack.h \
  engine/arena.c engine/bind.c engine/call.c engine/cpu.c engine/dlpack.c engine/engine.c engine/error.c engine/instance.c engine/load.c \
  engine/merge.c \
  engine/npy.c engine/pool.c engine/registry.c engine/resolve.c engine/saved.c engine/sequence.c engine/sequence_saved.c \
  engine/session.c engine/session_saved.c engine/spec.c \
  engine/stack.c engine/stack_plan.c engine/stack_position.c engine/stack_random.c engine/stack_step.c engine/stack_weights.c \
  engine/tensor.c engine/topology.c engine/trust.c engine/vet.c engine/weights.c
engine_libcore_la_CPPFLAGS = $(AM_CPPFLAGS) -DHEED_PLUGINDIR=\"$(pkglibdir)\"
engine_libcore_la_CFLAGS = $(AM_CFLAGS) $(HWLOC_CFLAGS) $(JANSSON_CFLAGS)
engine_libcore_la_LIBADD = $(HWLOC_LIBS) $(JANSSON_LIBS)

lib_LTLIBRARIES += engine/libheed.la
engine_libheed_la_SOURCES =
engine_libheed_la_LIBADD = engine/libcore.la
engine_libheed_la_LDFLAGS = -version-info 0:0:0 -no-undefined

bin_PROGRAMS += engine/heed
engine_heed_SOURCES = engine/main.c engine/cmd_common.h engine/cmd_common.c engine/cmd_describe.c \
  engine/cmd_describe_network.c engine/cmd_generate.c engine/cmd_list.c engine/cmd_new.c engine/cmd_run.c engine/cmd_score.c engine/cmd_topo.c $(bench_sources) \
  $(check_sources)
engine_heed_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/bench -I$(top_srcdir)/tests -DHEED_DATADIR=\"$(pkgdatadir)\"
engine_heed_CFLAGS = $(AM_CFLAGS) $(HWLOC_CFLAGS) $(JANSSON_CFLAGS)
engine_heed_LDADD = tests/libcall.la engine/libcore.la $(HWLOC_LIBS) $(JANSSON_LIBS)

pkgconfig_DATA += engine/heed.pc
dist_man_MANS = docs/heed.1
DISTCLEANFILES += heed
