pkglib_LTLIBRARIES += plugins/attention_linformer.la
plugins_attention_linformer_la_SOURCES = plugins/attention/linformer/linformer.c \
  plugins/attention/linformer/linformer_kernel.h
plugins_attention_linformer_la_LDFLAGS = $(plugin_ldflags)
