pkglib_LTLIBRARIES += plugins/attention_flash_linear.la
plugins_attention_flash_linear_la_SOURCES = plugins/attention/flash_linear/flash_linear.c \
  plugins/attention/flash_linear/flash_linear_backward.h \
  plugins/attention/flash_linear/flash_linear_block.h \
  plugins/attention/flash_linear/flash_linear_kernel.h
plugins_attention_flash_linear_la_LDFLAGS = $(plugin_ldflags)
