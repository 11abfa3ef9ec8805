bench_sources = bench/bench.c bench/bench.h bench/case.c bench/compare.c bench/explain.c bench/judge.c bench/peaks.c \
  bench/report.c bench/shape.c bench/tensors.c
