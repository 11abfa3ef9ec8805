bench_sources = bench/bench.c bench/bench.h bench/case.c bench/compare.c bench/count.c bench/explain.c bench/file.c \
  bench/growth.c bench/judge.c bench/machine.c bench/network.c bench/open.c bench/peaks.c bench/plot.c bench/record.c \
  bench/report.c bench/rounds.c bench/shape.c bench/sizes.c bench/suite.c bench/tensors.c

# Records of machines, and how they are made.
EXTRA_DIST += bench/claims bench/machines/README.md bench/machines/qemu_count.c bench/machines/run $(machine_records)
machine_records = bench/machines/amd-epyc-2cpu.json bench/machines/qemu-aarch64.json bench/machines/qemu-haswell.json \
  bench/machines/qemu-nehalem.json

# Other people's code beside heed's, for timing: needed by nothing here, built by nothing here.
EXTRA_DIST += bench/peers/run bench/peers/requirements.txt bench/peers/cases.py bench/peers/ggml.py \
  bench/peers/ggml_driver.c bench/peers/heed.py bench/peers/onnx_runtime.py bench/peers/openblas.py \
  bench/peers/peers.py bench/peers/pytorch.py
