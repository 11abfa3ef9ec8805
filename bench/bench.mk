bench_sources = bench/bench.c bench/bench.h bench/case/backward.c bench/case/backward.h \
  bench/case/case.c bench/case/case.h bench/case/judge.c \
  bench/case/judge.h bench/case/network.c bench/case/network.h bench/case/open.c bench/case/open.h \
  bench/case/suite.c bench/case/suite.h bench/count.c bench/count.h bench/machine.c \
  bench/machine.h bench/peaks.c bench/peaks.h \
  bench/ranks.c bench/ranks.h bench/report/compare.c bench/report/explain.c \
  bench/report/explain.h bench/report/growth.c bench/report/growth.h bench/report/plot.c \
  bench/report/plot.h bench/report/record.c bench/report/record.h bench/report/report.c \
  bench/report/report.h bench/report/row.c bench/report/row.h bench/rounds.c bench/rounds.h

# Records of machines, and how they are made.
EXTRA_DIST += bench/claim/measure.py bench/claim/report.py bench/claim/speeds.py bench/claim/study.py \
  bench/claim/table.py bench/claim/texts.py bench/claim/timing.py bench/claims bench/predictions bench/twins bench/machines/README.md bench/machines/qemu_count.c \
  bench/machines/run $(machine_records)
machine_records = bench/machines/amd-epyc-2cpu.json bench/machines/qemu-aarch64.json bench/machines/qemu-haswell.json \
  bench/machines/qemu-nehalem.json

# Other people's code beside heed's, for timing: needed by nothing here, built by nothing here.
EXTRA_DIST += bench/peers/run bench/peers/requirements.txt bench/peers/cases.py bench/peers/embed.py \
  bench/peers/ggml.py bench/peers/ggml_driver.c bench/peers/heed.py bench/peers/onnx_runtime.py bench/peers/openblas.py \
  bench/peers/peers.py bench/peers/plot.py bench/peers/pytorch.py bench/peers/random_checkpoint.py \
  bench/peers/training.py

# Records of claims.
EXTRA_DIST += bench/claim/records/delta_rule.json bench/claim/records/delta_rule_for_softmax.json \
  bench/claim/records/delta_rule_recalls.json bench/claim/records/dense_for_random.json \
  bench/claim/records/factorized_for_random.json bench/claim/records/factorized_is_faster.json \
  bench/claim/records/fixed_random_for_softmax.json bench/claim/records/learned_table_for_fixed.json \
  bench/claim/records/linear_at_2048.json bench/claim/records/linear_behind_softmax.json \
  bench/claim/records/linformer_at_512.json bench/claim/records/linformer_at_8192.json \
  bench/claim/records/memory_for_window.json bench/claim/records/random_for_dynamic_conv_speed.json \
  bench/claim/records/random_is_faster.json bench/claim/records/random_trains_faster.json \
  bench/claim/records/rope_for_alibi.json bench/claim/records/rope_for_none.json \
  bench/claim/records/smaller_on_small_text.json bench/claim/records/softmax_for_random.json \
  bench/claim/records/strided_for_dense.json

# Records of claims.
EXTRA_DIST += bench/claim/records/delta_rule.json bench/claim/records/delta_rule_for_softmax.json \
  bench/claim/records/delta_rule_recalls.json bench/claim/records/dense_for_random.json \
  bench/claim/records/depth_for_width.json bench/claim/records/dropout_small_text.json \
  bench/claim/records/dynamic_conv_for_softmax.json bench/claim/records/dynamic_for_lightweight.json \
  bench/claim/records/factorized_for_random.json bench/claim/records/factorized_is_faster.json \
  bench/claim/records/fixed_random_for_softmax.json bench/claim/records/gelu_for_relu.json \
  bench/claim/records/learned_table_for_fixed.json bench/claim/records/linear_at_2048.json \
  bench/claim/records/linear_behind_softmax.json bench/claim/records/linformer_at_512.json \
  bench/claim/records/linformer_at_8192.json bench/claim/records/memory_for_window.json \
  bench/claim/records/one_key_head.json bench/claim/records/pre_norm_without_warmup.json \
  bench/claim/records/random_for_dynamic_conv.json bench/claim/records/random_for_dynamic_conv_speed.json \
  bench/claim/records/random_is_faster.json bench/claim/records/random_trains_faster.json \
  bench/claim/records/residual_dual.json bench/claim/records/rms_for_layer_norm.json \
  bench/claim/records/rope_for_alibi.json bench/claim/records/rope_for_none.json \
  bench/claim/records/shared_layers.json bench/claim/records/size_for_brackets.json \
  bench/claim/records/size_for_recall.json bench/claim/records/size_for_sums.json \
  bench/claim/records/smaller_on_small_text.json bench/claim/records/softmax_for_random.json \
  bench/claim/records/softmax_recalls.json bench/claim/records/strided_for_dense.json \
  bench/claim/records/swiglu_for_gelu.json bench/claim/records/ulmfit_for_scratch.json \
  bench/claim/records/ulmfit_general.json bench/claim/records/ulmfit_pooling.json \
  bench/claim/records/ulmfit_rates.json bench/claim/records/ulmfit_slanted.json \
  bench/claim/records/ulmfit_target.json bench/claim/records/ulmfit_unfreezing.json \
  bench/claim/records/warmup_for_post_norm.json bench/claim/records/window_for_full.json \
  bench/claim/records/windows_grow.json
