# heed check: it judges truth, so it lives with the tests. What it shares with them is libcall.
call_sources = tests/lib/call.c tests/lib/call.h tests/lib/gradient.c tests/lib/gradient.h \
  tests/lib/judge.c tests/lib/tensors.c tests/oracle/oracle.c
noinst_LTLIBRARIES += tests/libcall.la
tests_libcall_la_SOURCES = $(call_sources)
tests_libcall_la_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests

# The oracles of the shipped ops: tests/oracle/KIND_NAME.h is that of KIND/NAME. A file more is an oracle more.
include/oracles.h: $(srcdir)/tests/oracle $(srcdir)/tests/oracle/list.sh
	$(AM_V_GEN)sh $(srcdir)/tests/oracle/list.sh $(srcdir)/tests/oracle >$@
BUILT_SOURCES += include/oracles.h
$(tests_libcall_la_OBJECTS): include/oracles.h
EXTRA_DIST += tests/oracle
check_sources = tests/check/cases.c tests/check/cases.h tests/check/check.c tests/check/checks.c \
  tests/check/checks.h tests/check/child.c tests/check/child.h \
  tests/check/codec.c tests/check/codec.h tests/check/exact.c \
  tests/check/exact.h tests/check/fail.c tests/check/fail.h tests/check/grad.c \
  tests/check/grad.h tests/check/kept.c tests/check/kept.h \
  tests/check/matrix.c tests/check/matrix_cell.c tests/check/matrix_cell.h \
  tests/check/rows.c tests/check/rows.h tests/check/score.c tests/check/score.h \
  tests/check/state.c tests/check/state.h tests/check/subject.c tests/check/subject.h
