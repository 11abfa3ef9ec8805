pkglib_LTLIBRARIES += plugins/sample_categorical.la
plugins_sample_categorical_la_SOURCES = plugins/sample/categorical/categorical.c \
  plugins/sample/categorical/categorical_kernel.h
plugins_sample_categorical_la_LDFLAGS = $(plugin_ldflags)
