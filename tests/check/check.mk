# heed check: it judges truth, so it lives with the tests. What it shares with them is libcall.
call_sources = tests/lib/call.c tests/lib/call.h tests/lib/judge.c tests/lib/tensors.c tests/oracle/oracle.c tests/oracle/oracle.h \
  tests/oracle/oracle_attention.h tests/oracle/oracle_next.h tests/oracle/shipped.h tests/oracle/formulas.h
noinst_LTLIBRARIES += tests/libcall.la
tests_libcall_la_SOURCES = $(call_sources)
check_sources = tests/check/check.c tests/check/check.h tests/check/cases.c tests/check/checks.c tests/check/child.c \
  tests/check/exact.c tests/check/kept.c tests/check/rows.c tests/check/score.c tests/check/state.c
