pkglib_LTLIBRARIES += plugins/attention_performer.la
plugins_attention_performer_la_SOURCES = plugins/attention/performer/performer.c \
  plugins/attention/performer/performer_kernel.h plugins/attention/performer/draw.h
plugins_attention_performer_la_LDFLAGS = $(plugin_ldflags)
