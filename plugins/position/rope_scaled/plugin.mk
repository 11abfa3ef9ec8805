pkglib_LTLIBRARIES += plugins/position_rope_scaled.la
plugins_position_rope_scaled_la_SOURCES = plugins/position/rope_scaled/rope_scaled.c \
  plugins/position/rope/rope_kernel.h plugins/position/rope/rope_op.h
plugins_position_rope_scaled_la_LDFLAGS = $(plugin_ldflags)
plugins_position_rope_scaled_la_LIBADD = $(SLEEF_LIBS)
