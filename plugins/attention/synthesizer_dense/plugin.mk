pkglib_LTLIBRARIES += plugins/attention_synthesizer_dense.la
plugins_attention_synthesizer_dense_la_SOURCES = plugins/attention/synthesizer_dense/synthesizer_dense.c \
  plugins/attention/synthesizer_dense/synthesizer_dense_kernel.h
plugins_attention_synthesizer_dense_la_LDFLAGS = $(plugin_ldflags)
