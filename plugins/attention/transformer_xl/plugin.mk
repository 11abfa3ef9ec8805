pkglib_LTLIBRARIES += plugins/attention_transformer_xl.la
plugins_attention_transformer_xl_la_SOURCES = plugins/attention/transformer_xl/transformer_xl.c \
  plugins/attention/transformer_xl/transformer_xl_kernel.h
plugins_attention_transformer_xl_la_LDFLAGS = $(plugin_ldflags)
plugins_attention_transformer_xl_la_LIBADD = $(SLEEF_LIBS)
