bench_sources = bench/bench.c bench/case.c bench/peaks.c bench/report.c bench/bench.h
