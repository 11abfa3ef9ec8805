pkglib_LTLIBRARIES += plugins/attention_lightweight_conv.la
plugins_attention_lightweight_conv_la_SOURCES = plugins/attention/lightweight_conv/lightweight_conv.c \
  plugins/attention/lightweight_conv/lightweight_conv_kernel.h
plugins_attention_lightweight_conv_la_LDFLAGS = $(plugin_ldflags)
