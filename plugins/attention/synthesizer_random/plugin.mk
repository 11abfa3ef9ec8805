pkglib_LTLIBRARIES += plugins/attention_synthesizer_random.la
plugins_attention_synthesizer_random_la_SOURCES = \
  plugins/attention/synthesizer_random/synthesizer_random.c plugins/attention/synthesizer_random/synthesizer_random_kernel.h
plugins_attention_synthesizer_random_la_LDFLAGS = $(plugin_ldflags)
