pkglib_LTLIBRARIES += plugins/linear_projection.la
plugins_linear_projection_la_SOURCES = plugins/linear/projection/projection.c \
  plugins/linear/projection/projection_kernel.h
plugins_linear_projection_la_LDFLAGS = $(plugin_ldflags)
