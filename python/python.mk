# The package heed-attention: ctypes over libheed, made into a wheel by hatch_build.py, which runs this
# build. Nothing here is built or installed by it. tests/command/test_python.sh tests it.
EXTRA_DIST += python/generate.py python/heed_attention/__init__.py \
  python/heed_attention/__main__.py python/heed_attention/_abi.py \
  python/heed_attention/_command.py python/heed_attention/_describe.py \
  python/heed_attention/_library.py python/heed_attention/_op.py python/heed_attention/_stack.py \
  python/heed_attention/_tensor.py python/heed_attention/py.typed python/tests/__init__.py \
  python/tests/overhead.py python/tests/test_abi.py python/tests/test_op.py \
  python/tests/test_tables.py
EXTRA_DIST += python/README.md python/pyproject.toml python/hatch_build.py python/try-wheel python/wheel
EXTRA_DIST += python/heed_attention/nn.py python/heed_attention/torch.py python/tests/test_torch.py
EXTRA_DIST += python/heed_attention/distributed.py python/tests/test_distributed.py
EXTRA_DIST += python/api.py python/examples/attention.py python/heed_attention/_picture.py \
  python/heed_attention/_text.py python/heed_attention/benchmark.py \
  python/tests/test_benchmark.py python/tests/test_text.py
EXTRA_DIST += python/heed_attention/transformers.py python/tests/test_docs.py \
  python/tests/test_transformers.py
