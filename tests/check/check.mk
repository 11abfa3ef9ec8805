# heed check: it judges truth, so it lives with the tests. What it shares with them is libcall.
call_sources = tests/lib/call.c tests/lib/call.h tests/lib/judge.c tests/lib/tensors.c tests/oracle/oracle.c
noinst_LTLIBRARIES += tests/libcall.la
tests_libcall_la_SOURCES = $(call_sources)
tests_libcall_la_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests

# The oracles of the shipped ops: tests/oracle/KIND_NAME.h is that of KIND/NAME. A file more is an oracle more.
include/oracles.h: $(srcdir)/tests/oracle
	$(AM_V_GEN)names=`cd $(srcdir)/tests/oracle && ls *_*.h | sed -n '/^oracle_/d; s/\.h$$//p'` && \
	{ echo '#ifdef ORACLE_ROW'; \
	  echo "$$names" | sed 's|\([^_]*\)_\(.*\)|ORACLE_ROW("\1/\2", &),|'; \
	  echo '#else'; \
	  echo "$$names" | sed 's|.*|#include "oracle/&.h"|'; \
	  echo '#endif'; } >$@
BUILT_SOURCES += include/oracles.h
$(tests_libcall_la_OBJECTS): include/oracles.h
EXTRA_DIST += tests/oracle
check_sources = tests/check/check.c tests/check/check.h tests/check/cases.c tests/check/checks.c tests/check/child.c \
  tests/check/exact.c tests/check/kept.c tests/check/rows.c tests/check/score.c tests/check/state.c
