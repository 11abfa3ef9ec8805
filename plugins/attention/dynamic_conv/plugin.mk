pkglib_LTLIBRARIES += plugins/attention_dynamic_conv.la
plugins_attention_dynamic_conv_la_SOURCES = plugins/attention/dynamic_conv/dynamic_conv.c \
  plugins/attention/dynamic_conv/dynamic_conv_kernel.h
plugins_attention_dynamic_conv_la_LDFLAGS = $(plugin_ldflags)
