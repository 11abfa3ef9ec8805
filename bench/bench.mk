bench_sources = bench/bench.c bench/peaks.c bench/bench.h
