pkglib_LTLIBRARIES += plugins/position_rope.la
plugins_position_rope_la_SOURCES = plugins/position/rope/rope.c \
  plugins/position/rope/rope_kernel.h plugins/position/rope/rope_op.h
plugins_position_rope_la_LDFLAGS = $(plugin_ldflags)
plugins_position_rope_la_LIBADD = $(SLEEF_LIBS)
